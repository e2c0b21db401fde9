"""A piece of work that is killed at each of its steps in turn."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, ModuleType
from typing import Any, Callable


def at_every_line(module: ModuleType, work: Callable[[], object]) -> Iterator[int]:
    """Do `work` in a process of its own that SIGKILL ends before the 1st, 2nd, ... line of `module` that it comes to.

    Yields after each kill, so that the caller can look at what is left and put it back; ends when `work` got through.
    """
    step = 1
    while _killed(module, step, work):
        yield step
        step += 1


def _killed(module: ModuleType, step: int, work: Callable[[], object]) -> bool:
    child = os.fork()
    if child == 0:
        count_down(step, module)
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    return False


def count_down(step: int, *modules: ModuleType, beginning: str = "") -> None:
    """Have SIGKILL end this process before line number `step` of all those of `modules` that it comes to from now on.

    Args:
        beginning: lines count from the first call of the function of that name; empty: from now on.
    """
    files = {str(module.__file__) for module in modules}
    left, counting = step, not beginning

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left, counting
        if frame.f_code.co_filename not in files:
            return None
        counting = counting or frame.f_code.co_name == beginning
        if event == "line" and counting:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
