from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.gateway.measured import REPLICA, TIMINGS, Service
from toolkit.gateway import replica_metrics
from toolkit.gateway.catalog import Catalog, ModelInfo
from toolkit.gateway.exposition import PIPELINE
from toolkit.gateway.faults import Fault
from toolkit.gateway.metrics import SIZES
from toolkit.gateway.request_metrics import GRPC_PROTOCOLS, HTTP_CODES, HTTP_PROTOCOLS, SECONDS
from toolkit.gateway.status import READY, STATES, ReplicaStatus
from toolkit.supervisor import slot

DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


@pytest.fixture
def service() -> Service:
    return Service(REPLICA)


# --------------------------------------------------------------------------------------------------- requests


def test_a_request_is_counted_by_protocol_and_code_and_timed(service: Service) -> None:
    service.metrics.request("http", "200", 0.4)
    service.metrics.request("http", "200", 0.6)
    service.metrics.request("oip_grpc", "RESOURCE_EXHAUSTED", 0.001)
    assert service.value("serving_requests_total", protocol="http", code="200") == 2
    assert service.value("serving_requests_total", protocol="oip_grpc", code="RESOURCE_EXHAUSTED") == 1
    assert service.value("serving_request_duration_seconds_count", protocol="http") == 2
    assert service.value("serving_request_duration_seconds_sum", protocol="http") == pytest.approx(1.0)


def test_a_time_is_in_the_buckets_from_its_own_upward(service: Service) -> None:
    service.metrics.request("http", "200", 0.5)

    def below(bound: str) -> float | None:
        return service.value("serving_request_duration_seconds_bucket", protocol="http", le=bound)

    assert (below("0.3"), below("0.5"), below("0.75"), below("+Inf")) == (0, 1, 1, 1)


def test_a_time_beyond_all_bounds_is_counted_too(service: Service) -> None:
    service.metrics.request("http", "504", 61.0)
    assert service.value("serving_request_duration_seconds_bucket", protocol="http", le="60.0") == 0
    assert service.value("serving_request_duration_seconds_bucket", protocol="http", le="+Inf") == 1


def test_codes_and_protocols_that_nobody_foresaw_share_one_series(service: Service) -> None:
    before = service.exposition.render("")[0].count(b"\n")
    for number in range(100):
        service.metrics.request("http", str(1000 + number), 0.1)
        service.metrics.request(f"gopher-{number}", "200", 0.1)
    assert service.value("serving_requests_total", protocol="http", code="other") == 100
    assert service.value("serving_requests_total", protocol="other", code="other") == 100
    assert service.exposition.render("")[0].count(b"\n") - before < 30


@pytest.mark.parametrize("protocol", HTTP_PROTOCOLS + GRPC_PROTOCOLS)
def test_a_first_error_is_an_increase_from_zero(service: Service, protocol: str) -> None:
    code = "503" if protocol in HTTP_PROTOCOLS else "UNAVAILABLE"
    assert service.value("serving_requests_total", protocol=protocol, code=code) == 0


def test_every_fault_of_the_front_door_has_a_code_of_its_own() -> None:
    statuses = {str(fault.status) for fault in _faults(Fault)}
    assert statuses <= set(HTTP_CODES)


def _faults(kind: type[Fault]) -> Iterator[type[Fault]]:
    yield kind
    for more in kind.__subclasses__():
        yield from _faults(more)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "unauthenticated"),
        (408, "deadline"),
        (413, "too_large"),
        (429, "queue_full"),
        (503, "not_ready"),
        (504, "deadline"),
    ],
)
def test_a_status_that_turns_a_request_down_says_why(service: Service, status: int, reason: str) -> None:
    service.metrics.refused(status)
    assert service.value("serving_requests_rejected_total", reason=reason) == 1


@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_any_other_status_is_no_rejection(service: Service, status: int) -> None:
    service.metrics.refused(status)
    samples = service.families()["serving_requests_rejected"].samples
    assert len(samples) >= 5
    assert {sample.value for sample in samples} == {0.0}


def test_retries_and_poison_are_counted(service: Service) -> None:
    service.metrics.retried()
    service.metrics.retried()
    service.metrics.poisoned()
    assert service.value("serving_requests_retried_total") == 2
    assert service.value("serving_requests_poisoned_total") == 1


# ----------------------------------------------------------------------------------------------------- timings


