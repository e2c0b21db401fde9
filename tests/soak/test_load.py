from __future__ import annotations

import threading

import pytest

from tests.soak import load
from tests.soak.load import Load


def test_every_request_is_made_once() -> None:
    asked: list[int] = []
    found = load.run(asked.append, requests=100, clients=4)
    assert sorted(asked) == list(range(1, 101))
    assert (found.completed, len(found.seconds), found.failures) == (100, 100, {})


def test_so_many_clients_ask_at_a_time() -> None:
    meeting = threading.Barrier(4, timeout=20)
    assert load.run(lambda number: (meeting.wait(), None)[1], requests=8, clients=4).failures == {}


def test_after_each_request_the_number_of_completed_ones_is_told() -> None:
    told: list[int] = []
    load.run(lambda number: None, 50, 3, told.append)
    assert sorted(told) == list(range(1, 51))


def test_a_request_that_fails_is_kept_with_its_reason_and_the_rest_goes_on() -> None:
    def send(number: int) -> None:
        if number == 3:
            raise ConnectionError("gone")

    found = load.run(send, requests=10, clients=1)
    assert found.failures == {3: "ConnectionError: gone"}
    assert (found.completed, len(found.seconds)) == (10, 9)


def test_a_service_that_is_gone_is_not_asked_thousands_of_times() -> None:
    def send(number: int) -> None:
        raise ConnectionError

    found = load.run(send, requests=5000, clients=2)
    assert load.ENOUGH_FAILURES <= found.completed <= load.ENOUGH_FAILURES + 1


@pytest.mark.parametrize(("share", "milliseconds"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_quantile_is_a_time_that_was_measured(share: float, milliseconds: float) -> None:
    found = Load([number / 1000 for number in range(100, 0, -1)])
    assert found.quantile_ms(share) == pytest.approx(milliseconds)


def test_without_answers_there_is_no_time() -> None:
    assert Load().quantile_ms(0.5) == 0
