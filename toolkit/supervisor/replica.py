"""One replica process: started in a session and a directory of its own, asked for known answers, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from toolkit import child, process
from toolkit.client import protocol
from toolkit.content.kinds import FIELDS
from toolkit.errors import ServiceError
from toolkit.gateway.endpoint import Endpoint, Gone
from toolkit.gateway.faults import Fault
from toolkit.mailbox import Mailbox
from toolkit.serving import pulse, release
from toolkit.smoke import compare

logger = logging.getLogger(__name__)

LOG, OUTPUT = "replica.log", "output.log"

MODULE = "toolkit.serving.replica"

_SOCKET, _PULSE = ".sock", ".pulse"

# Bytes of a serialized request beside what the client sent.
_ENVELOPE = 4096


class ReplicaProcess:
    """A replica of a release. Belongs to one event loop, in a process whose current directory is that of the run.

    Args:
        index: the place that it fills.
        generation: which one of those that have filled it.
        directory: the release.
        processors: those that it may run on; None: any.

    Attributes:
        endpoint: the way to it.
        golden_at: when a golden inference last succeeded, on the monotonic clock; None: never.
    """

    def __init__(
        self,
        index: int,
        generation: int,
        directory: Path,
        plan: release.Release,
        processors: frozenset[int] | None = None,
    ) -> None:
        self._plan = plan
        self._directory = directory
        self._processors = processors
        self._folder = folder_of(index)
        self._socket = self._folder / f"{generation}{_SOCKET}"
        self._pulse = self._socket.with_suffix(_PULSE)
        self._golden = release.cheapest_golden(directory)
        limits = plan.limits
        self._box = Mailbox(limits.workers, limits.max_body_bytes + _ENVELOPE)
        self.endpoint = Endpoint(index, f"unix:{self._socket}", self._box)
        self.golden_at: float | None = None

    async def start(self, warm: bool = True) -> None:
        """Start it and wait for its golden inference.

        Args:
            warm: whether it may warm up for as long as the release says; else it is ready sooner.

        Raises:
            ServiceError: it ended, or did not answer rightly in time; with the last lines of its log.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._spawn(self._plan.limits.warm_seconds if warm else 0.0)
        seconds = self._plan.limits.start_seconds
        asked = asyncio.ensure_future(self.ask_golden(wait=True))
        try:
            await asyncio.wait({asked, self._ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and not isinstance(asked.exception(), Gone):
                asked.result()
                return
        finally:
            asked.cancel()
        if await self.ends_within(1):
            raise self.failed(f"it ended with exit code {self._ended.result()} while it started")
        raise self.failed(f"it gave no answer within {seconds:g} s")

    def _spawn(self, warm_seconds: float) -> None:
        argv = [sys.executable, "-m", MODULE, str(self._directory)]
        argv += [self._socket.name, str(os.getpid()), str(self._box.fileno), str(warm_seconds)]
        threads = str(self._plan.limits.threads)
        environment = {
            "GLOG_minloglevel": "2",
            "PYTHONUNBUFFERED": "1",
            # Each replica has its share of the cores; OpenCV and OpenMP would take all of them.
            "OMP_NUM_THREADS": threads,
            "OPENCV_FOR_THREADS_NUM": threads,
            # With an arena for every thread, glibc keeps what threads have freed and others could use.
            "MALLOC_ARENA_MAX": "2",
        }
        with (self._folder / OUTPUT).open("ab") as output:
            # By this very thread: the kernel ends a replica when the thread that started it ends.
            self._process: subprocess.Popen[bytes] = process.start(
                argv,
                env=environment,
                cwd=self._folder,
                stdout=output,
                stderr=output,
                pass_fds=[self._box.fileno],
            )
        if self._processors is not None:
            # It has no other thread yet, and those that it starts inherit this.
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self._process.pid, self._processors)
        # Before anybody waits for its end: then psutil would not know it any more.
        self._usage = psutil.Process(self._process.pid)
        # In a thread of its own: those that all work shares are as few as the cores, and four more.
        waiting = ThreadPoolExecutor(1, thread_name_prefix="replica")
        self._ended: asyncio.Future[Any] = asyncio.get_running_loop().run_in_executor(
            waiting, self._process.wait
        )
        waiting.shutdown(wait=False)

    async def ask_golden(self, wait: bool = False) -> None:
        """One inference with a known answer; takes as long as it takes.

        Args:
            wait: for a process that is just starting.

        Raises:
            Gone: it is not there.
            ServiceError: it gives another answer, or none.
        """
        content, expected = self._golden
        request = protocol.pack_file(self._plan.name, content, FIELDS[self._plan.accepts])
        try:
            reply = await self.endpoint.call(protocol.PATH, request, wait=wait)
        except Fault as fault:
            raise self.failed(f"it refuses the golden request: {fault}") from fault
        answer = protocol.Response.FromString(reply.body)
        if answer.err_no != protocol.OK:
            raise self.failed(f"it answers the golden request with error {answer.err_no}: {answer.err_msg}")
        differences = compare(expected, json.loads(protocol.first_value(answer, protocol.RESULT_KEY) or "{}"))
        if differences:
            raise self.failed("it answers other than the gate recorded: " + "; ".join(differences[:3]))
        self.golden_at = time.monotonic()

    async def ends_within(self, seconds: float) -> bool:
        """Whether the process ends before so many seconds have passed; returns as soon as it does."""
        await asyncio.wait({self._ended}, timeout=seconds)
        return self._ended.done()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._ended.result() if self._ended.done() else None

    @property
    def pulse(self) -> int:
        """How often it has beaten."""
        return pulse.read(self._pulse)

    def usage(self) -> tuple[int, float]:
        """Bytes of resident memory, and seconds of processor time; zeros when it is gone."""
        try:
            with self._usage.oneshot():
                times = self._usage.cpu_times()
                return self._usage.memory_info().rss, times.user + times.system
        except psutil.Error:
            return 0, 0.0

    async def stop(self, grace: float) -> None:
        """End it with its whole group, and leave nothing but its logs."""
        if hasattr(self, "_process"):
            await asyncio.to_thread(process.stop_group, self._process.pid, grace)
            await asyncio.wait({self._ended})
        await self.endpoint.close()
        for path in (self._socket, self._pulse):
            with contextlib.suppress(OSError):
                path.unlink()

    def failed(self, what: str) -> ServiceError:
        """An error about it, with the end of its logs."""
        told = "\n".join(
            child.tail(path) for path in (self._folder / LOG, self._folder / OUTPUT) if _has_text(path)
        )
        return ServiceError(
            f"replica {self.endpoint.index} failed: {what}; the last lines of its log:\n{told or child.tail(Path())}",
            where=str(self._folder.resolve()),
            remedy="`make logs` shows the whole log",
        )


def folder_of(index: int | str) -> Path:
    """Where the replicas of a place run, within the run directory; of `*`, a pattern of all."""
    return Path(f"replica-{index}")


def clean(folder: Path) -> None:
    """Remove the sockets and pulses of the replicas that ran in `folder` and have ended."""
    for path in [*folder.glob(f"*{_SOCKET}"), *folder.glob(f"*{_PULSE}")]:
        path.unlink(missing_ok=True)


def _has_text(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