def test_the_stages_of_a_request_are_timed_by_model(service: Service) -> None:
    service.metrics.timings(0.002, TIMINGS)
    name = "serving_stage_duration_seconds_sum"
    assert service.value(name, stage="queue") == pytest.approx(0.002)
    assert service.value(name, stage="decode") == pytest.approx(0.01)
    assert service.value(name, stage="preprocess", model="det") == pytest.approx(0.004)
    assert service.value(name, stage="inference", model="rec") == pytest.approx(0.1)
    assert service.value(name, stage="postprocess", model="rec") == pytest.approx(0.007)
    assert service.value(name, stage="total") == pytest.approx(0.25)


def test_the_size_of_every_batch_is_counted_by_model(service: Service) -> None:
    service.metrics.timings(0.0, TIMINGS)
    assert service.value("serving_batch_size_count", model="det") == 1
    assert service.value("serving_batch_size_count", model="rec") == 3
    assert service.value("serving_batch_size_sum", model="rec") == 15
    assert service.value("serving_batch_size_bucket", model="rec", le="4.0") == 1


@pytest.mark.parametrize(
    "timings",
    [
        {},
        None,
        [],
        "slow",
        {"stages": None, "batches": None, "total": None},
        {"stages": [1, 2], "batches": {"rec": 6}, "total": "0.3"},
        {"stages": {"decode": "fast"}, "batches": {"rec": ["six", None, {}]}},
        {"stages": {"decode": float("nan")}, "total": float("inf")},
        {"stages": {"decode": -1.0}, "total": -5},
        {"stages": {"decode": True}, "total": 10**400},
        {"stages": {"left.inference": 1.0, "det": 1.0, "det.": 1.0, "det.sleep": 1.0, "": 1.0}},
        {"batches": {"left": [1], "": [1]}},
    ],
)
def test_what_makes_no_sense_in_timings_is_left_out(service: Service, timings: Any) -> None:
    before = service.families()
    service.metrics.timings(0.5, timings)
    after = service.families()
    assert service.value("serving_stage_duration_seconds_sum", stage="queue") == 0.5
    for name in ("serving_stage_duration_seconds", "serving_batch_size"):
        changed = [sample for sample in after[name].samples if sample not in before[name].samples]
        assert all(sample.labels.get("stage") == "queue" for sample in changed)


def test_nonsense_beside_good_timings_costs_only_itself(service: Service) -> None:
    service.metrics.timings(
        float("nan"), {"stages": {"decode": {}, "det.inference": 1}, "batches": {"rec": [6, "x"]}}
    )
    assert service.value("serving_stage_duration_seconds_count", stage="queue") == 0
    assert service.value("serving_stage_duration_seconds_count", stage="decode") == 0
    assert service.value("serving_stage_duration_seconds_sum", stage="inference", model="det") == 1
    assert service.value("serving_batch_size_count", model="rec") == 1


def test_a_request_costs_twenty_microseconds_at_most() -> None:
    metrics = Service(REPLICA).metrics

    def answered() -> None:
        metrics.timings(0.002, TIMINGS)
        metrics.request("http", "200", 0.3)

    # Other processes take the processor at times: the quickest of many short rounds is what the code costs.
    seconds = min(_seconds(answered, 200) for _ in range(100)) / 200
    assert seconds < 20e-6 * _slowness(), f"{seconds * 1e6:.1f} microseconds"


