"""Replicas that die, hang, swell and do not start, while clients ask: what these must not notice."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import psutil
import pytest

from tests.chaos import images
from tests.chaos.load import Load, questions
from tests.chaos.release import rendered
from tests.chaos.service import Service, leftovers, running
from tests.chaos.watch import Recovery, Watch
from tests.e2e import faulty

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

# A hang is found out soon, so that a test need not wait.
QUICK = {"golden_interval_seconds": 2.0, "golden_deadline_seconds": 3.0}
INTERVAL, DEADLINE = QUICK.values()

LIMIT_MEGABYTES = 1400

# What a look, and a busy machine, add to a time.
SLACK = 1.5


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    release = faulty.copy(rendered(), tmp_path_factory.mktemp("quick") / "release", **QUICK)
    with running(release, 3) as made:
        yield made


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("faulty") / "release"
    return faulty.make(rendered(), target, memory_limit_megabytes=LIMIT_MEGABYTES, **QUICK)


def load_of(service: Service, clients: int) -> Load:
    return Load(*service.http, questions(service.release), clients)


def strike(service: Service, index: int, number: int, clients: int) -> Recovery:
    """Send a signal to a replica, under the load of so many clients, who must not notice."""
    service.wait_until_all_ready()
    with Watch(*service.http) as watch, load_of(service, clients) as load:
        if clients:
            load.wait_for(2 * clients)
        victim = service.replica(index)
        victim.send_signal(number)
        recovery = watch.expect(index, time.monotonic())
        assert watch.wait_until_recovered(120), service.log()
        if clients:
            load.wait_for(clients)
    assert not load.failures, load.failures
    assert not load.wrong, load.wrong
    assert not watch.absent
    assert not psutil.pid_exists(victim.pid)
    tell(f"{signal.Signals(number).name}, {clients} clients", recovery, load)
    return recovery


def tell(what: str, recovery: Recovery, load: Load) -> None:
    print(f"{what}: out {recovery.out:.2f} s, back {recovery.back:.2f} s, longest wait {load.longest:.2f} s")


def test_a_replica_that_is_killed_is_out_at_once_and_no_request_fails(service: Service) -> None:
    recovery = strike(service, 0, signal.SIGKILL, clients=2)
    assert recovery.out is not None
    assert recovery.out < 1
    retried = service.look().retried
    assert retried <= service.plan.limits.workers


def test_a_replica_that_exits_is_out_within_a_second(service: Service) -> None:
    recovery = strike(service, 1, signal.SIGTERM, clients=0)
    assert recovery.out is not None
    assert recovery.out < 1


def test_a_replica_that_is_stopped_under_load_is_out_within_the_golden_deadline(service: Service) -> None:
    # As many as take all replicas: the one that stops has a request.
    recovery = strike(service, 2, signal.SIGSTOP, clients=4)
    assert recovery.out is not None
    assert recovery.out < DEADLINE + SLACK
    assert service.look().by_reason("hang") == 1


def test_a_replica_that_is_stopped_while_idle_is_found_by_the_golden_inference(service: Service) -> None:
    before = service.look().by_reason("hang")
    recovery = strike(service, 0, signal.SIGSTOP, clients=0)
    assert recovery.out is not None
    assert recovery.out < INTERVAL + DEADLINE + SLACK
    assert service.look().by_reason("hang") == before + 1


def test_replaced_replicas_leave_no_socket_and_no_pulse(service: Service) -> None:
    service.wait_until_all_ready()
    assert service.look().replaced(0), "the tests before have replaced it"
    kept = [name.rpartition("/")[2] for name in leftovers(service.home)]
    assert sorted(Path(name).suffix for name in kept) == [".pulse"] * 3 + [".sock"] * 3, kept


@pytest.mark.parametrize(
    ("width", "reason"),
    [
        pytest.param(faulty.ABORT, "exit", id="abort"),
        pytest.param(faulty.SLEEP, "hang", id="sleep"),
        pytest.param(faulty.HOLD_GIL, "hang", id="hold-gil"),
        pytest.param(faulty.ALLOCATE, "memory", id="allocate"),
    ],
)
def test_a_request_that_takes_two_replicas_down_is_poison_and_all_others_are_served(
    faults: Path, width: int, reason: str
) -> None:
    poison = images.blank(width)
    with running(faults, 3) as service, load_of(service, 2) as load:
        load.wait_for(4)
        answer = service.ask(poison)
        assert answer.status == 500, answer
        message = answer.json["error"]["message"]
        digest = message.partition("SHA-256 ")[2].rstrip(")")
        assert len(digest) == 64, message
        assert digest in service.log()
        again = service.ask(poison)
        assert (again.status, again.json["error"]["message"]) == (500, message)
        assert again.seconds < 1, "no replica works on it"
        back = service.wait_until_all_ready(120)
        load.wait_for(2)
        seen = service.look()
    assert not load.failures, load.failures
    assert not load.wrong, load.wrong
    assert seen.by_reason(reason) == sum(seen.restarts.values()) == 2, seen.restarts
    assert seen.poisoned == 1
    print(
        f"{reason}: poison after {answer.seconds:.2f} s, refused in {again.seconds:.3f} s, all back {back:.2f} s"
    )


def test_a_step_that_raises_fails_its_request_and_nothing_else(faults: Path) -> None:
    with running(faults, 1) as service:
        answer = service.ask(images.blank(faulty.RAISE))
        assert answer.status == 500, answer
        assert service.ask(images.blank(80)).status == 200
        assert not sum(service.look().restarts.values())


def test_a_replica_that_swells_is_replaced_in_peace(faults: Path) -> None:
    soft = 0.85 * (LIMIT_MEGABYTES << 20)
    with running(faults, 2) as service, load_of(service, 2) as load:
        load.wait_for(4)
        while max(service.look().memory.values()) <= soft:
            assert service.ask(images.blank(faulty.LEAK)).status == 200
        seconds = service.wait_until(
            "a swollen replica is replaced", lambda: service.look().by_reason("swollen"), 60
        )
        service.wait_until(
            "nobody is swollen",
            lambda: service.look().ready == 2 and max(service.look().memory.values()) < soft,
            120,
        )
        load.wait_for(2)
        seen = service.look()
    assert not load.failures, load.failures
    assert not load.wrong, load.wrong
    assert not seen.retried, "it finished what it had"
    assert seen.by_reason("swollen") == sum(seen.restarts.values()), seen.restarts
    print(f"swollen: noticed after {seconds:.1f} s, longest wait {load.longest:.2f} s")


def test_a_replica_that_cannot_start_ends_in_a_crash_loop_that_is_not_hot_while_others_serve(
    faults: Path,
) -> None:
    with running(faults, 2) as service, load_of(service, 1) as load:
        refusal = service.run_dir / "replica-0" / faulty.REFUSAL
        refusal.touch()
        service.replica(0).kill()
        seconds = service.wait_until("crash loop", in_state(service, 0, "crash-loop"), 180)
        attempts = service.look().by_reason("start")
        # The sum of the pauses before the fifth crash.
        assert seconds > 0.5 + 1 + 2 + 4
        assert attempts == 4
        time.sleep(10)
        seen = service.look()
        assert (seen.states[0], seen.by_reason("start")) == ("crash-loop", attempts)
        record = service.state.replicas[0]
        assert record["state"] == "crash-loop"
        assert "ended with exit code 3 while it started" in record["message"]
        assert service.ready()
        refusal.unlink()
        back = service.wait_until("it is back", in_state(service, 0, "ready"), 120)
    assert not load.failures, load.failures
    assert not load.wrong, load.wrong
    print(f"crash loop: after {seconds:.1f} s and {attempts} starts; back {back:.1f} s after the repair")


def in_state(service: Service, index: int, state: str) -> Callable[[], Any]:
    return lambda: service.look().states[index] == state
