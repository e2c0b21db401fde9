"""A process that has imported what takes long, and forks for each piece of work.

Importing Paddle takes a second and a half, a fork of a process that has it some milliseconds. `multiprocessing` has a
server of this kind; what runs in ours is a group of its own, gets its environment and its log with each order, and
leaves no file behind, however it ends.

    python -m toolkit.forkserver SOCKET IMPORT...

The server ends when its socket is closed, so with the process that started it. What it has forked is killed with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from toolkit import process

_MESSAGE_BYTES = 1 << 20
_MAX_FDS = 8


class ServerDied(Exception):
    """The server ended by itself, while importing or since; `code` as `subprocess` has it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the fork server ended with {code}")
        self.code = code


class Forked:
    """A process that the server has forked; it leads a group of its own.

    Args:
        status: what its exit code will come from.
    """

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self._status = status
        self._code: int | None = None

    def wait(self) -> int:
        """Wait for its end: its exit code, negative for a signal; that of SIGKILL if the server is gone as well."""
        if self._code is None:
            # Not to the end of the pipe, which processes that were forked since hold open too.
            self._code = int(os.read(self._status, 64) or -signal.SIGKILL)
            os.close(self._status)
        return self._code


class ForkServer:
    """Starts the server, and has it fork.

    Args:
        imports: modules that it imports; what fails to import is left to those who need it.
        env: added to the environment of this process. What libraries read when they are loaded counts; the rest comes
            with each order.
        output: file that takes what the imports print.
    """

    def __init__(self, imports: Sequence[str], env: Mapping[str, str], output: int) -> None:
        self._lock = threading.Lock()
        self._socket, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            fd = there.fileno()
            self._server = process.start(
                [sys.executable, "-m", __name__, str(fd), *imports],
                env=env,
                stdout=output,
                stderr=output,
                pass_fds=[fd],
            )

    @property
    def alive(self) -> bool:
        """Whether it can fork."""
        return self._server.poll() is None

    def fork(
        self, function: str, arguments: Sequence[str], env: Mapping[str, str], output: int, fds: Sequence[int]
    ) -> Forked:
        """Call `function` (`module:name`) with `arguments` and, as texts too, the numbers that `fds` have there.

        Args:
            env: the whole environment of the new process.
            output: file that takes its standard output and error.

        Raises:
            ServerDied: there is no server any more.
        """
        order = {"function": function, "arguments": list(arguments), "env": dict(env)}
        status, write_end = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._socket, [json.dumps(order).encode()], [write_end, output, *fds])
                pid = int(self._socket.recv(64))
        except (OSError, ValueError):
            os.close(status)
            raise ServerDied(self.close()) from None
        except BaseException:
            # Ctrl-C: the process may have been forked, or not.
            os.close(status)
            self.close()
            raise
        finally:
            os.close(write_end)
        return Forked(pid, status)

    def close(self) -> int:
        """End the server, and with it all that it has forked: its exit code."""
        self._socket.close()
        try:
            return self._server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.stop_group(self._server.pid, grace=0)
            return self._server.wait()


def main(fd: str, *imports: str) -> None:
    """The server."""
    for name in imports:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # so that a collection in a forked process does not copy all pages
    with socket.socket(fileno=int(fd)) as channel:
        _serve(channel)


def _serve(channel: socket.socket) -> None:
    awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    statuses: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([channel, awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
            _reap(statuses)
        if channel in ready:
            order, fds, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, _MAX_FDS, socket.MSG_CMSG_CLOEXEC)
            if not order:
                return
            server, pid = os.getpid(), os.fork()
            if not pid:
                _work(server, json.loads(order), fds)
            # Here and there, so that the group is there for whoever comes first.
            with suppress(OSError):
                os.setpgid(pid, pid)
            statuses[pid] = fds[0]
            for fd in fds[1:]:
                os.close(fd)
            channel.send(str(pid).encode())


def _reap(statuses: dict[int, int]) -> None:
    for pid in list(statuses):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            pipe = statuses.pop(pid)
            with suppress(BrokenPipeError):
                os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(pipe)


def _work(server: int, order: Mapping[str, Any], fds: Sequence[int]) -> NoReturn:
    """The forked process."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        status, output, *others = fds
        os.close(status)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.clear()
        os.environ.update(order["env"])
        tempfile.tempdir = None
        process.die_with(server)
        module, _, name = order["function"].partition(":")
        getattr(importlib.import_module(module), name)(*order["arguments"], *map(str, others))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        ctypes.CDLL(None).fflush(None)  # oneDNN's report
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
