"""The replicas that requests can go to: who gets the next request, and who waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from toolkit.gateway.deadline import Deadline
from toolkit.gateway.endpoint import Endpoint
from toolkit.gateway.faults import DeadlineExceeded, NotReady

# Weight of the newest inference in the mean that waiting times are told from.
_NEWEST = 0.1


@dataclass
class _Waiter:
    future: asyncio.Future[Endpoint]
    alone: bool


class Pool:
    """For one event loop, so it needs no lock.

    Requests are served in the order of their arrival, each by the replica that has least to do. One that wants to be
    alone gets a replica that has nothing else to do, and those behind it wait meanwhile.

    Args:
        depth: requests that a replica is given at a time.

    Attributes:
        suspected: called with a replica that did not answer, after it was withdrawn.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._endpoints: list[Endpoint] = []
        self._has_served = False
        self._waiters: deque[_Waiter] = deque()
        self._mean_seconds = 0.0
        self.suspected: Callable[[Endpoint], None] = lambda endpoint: None

    @property
    def depth(self) -> int:
        """Requests that a replica is given at a time."""
        return self._depth

    @property
    def size(self) -> int:
        """Replicas that take requests."""
        return len(self._endpoints)

    @property
    def deserted(self) -> bool:
        """Whether none is left of the replicas that took requests."""
        return self._has_served and not self._endpoints

    @property
    def waiting(self) -> int:
        """Requests that wait for a replica."""
        return len(self._waiters)

    @property
    def seconds_to_wait(self) -> float:
        """How long a request that comes now is likely to wait; 0 while nothing has been measured."""
        lanes = max(1, len(self._endpoints))
        ahead = len(self._waiters) + sum(endpoint.in_flight for endpoint in self._endpoints)
        return self._mean_seconds * ahead / lanes

    def add(self, endpoint: Endpoint) -> None:
        """Let a replica take requests."""
        if endpoint not in self._endpoints:
            self._has_served = True
            self._endpoints.append(endpoint)
            self._wake()

    def withdraw(self, endpoint: Endpoint) -> None:
        """Give a replica no further request; those that it has go on."""
        if endpoint in self._endpoints:
            self._endpoints.remove(endpoint)

    def suspect(self, endpoint: Endpoint) -> None:
        """Withdraw a replica that did not answer, and have its supervisor look after it."""
        if endpoint in self._endpoints:
            self.withdraw(endpoint)
            self.suspected(endpoint)

    async def take(self, deadline: Deadline, alone: bool = False) -> Endpoint:
        """A replica for one request; `give_back` frees it.

        Raises:
            DeadlineExceeded: all had too much to do until the deadline.
            NotReady: there was none.
        """
        waiter = _Waiter(asyncio.get_running_loop().create_future(), alone)
        self._waiters.append(waiter)
        self._wake()
        try:
            await asyncio.wait({waiter.future}, timeout=max(0.0, deadline.remaining))
        except asyncio.CancelledError:
            self._abandon(waiter)
            raise
        if not waiter.future.done():
            self._abandon(waiter)
            raise self._too_late()
        return waiter.future.result()

    def _abandon(self, waiter: _Waiter) -> None:
        """Let nobody hand a replica to a request that no longer waits, or take back what it has just been given."""
        if waiter.future.done():
            self.give_back(waiter.future.result())
        else:
            self._waiters.remove(waiter)
            self._wake()

    def _too_late(self) -> Exception:
        if not self._endpoints:
            return NotReady(
                "no model server came back in time", "try again in a moment; /readyz says when it can"
            )
        return DeadlineExceeded(
            "the request waited for a model server until its deadline", "try again later, or allow more time"
        )

    def take_spare(self) -> Endpoint | None:
        """A replica for what no client waits for, beside what it has for clients; None: none has a place to spare.

        `give_back_spare` ends that. It takes no client's place: a client is given the replica as if it was not there.
        """
        if self._waiters:
            return None
        spare = [
            item
            for item in self._endpoints
            if item.in_flight < self._depth and not item.guests and not item.alone
        ]
        found = min(spare, key=lambda item: item.in_flight, default=None)
        if found is not None:
            found.guests += 1
        return found

    def give_back_spare(self, endpoint: Endpoint) -> None:
        """What it was taken for has ended."""
        endpoint.guests -= 1
        self._wake()

    def give_back(self, endpoint: Endpoint, seconds: float | None = None) -> None:
        """The request that the replica was taken for has ended, after `seconds` of work if that counts."""
        endpoint.in_flight -= 1
        endpoint.alone = False
        if seconds is not None:
            known = self._mean_seconds
            self._mean_seconds = seconds if known == 0 else known + _NEWEST * (seconds - known)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            endpoint = self._for(self._waiters[0])
            if endpoint is None:
                return
            waiter = self._waiters.popleft()
            endpoint.in_flight += 1
            endpoint.alone = waiter.alone
            waiter.future.set_result(endpoint)

    def _for(self, waiter: _Waiter) -> Endpoint | None:
        limit = 1 if waiter.alone else self._depth
        free = [
            item
            for item in self._endpoints
            if item.in_flight < limit and not item.alone and not (waiter.alone and item.guests)
        ]
        return min(free, key=lambda item: item.in_flight + item.guests, default=None)
