"""One replica process: started in its own session, ready after a golden inference, restarted when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

from toolkit import child, process
from toolkit.client import ClientError, DeadlineExceeded, GrpcClient, Unavailable
from toolkit.errors import ServiceError
from toolkit.serving import release
from toolkit.smoke import compare

logger = logging.getLogger(__name__)

SOCKET = "unix:replica.sock"
LOG = "replica.log"

_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 30.0


class ReplicaProcess:
    """The replica of a release, in the current directory, which is the service's run directory.

    Attributes:
        ready: whether the last thing known of it is a golden inference that succeeded.
    """

    def __init__(self, directory: Path, plan: release.Release) -> None:
        self._directory = directory
        self._plan = plan
        self._process: Optional[subprocess.Popen[bytes]] = None
        self.ready = False

    async def start(self) -> None:
        """Start it and wait for its golden inference.

        Raises:
            ServiceError: it ended, or did not answer rightly in time; with the last lines of its log.
        """
        Path(SOCKET.partition(":")[2]).unlink(missing_ok=True)
        argv = [
            sys.executable,
            "-m",
            "toolkit.serving.replica",
            str(self._directory),
            SOCKET,
            str(os.getpid()),
        ]
        with Path(LOG).open("ab") as log:
            self._process = process.start(
                argv, env={"GLOG_minloglevel": "2", "PYTHONUNBUFFERED": "1"}, stdout=log, stderr=log
            )
        await self._wait_until_golden(self._process)
        self.ready = True

    async def _wait_until_golden(self, started: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._plan.limits.start_seconds
        last = ""
        while time.monotonic() < deadline:
            if started.poll() is not None:
                raise _failed(f"the replica ended with exit code {started.returncode} while it started")
            try:
                await asyncio.to_thread(self._golden)
                return
            except (Unavailable, DeadlineExceeded) as error:
                last = str(error)
                await asyncio.sleep(0.2)
            except ClientError as error:
                raise _failed(f"the replica refuses the golden request: {error}") from error
        raise _failed(f"the replica gave no answer within {self._plan.limits.start_seconds:g} s ({last})")

    def _golden(self) -> None:
        """One inference with a known answer.

        Raises:
            ClientError: no answer yet.
            ServiceError: another answer.
        """
        image, expected = release.goldens(self._directory)[0]
        with GrpcClient(SOCKET, timeout=self._plan.limits.deadline_seconds) as client:
            answer = client.predict(self._plan.name, image.read_bytes())
        differences = compare(expected, answer.raw)
        if differences:
            raise _failed("the replica answers other than the gate recorded: " + "; ".join(differences[:3]))

    async def watch(self) -> None:
        """Start it again whenever it ends, with growing pauses; runs until cancelled."""
        pause = _FIRST_BACKOFF
        while True:
            await self._ended()
            self.ready = False
            logger.error(
                "the replica ended with exit code %s; it is started again in %g s", self._exit_code(), pause
            )
            await asyncio.sleep(pause)
            started = time.monotonic()
            try:
                await self.start()
                logger.info("the replica is back after %.1f s", time.monotonic() - started)
                pause = _FIRST_BACKOFF
            except Exception as error:
                # Whatever it was, a full disk or too many processes: it is tried again.
                logger.error("the replica could not be started: %s", error)
                self.stop(grace=0)
                pause = min(2 * pause, _LONGEST_BACKOFF)

    async def _ended(self) -> None:
        """Wait in a thread, so that the end is known at once and nobody is sent to a replica that is gone."""
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)

    def _exit_code(self) -> Optional[int]:
        return self._process.returncode if self._process else None

    def stop(self, grace: float) -> None:
        """End it with its whole group."""
        self.ready = False
        if self._process is not None:
            process.stop_group(self._process.pid, grace)
            self._process.wait()


def _failed(message: str) -> ServiceError:
    return ServiceError(
        f"{message}; the last lines of its log:\n{child.tail(Path(LOG))}",
        where=str(Path(LOG).resolve()),
        remedy="`make logs` shows the whole log",
    )
