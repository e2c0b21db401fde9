from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from toolkit import mailbox
from toolkit.gateway.endpoint import Endpoint
from toolkit.mailbox import Delivery, Mailbox

SIZE = 2 * 1024 * 1024
LARGE = bytes(range(256)) * 4096


@pytest.fixture
def box() -> Iterator[Mailbox]:
    box = Mailbox(2, SIZE)
    yield box
    box.close()


@pytest.fixture
def delivery(box: Mailbox) -> Delivery:
    return Delivery(os.dup(box.fileno))


def test_a_message_is_taken_where_it_was_put(box: Mailbox, delivery: Delivery) -> None:
    with box.holding(LARGE) as one, box.holding(LARGE[1:]) as other:
        assert one is not None
        assert other is not None
        assert delivery.take(one) == LARGE
        assert delivery.take(other) == LARGE[1:]


def test_what_is_small_or_too_large_or_finds_no_slot_has_no_place(box: Mailbox) -> None:
    for message in (b"", b"x" * 1000, bytes(SIZE + mmap.PAGESIZE)):
        with box.holding(message) as place:
            assert place is None
    with box.holding(LARGE), box.holding(LARGE), box.holding(LARGE) as third:
        assert third is None
    with box.holding(LARGE) as place:
        assert place is not None, "its slot is free again"


def test_a_slot_is_free_again_after_an_exception(box: Mailbox) -> None:
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), box.holding(LARGE) as place:
            1 / (place is None)


def test_the_memory_of_a_large_message_goes_back_to_the_system(box: Mailbox, delivery: Delivery) -> None:
    def used() -> int:
        return os.fstat(box.fileno).st_blocks * 512

    with box.holding(bytes(SIZE)) as place:
        assert place is not None
        assert delivery.take(place) == bytes(SIZE)
        assert used() >= SIZE
    assert used() == 0


def test_nothing_is_open_any_more_after_close() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    box = Mailbox(1, SIZE)
    box.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_box_may_be_closed_while_a_large_message_is_in_it() -> None:
    box = Mailbox(1, SIZE)
    with box.holding(bytes(SIZE)) as place:
        assert place is not None
        box.close()
    with box.holding(LARGE) as place:
        assert place is None


def test_an_endpoint_sends_what_is_large_through_it_and_the_rest_through_the_channel(tmp_path: Path) -> None:
    box, seen = Mailbox(1, SIZE), []
    delivery = Delivery(os.dup(box.fileno))

    def answer(body: bytes, context: Any) -> bytes:
        place = dict(context.invocation_metadata()).get(mailbox.KEY)
        seen.append((len(body), place is not None))
        return body if place is None else delivery.take(place)

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", {"c": handler}),))
    server.add_insecure_port(f"unix:{tmp_path}/socket")
    server.start()

    async def ask() -> list[bytes]:
        endpoint = Endpoint(0, f"unix:{tmp_path}/socket", box)
        try:
            return [(await endpoint.call("/a.B/c", request)).body for request in (b"small", LARGE, LARGE[5:])]
        finally:
            await endpoint.close()

    try:
        assert asyncio.run(ask()) == [b"small", LARGE, LARGE[5:]]
    finally:
        server.stop(0).wait()
    assert seen == [(5, False), (0, True), (0, True)]