def _seconds(function: Callable[[], None], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        function()
    return time.process_time() - began


def _slowness() -> float:
    """How much slower than the machine of the figure this one is, by a loop that took it 5 ms; 1 if it is not."""

    def count() -> None:
        for number in range(100_000):
            number + number

    return max(1.0, min(_seconds(count, 1) for _ in range(10)) / 0.005)


# ---------------------------------------------------------------------------------------------------- replicas


def test_a_replica_is_in_one_of_its_states(service: Service) -> None:
    states = {state: service.value("serving_replica_state", replica="0", state=state) for state in STATES}
    assert states == {state: float(state == READY) for state in STATES}


def test_what_the_supervisor_knows_of_a_replica_is_told(service: Service) -> None:
    assert service.value("serving_replica_resident_memory_bytes", replica="0") == 700_000_000
    assert service.value("serving_replica_memory_limit_bytes", replica="0") == 1_000_000_000
    assert service.value("serving_replica_golden_age_seconds", replica="0") == 3.25
    assert service.value("serving_replica_in_flight", replica="0") == 1
    assert service.value("serving_replica_restarts_total", replica="0", reason="exit") == 2
    assert service.value("serving_replica_restarts_total", replica="0", reason="hang") == 0


def test_a_limit_and_an_age_that_are_not_there_are_not_told_as_zero() -> None:
    service = Service(ReplicaStatus(0, "starting"))
    assert service.value("serving_replica_memory_limit_bytes", replica="0") is None
    assert service.value("serving_replica_golden_age_seconds", replica="0") is None


def test_every_reason_of_the_supervisor_is_known_and_another_one_is_counted_too() -> None:
    given = (slot.EXIT, slot.HANG, slot.MEMORY, slot.GOLDEN, slot.START, slot.SWOLLEN)
    assert set(given) == set(replica_metrics.REASONS)
    service = Service(ReplicaStatus(0, READY, restarts=(("boredom", 1), ("spite", 2))))
    assert service.value("serving_replica_restarts_total", replica="0", reason="other") == 3


def test_processor_time_does_not_fall_when_a_replica_is_replaced() -> None:
    service = Service()
    told = []
    for pid, seconds in ((7, 10.0), (7, 12.0), (0, 0.0), (0, 0.0), (8, 1.0), (8, 2.0), (9, 5.0), (9, 6.0)):
        service.replicas = (ReplicaStatus(0, READY, pid=pid, cpu_seconds=seconds),)
        told.append(service.value("serving_replica_cpu_seconds_total", replica="0"))
    # 9 has used more than 8 when it is first seen: no fall, and yet another process.
    assert told == [10, 12, 12, 12, 13, 14, 19, 20]


def test_processor_time_is_kept_by_place() -> None:
    service = Service(
        ReplicaStatus(0, READY, pid=7, cpu_seconds=3.0), ReplicaStatus(1, READY, pid=8, cpu_seconds=4.0)
    )
    for _ in range(2):
        assert service.value("serving_replica_cpu_seconds_total", replica="0") == 3
        assert service.value("serving_replica_cpu_seconds_total", replica="1") == 4


# ----------------------------------------------------------------------------------------------------- service


def test_the_models_that_are_served_are_told_with_precision_digest_and_verdict(service: Service) -> None:
    facts = {"model": "rec", "precision": "bf16", "digest": "979e", "verdict": "inconclusive"}
    assert service.value("serving_model_info", **facts) == 1
    assert service.value("serving_model_info", model="ocr", digest="5e2f") == 1
    assert service.value("serving_build_info", version="1.2.3") == 1


def test_models_have_one_name_in_all_metrics(service: Service) -> None:
    service.metrics.timings(0.0, TIMINGS)
    for name in ("serving_stage_duration_seconds", "serving_batch_size", "serving_model_info"):
        models = {sample.labels["model"] for sample in service.families()[name].samples} - {"", "ocr"}
        assert models == {"det", "rec"}


def test_the_load_is_asked_at_each_scrape(service: Service) -> None:
    service.in_flight, service.queued = 5, 3
    assert service.value("serving_in_flight") == 5
    assert service.value("serving_queued") == 3
    service.in_flight = 0
    assert service.value("serving_in_flight") == 0


def test_a_service_is_ready_when_its_front_door_says_so_whatever_its_replicas_are() -> None:
    assert Service(REPLICA, ready=lambda: True).value("serving_ready") == 1
    assert Service(REPLICA, ready=lambda: False).value("serving_ready") == 0


def test_the_front_door_tells_of_its_own_process(service: Service) -> None:
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
        value = service.value(name)
        assert value is not None, name
        assert value > 0, name


def test_two_services_in_one_process_do_not_share_anything(service: Service) -> None:
    other = Service(REPLICA)
    service.metrics.retried()
    assert other.value("serving_requests_retried_total") == 0
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("serving")]


# --------------------------------------------------------------------------------------------------- exposition

_PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        (_PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ("APPLICATION/OpenMetrics-Text ; Q=0.9", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", False),
        ("application/openmetrics-text;q=", True),
        ("application/openmetrics-text;version=9.9.9;q=high", True),
        (";;;,,,=;q", False),
    ],
)
def test_a_scraper_gets_the_format_that_it_asks_for(service: Service, accept: str, openmetrics: bool) -> None:
    content, content_type = service.exposition.render(accept)
    assert content_type.partition(";")[0] == ("application/openmetrics-text" if openmetrics else "text/plain")
    assert content.endswith(b"# EOF\n") is openmetrics
    # What the client says is nowhere in what it gets back.
    assert "9.9.9" not in content_type


