from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from toolkit.gateway.deadline import Deadline
from toolkit.gateway.faults import DeadlineExceeded, NotReady
from toolkit.gateway.pool import Pool


class Lane:
    """What a pool needs of an endpoint."""

    def __init__(self) -> None:
        self.in_flight = self.guests = 0
        self.alone = False


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 10))  # type: ignore[arg-type]


def pool_of(*lanes: Any, depth: int = 2) -> Pool:
    pool = Pool(depth)
    for lane in lanes:
        pool.add(lane)
    return pool


def soon() -> Deadline:
    return Deadline.after(5)


def test_the_replica_with_least_to_do_is_taken() -> None:
    async def work() -> None:
        first, second = Lane(), Lane()
        pool = pool_of(first, second)
        assert [await pool.take(soon()) for _ in range(4)] == [first, second, first, second]

    run(work)


def test_requests_wait_in_the_order_of_their_arrival() -> None:
    async def work() -> None:
        lane: Any = Lane()
        pool = pool_of(lane, depth=1)
        await pool.take(soon())
        served: list[int] = []

        async def ask(number: int) -> None:
            await pool.take(soon())
            served.append(number)
            pool.give_back(lane)

        waiting = [asyncio.create_task(ask(number)) for number in range(5)]
        await asyncio.sleep(0)
        assert pool.waiting == 5
        pool.give_back(lane)
        await asyncio.gather(*waiting)
        assert served == [0, 1, 2, 3, 4]

    run(work)


def test_a_request_that_gives_up_lets_the_next_one_through_and_loses_no_place() -> None:
    async def work() -> None:
        lane: Any = Lane()
        pool = pool_of(lane, depth=1)
        await pool.take(soon())
        gone, patient = (asyncio.create_task(pool.take(soon())) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        pool.give_back(lane)
        assert await patient is lane
        pool.give_back(lane)
        assert (lane.in_flight, pool.waiting) == (0, 0)

    run(work)


def test_a_replica_handed_to_a_request_that_is_cancelled_at_that_moment_comes_back() -> None:
    async def work() -> None:
        lane: Any = Lane()
        pool = pool_of(lane, depth=1)
        await pool.take(soon())
        waiting = asyncio.create_task(pool.take(soon()))
        await asyncio.sleep(0)
        pool.give_back(lane)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert lane.in_flight == 0

    run(work)


def test_one_that_wants_to_be_alone_gets_an_idle_replica_and_no_company() -> None:
    async def work() -> None:
        lane: Any = Lane()
        pool = pool_of(lane)
        await pool.take(soon())
        alone = asyncio.create_task(pool.take(soon(), alone=True))
        behind = asyncio.create_task(pool.take(soon()))
        await asyncio.sleep(0.01)
        assert not alone.done()
        assert not behind.done(), "it would keep the other one waiting for ever"
        pool.give_back(lane)
        assert await alone is lane
        await asyncio.sleep(0.01)
        assert not behind.done()
        pool.give_back(lane)
        assert await behind is lane

    run(work)


def test_a_withdrawn_replica_gets_nothing_and_one_that_is_added_gets_what_waits() -> None:
    async def work() -> None:
        old, new = Lane(), Lane()
        pool = pool_of(old)
        pool.withdraw(old)  # type: ignore[arg-type]
        waiting = asyncio.create_task(pool.take(soon()))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        pool.add(new)  # type: ignore[arg-type]
        assert await waiting is new

    run(work)


def test_it_is_deserted_when_nobody_is_left_and_not_before_anybody_came() -> None:
    lane: Any = Lane()
    pool = Pool(2)
    assert not pool.deserted
    pool.add(lane)
    assert not pool.deserted
    pool.withdraw(lane)
    assert pool.deserted


def test_who_waits_until_the_deadline_is_told_whether_there_was_nobody_or_too_much_to_do() -> None:
    async def work() -> None:
        with pytest.raises(NotReady):
            await pool_of().take(Deadline.after(0.01))
        pool = pool_of(Lane(), depth=1)
        await pool.take(soon())
        with pytest.raises(DeadlineExceeded):
            await pool.take(Deadline.after(0.01))

    run(work)


def test_a_suspect_is_withdrawn_and_told_of_once() -> None:
    lane: Any = Lane()
    told: list[Any] = []

    async def work() -> None:
        pool = pool_of(lane)
        pool.suspected = told.append
        pool.suspect(lane)
        pool.suspect(lane)
        assert pool.size == 0

    run(work)
    assert told == [lane]


def test_the_time_to_wait_follows_what_inferences_take_and_how_many_are_ahead() -> None:
    async def work() -> None:
        lane: Any = Lane()
        pool = pool_of(lane, depth=1)
        assert pool.seconds_to_wait == 0
        await pool.take(soon())
        pool.give_back(lane, seconds=2.0)
        assert pool.seconds_to_wait == 0
        await pool.take(soon())
        assert pool.seconds_to_wait == pytest.approx(2.0)

    run(work)


def test_a_guest_comes_where_there_is_a_place_to_spare_one_at_a_time_and_not_before_clients() -> None:
    async def work() -> None:
        first, second = Lane(), Lane()
        pool = pool_of(first, second, depth=1)
        assert await pool.take(soon()) is first
        assert pool.take_spare() is second  # type: ignore[comparison-overlap]
        assert pool.take_spare() is None
        pool.give_back_spare(second)  # type: ignore[arg-type]
        assert (second.in_flight, second.guests) == (0, 0)
        await pool.take(soon())
        waiting = asyncio.create_task(pool.take(soon()))
        await asyncio.sleep(0.01)
        assert pool.take_spare() is None
        pool.give_back(first)  # type: ignore[arg-type]
        assert await waiting is first

    run(work)


def test_a_guest_takes_no_clients_place_and_its_replica_is_taken_last() -> None:
    async def work() -> None:
        visited, other = Lane(), Lane()
        pool = pool_of(visited, other, depth=1)
        assert pool.take_spare() is visited  # type: ignore[comparison-overlap]
        assert [await pool.take(soon()) for _ in range(2)] == [other, visited]
        waiting = asyncio.create_task(pool.take(soon()))
        await asyncio.sleep(0.01)
        pool.give_back_spare(visited)  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        assert not waiting.done(), "that was no client's place"
        pool.give_back(visited)  # type: ignore[arg-type]
        assert await waiting is visited

    run(work)


def test_one_that_wants_to_be_alone_waits_for_a_guest_too() -> None:
    async def work() -> None:
        lane: Any = Lane()
        pool = pool_of(lane)
        assert pool.take_spare() is lane
        waiting = asyncio.create_task(pool.take(soon(), alone=True))
        await asyncio.sleep(0.01)
        assert not waiting.done(), "whose doing it is if the replica goes down would not be known"
        pool.give_back_spare(lane)
        assert await waiting is lane

    run(work)
