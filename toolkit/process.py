"""Every subprocess of the toolkit starts here: logged, in a session of its own, and ended with its whole group."""

from __future__ import annotations

import ctypes
import logging
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Optional, Union

logger = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1

Output = Union[int, IO[bytes], None]


@dataclass(frozen=True)
class Completed:
    """What a finished process left: its exit code (negative: the signal) and its output as text."""

    returncode: int
    stdout: str
    stderr: str


def start(
    argv: Sequence[str],
    *,
    env: Optional[Mapping[str, Optional[str]]] = None,
    cwd: Optional[Path] = None,
    stdout: Output = subprocess.PIPE,
    stderr: Output = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv` without a shell, in its own session, so that `stop_group` reaches all it starts.

    Args:
        env: variables added to, or replacing those of, this process; None takes one away.
    """
    variables = {**os.environ, **(env or {})}
    logger.debug("run: %s", shlex.join(argv))
    return subprocess.Popen(
        list(argv),
        env={name: value for name, value in variables.items() if value is not None},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent`, which started it, ends: so nothing is orphaned (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def run(
    argv: Sequence[str],
    *,
    timeout: Optional[float] = None,
    env: Optional[Mapping[str, Optional[str]]] = None,
    cwd: Optional[Path] = None,
) -> Completed:
    """Run `argv` to its end and keep its output.

    Args:
        timeout: seconds; then the whole group is killed.

    Raises:
        subprocess.TimeoutExpired: the process did not end in time.
        OSError: the program cannot be started.
    """
    child = start(argv, env=env, cwd=cwd)
    try:
        stdout, stderr = child.communicate(timeout=timeout)
    except BaseException:
        stop_group(child.pid, grace=0)
        child.wait()
        raise
    logger.debug("exit %d: %s", child.returncode, argv[0])
    return Completed(child.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def group_alive(group: int) -> bool:
    """Whether any process of the process group `group` is there and not a zombie."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(_group_member(entry, group) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _group_member(entry: Path, group: int) -> bool:
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    state, pgrp = fields[0], int(fields[2])
    return pgrp == group and state not in "ZX"


def stop_group(group: int, grace: float) -> bool:
    """End the process group `group`: SIGTERM, and SIGKILL to what is left after `grace` seconds.

    Returns:
        Whether SIGTERM was enough.
    """
    if grace > 0:
        _signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if not group_alive(group):
                return True
            time.sleep(0.05)
    if not group_alive(group):
        return True
    _signal_group(group, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while group_alive(group) and time.monotonic() < deadline:
        time.sleep(0.02)
    return False


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        logger.debug("process group %d has already ended", group)
