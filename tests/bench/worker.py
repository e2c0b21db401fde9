"""A process of its own that stays on one core, with one thread, and does what it is asked to."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from toolkit import child

Do = Callable[[Any], Any]


class Missing(Exception):
    """A package that is needed is not installed."""


class Worker:
    """Answers what `make` makes of its arguments, in a process of its own.

    Args:
        make: called in that process with `arguments`; what it gives is called with each question.

    Raises:
        Missing: a package is not installed.
    """

    def __init__(self, make: Callable[..., Do], arguments: Sequence[Any], core: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, there = spawn.Pipe()
        # What engines print would be in the way of the figures, and is worth something only when they crash.
        self._log = tempfile.NamedTemporaryFile(prefix="bench-", suffix=".log")  # noqa: SIM115 # closed at exit
        self._process = spawn.Process(
            target=_serve, args=(there, self._log.name, make, arguments, core), daemon=True
        )
        self._process.start()
        there.close()
        self._answer()

    def __call__(self, question: Any) -> Any:
        """What the process makes of it.

        Raises:
            RuntimeError: the process ended, or raised something, which the message tells.
        """
        self._connection.send(question)
        return self._answer()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def _answer(self) -> Any:
        try:
            answer = self._connection.recv()
        except EOFError as error:
            self._process.join(10)
            raise RuntimeError(
                f"the process ended with {self._process.exitcode}\n{child.tail(Path(self._log.name))}"
            ) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._process.join(10)
        self._process.kill()
        self._process.join()
        self._log.close()


def _serve(
    connection: Connection, log: str, make: Callable[..., Do], arguments: Sequence[Any], core: int
) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.sched_setaffinity(0, {core})
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        do = make(*arguments)
        connection.send(None)
        while True:
            connection.send(do(connection.recv()))
    except (EOFError, KeyboardInterrupt):
        pass
    except Exception as error:
        connection.send(
            error if isinstance(error, Missing) else RuntimeError(f"{type(error).__name__}: {error}")
        )
