from __future__ import annotations

from toolkit.supervisor.backoff import CRASHES, STABLE_SECONDS, Backoff


def test_a_replica_that_lived_long_is_replaced_at_once() -> None:
    backoff = Backoff()
    backoff.ended(age=STABLE_SECONDS)
    assert backoff.seconds == 0


def test_pauses_grow_and_end_in_a_crash_loop_that_is_not_hot() -> None:
    backoff = Backoff()
    pauses = []
    for _ in range(CRASHES):
        assert not backoff.crash_loop
        backoff.ended(age=1)
        pauses.append(backoff.seconds)
    assert pauses == [0.5, 1, 2, 4, 60]
    assert backoff.crash_loop
    backoff.ended(age=1)
    assert backoff.seconds == 60


def test_one_long_life_ends_the_crash_loop() -> None:
    backoff = Backoff()
    for _ in range(9):
        backoff.ended(age=0)
    backoff.ended(age=STABLE_SECONDS)
    assert (backoff.crash_loop, backoff.seconds) == (False, 0)