def test_both_formats_can_be_read_and_say_the_same(service: Service) -> None:
    service.metrics.request("http", "200", 0.4)
    service.metrics.timings(0.1, TIMINGS)
    told = []
    for accept, read in (("", read_text), ("application/openmetrics-text", read_openmetrics)):
        families = list(read(service.exposition.render(accept)[0].decode()))
        samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            if not family.name.startswith("process_")
            for sample in family.samples
        }
        assert len(samples) == sum(
            len(item.samples) for item in families if not item.name.startswith("process_")
        )
        told.append(samples)
    assert told[0] == told[1]
    assert len(told[0]) > 200


def test_no_series_says_when_another_one_was_created(service: Service) -> None:
    service.metrics.request("http", "200", 0.4)
    for accept in ("", "application/openmetrics-text"):
        assert b"_created" not in service.exposition.render(accept)[0]


def test_buckets_cover_a_millisecond_to_a_minute_and_any_batch() -> None:
    assert (SECONDS[0], SECONDS[-1]) == (0.001, 60.0)
    assert list(SECONDS) == sorted(set(SECONDS))
    assert list(SIZES) == sorted(set(SIZES))


# ------------------------------------------------------------------------------------------------ documentation


def test_names_end_in_their_unit(service: Service) -> None:
    for name, family in service.families().items():
        text = f"{name} {family.documentation}".lower()
        if re.search(r"\b(time|age) ", text) and not name.startswith("process_"):
            assert name.endswith("_seconds"), name
        if "memory" in name:
            assert name.endswith("_bytes"), name
        assert not re.search(r"_(ms|us|milliseconds|mb|kb|percent)(_|$)", name)


def test_the_reference_has_every_metric_with_its_type_and_labels(service: Service) -> None:
    service.metrics.timings(0.1, TIMINGS)
    suffixes = {"counter": "_total", "info": "_info"}
    # The text format knows no info; OpenMetrics does.
    families = read_openmetrics(service.exposition.render("application/openmetrics-text")[0].decode())
    exported = {
        family.name + suffixes.get(family.type, ""): (
            family.type,
            frozenset().union(*(sample.labels for sample in family.samples)) - {"le", PIPELINE},
        )
        for family in families
    }
    documented = {
        name: (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(
            r"^\| `(\w+)` \| (counter|gauge|histogram|info) \|[^|]*\|([^|]*)\|",
            DOCS.read_text(encoding="utf-8"),
            re.M,
        )
    }
    assert documented == exported


def test_all_that_is_a_pipelines_says_which(service: Service) -> None:
    for name, family in service.families().items():
        is_of_the_process = name == "serving_build" or name.startswith(("process_", "serving_build"))
        assert all((PIPELINE in sample.labels) is not is_of_the_process for sample in family.samples), name


def test_two_pipelines_are_told_under_one_name_each_with_its_own(service: Service) -> None:
    other = Service(REPLICA).metrics
    other.serve(Catalog((ModelInfo("cls", "pipeline", (), ()),)))
    service.exposition.add("cls", other)
    service.metrics.request("http", "200", 0.1)
    other.request("http", "200", 0.1)
    other.request("http", "200", 0.1)
    service.exposition.of("nobody").request("http", "404", 0.1)
    family = service.families()["serving_requests"]
    told = {
        (sample.labels[PIPELINE], sample.labels["code"]): sample.value
        for sample in family.samples
        if sample.value
    }
    assert told == {("ocr", "200"): 1, ("cls", "200"): 2, ("", "404"): 1}
    text = service.exposition.render("")[0].decode()
    assert text.count("# TYPE serving_requests_total counter") == 1
    service.exposition.remove("cls")
    assert 'pipeline="cls"' not in service.exposition.render("")[0].decode()


def test_the_reference_has_the_values_of_the_labels_that_are_bounded() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for value in (
        *HTTP_PROTOCOLS,
        *GRPC_PROTOCOLS,
        *STATES,
        *replica_metrics.REASONS,
        "queue_full",
        "not_ready",
    ):
        assert f"`{value}`" in text, value
    for bounds in (SECONDS, SIZES):
        assert ", ".join(f"{bound:g}" for bound in bounds) in text
