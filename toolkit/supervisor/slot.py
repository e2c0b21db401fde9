"""A place for a replica: whoever fills it is watched, and replaced when it ends, hangs, errs or swells."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from toolkit.errors import ServiceError
from toolkit.gateway import status
from toolkit.gateway.endpoint import Endpoint
from toolkit.gateway.pool import Pool
from toolkit.gateway.status import ReplicaStatus
from toolkit.serving.release import Limits
from toolkit.supervisor.backoff import STABLE_SECONDS, Backoff
from toolkit.supervisor.replica import ReplicaProcess
from toolkit.supervisor.vitals import Vitals

logger = logging.getLogger(__name__)

# Why a replica is replaced.
EXIT, HANG, MEMORY, GOLDEN, START, SWOLLEN = "exit", "hang", "memory", "golden", "start", "swollen"

_TICK_SECONDS = 0.25

_MEGABYTE = 1 << 20

# Beyond this share of its limit a replica is replaced in peace: the next one is started first.
_SOFT_SHARE = 0.85


class Slot:
    """Keeps one place of the pool filled.

    Args:
        make: a replica of the given generation, not started.
    """

    def __init__(self, index: int, make: Callable[[int], ReplicaProcess], pool: Pool, limits: Limits) -> None:
        self.index = index
        self._make = make
        self._pool = pool
        self._limits = limits
        self._generation = 0
        self._backoff = Backoff()
        self._restarts: Counter[str] = Counter()
        self._current: ReplicaProcess | None = None
        self._starting: ReplicaProcess | None = None
        self._ready_at = 0.0
        self._memory_limit = 0
        self._state, self._message = status.STARTING, ""
        self._suspected = asyncio.Event()
        self._leaving: set[asyncio.Future[None]] = set()
        self._grace = limits.grace_seconds

    async def start(self) -> None:
        """Fill the place for the first time.

        Raises:
            ServiceError: the replica could not be started.
        """
        self._say(status.STARTING)
        self._enter(await self._begin())

    async def run(self) -> None:
        """Keep it filled until cancelled."""
        while True:
            replica = self._current
            if replica is None:
                self._enter(await self._bring_up())
                continue
            reason = await self._watch(replica, renewable=True)
            if reason == SWOLLEN:
                await self._renew(replica)
            else:
                await self._lose(replica, reason)

    async def stop(self, grace: float) -> None:
        """End whatever runs; `run` must have ended."""
        self._state, self._grace = status.STOPPED, grace
        running = [replica for replica in (self._current, self._starting) if replica is not None]
        for replica in running:
            self._pool.withdraw(replica.endpoint)
        await asyncio.gather(*self._leaving, *(replica.stop(grace) for replica in running))
        self._current = self._starting = None

    # ------------------------------------------------------------------------------------------- its replicas

    async def _begin(self) -> ReplicaProcess:
        """A new replica that has answered its golden request."""
        # Clients that nobody serves are better off with a cold replica than with none.
        warm = not self._pool.deserted
        if not warm:
            logger.info("replica %d starts without a warm-up: no other one serves", self.index)
        self._generation += 1
        replica = self._starting = self._make(self._generation)
        began = time.monotonic()
        try:
            await replica.start(warm)
        except (ServiceError, OSError):
            await replica.stop(grace=0)
            self._starting = None
            raise
        logger.info("replica %d is ready after %.1f s", self.index, time.monotonic() - began)
        return replica

    def _enter(self, replica: ReplicaProcess) -> None:
        """Let it take requests."""
        self._starting, self._current = None, replica
        self._ready_at = time.monotonic()
        self._memory_limit = self._limit_for(replica.usage()[0])
        self._state, self._message = status.READY, ""
        self._suspected.clear()
        self._pool.add(replica.endpoint)

    def _limit_for(self, fresh: int) -> int:
        """Bytes that a replica may have which has `fresh` when it is new."""
        given = self._limits.memory_limit_megabytes
        return given * _MEGABYTE if given else max(2 * fresh, fresh + 1024 * _MEGABYTE)

    async def _bring_up(self) -> ReplicaProcess:
        """The next replica, after as many attempts as it takes."""
        while True:
            if self._backoff.seconds:
                self._say(status.CRASH_LOOP if self._backoff.crash_loop else status.BACKOFF)
                logger.warning("replica %d is started again in %g s", self.index, self._backoff.seconds)
                await asyncio.sleep(self._backoff.seconds)
            self._say(status.STARTING)
            try:
                return await self._begin()
            except ServiceError as error:
                self._fail(START, str(error), age=0.0)
            except OSError as error:
                # A full disk, too many processes: it may pass.
                self._fail(START, f"replica {self.index} could not be started: {error}", age=0.0)

    def _say(self, state: str) -> None:
        """The state of the place, unless a replica that is to be renewed still fills it."""
        if self._current is None:
            self._state = state

    async def _lose(self, replica: ReplicaProcess, reason: str) -> None:
        """Take it out at once and end it, so that its requests go elsewhere."""
        self._pool.withdraw(replica.endpoint)
        replica.endpoint.excused = reason in (HANG, GOLDEN)
        self._current = None
        self._fail(reason, self._why(replica, reason), age=time.monotonic() - self._ready_at)
        self._say(status.STARTING)
        await replica.stop(grace=0)

    def _why(self, replica: ReplicaProcess, reason: str) -> str:
        seconds = self._limits.golden_deadline_seconds
        return {
            EXIT: f"it ended with exit code {replica.exit_code}",
            HANG: f"it gave no sign of life for {seconds:g} s",
            MEMORY: f"it has more than {self._memory_limit // _MEGABYTE} MB",
            GOLDEN: self._message,
        }[reason]

    def _fail(self, reason: str, message: str, age: float) -> None:
        self._restarts[reason] += 1
        self._backoff.ended(age)
        self._message = message
        logger.error("replica %d is replaced: %s", self.index, message)

    async def _renew(self, old: ReplicaProcess) -> None:
        """Replace a swollen replica in peace: the next one is started first, and the old one finishes its requests."""
        logger.warning("replica %d has grown and is replaced in peace", self.index)
        self._restarts[SWOLLEN] += 1
        starting = asyncio.ensure_future(self._bring_up())
        watching = asyncio.ensure_future(self._watch(old, renewable=False))
        try:
            await asyncio.wait({starting, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await self._lose(old, watching.result())
                self._enter(await starting)
                return
        finally:
            watching.cancel()
            if not starting.done():
                starting.cancel()
        self._enter(starting.result())
        self._pool.withdraw(old.endpoint)
        # Beside the watch over the next one, which may fail meanwhile.
        leaving = asyncio.ensure_future(self._let_finish(old))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _let_finish(self, old: ReplicaProcess) -> None:
        """End a replica that takes no more requests when it has answered those that it has."""
        deadline = time.monotonic() + self._limits.deadline_seconds
        while old.endpoint.in_flight and time.monotonic() < deadline and self._state != status.STOPPED:
            await asyncio.sleep(0.05)
        await old.stop(self._grace)

    # --------------------------------------------------------------------------------------------- watching

    def suspect(self) -> None:
        """It did not answer a request: look at once."""
        self._suspected.set()

    async def _watch(self, replica: ReplicaProcess, renewable: bool) -> str:
        """Why `replica` has to be replaced, as soon as it has to."""
        vitals = Vitals(time.monotonic())
        golden: asyncio.Future[None] | None = None
        try:
            while not await replica.ends_within(_TICK_SECONDS):
                if golden is not None and golden.done():
                    problem = golden.exception()
                    golden = None
                    if problem is not None:
                        self._message = str(problem)
                        return EXIT if await replica.ends_within(_TICK_SECONDS) else GOLDEN
                    self._pool.add(replica.endpoint)
                if golden is None and (self._suspected.is_set() or self._golden_is_due(replica)):
                    self._suspected.clear()
                    golden = asyncio.ensure_future(replica.ask_golden())
                busy = golden is not None or replica.endpoint.in_flight > 0
                if vitals.look(time.monotonic(), replica.pulse, busy) >= self._limits.golden_deadline_seconds:
                    return HANG
                reason = self._memory_reason(replica, renewable)
                if reason is not None:
                    return reason
            return EXIT
        finally:
            if golden is not None:
                golden.cancel()

    def _golden_is_due(self, replica: ReplicaProcess) -> bool:
        last = replica.golden_at or 0.0
        return time.monotonic() - last >= self._limits.golden_interval_seconds

    def _memory_reason(self, replica: ReplicaProcess, renewable: bool) -> str | None:
        resident, _ = replica.usage()
        if resident > self._memory_limit:
            return MEMORY
        # One that is swollen when it is new would be replaced for ever.
        old_enough = time.monotonic() - self._ready_at >= STABLE_SECONDS
        return SWOLLEN if renewable and old_enough and resident > _SOFT_SHARE * self._memory_limit else None

    # ----------------------------------------------------------------------------------------------- telling

    @property
    def status(self) -> ReplicaStatus:
        """What there is to know."""
        replica = self._current
        resident, seconds = replica.usage() if replica is not None else (0, 0.0)
        golden = replica.golden_at if replica is not None else None
        return ReplicaStatus(
            index=self.index,
            state=self._state,
            pid=replica.pid if replica is not None else 0,
            restarts=tuple(sorted(self._restarts.items())),
            memory_bytes=resident,
            memory_limit_bytes=self._memory_limit,
            cpu_seconds=seconds,
            in_flight=replica.endpoint.in_flight if replica is not None else 0,
            golden_age=None if golden is None else time.monotonic() - golden,
            message=self._message,
        )

    def answered_within(self, seconds: float) -> bool:
        """Whether it is ready, and a golden inference succeeded so lately."""
        golden = self._current.golden_at if self._current is not None else None
        return self._state == status.READY and golden is not None and time.monotonic() - golden <= seconds

    @property
    def endpoint(self) -> Endpoint | None:
        """The way to the replica that fills this place; None while there is none."""
        return self._current.endpoint if self._current is not None else None

    def holds(self, endpoint: object) -> bool:
        """Whether that is the way to the replica that fills this place."""
        return self._current is not None and self._current.endpoint is endpoint
