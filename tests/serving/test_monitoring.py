from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.measured import REPLICA, TIMINGS, Service
from toolkit.errors import TemplateError
from toolkit.gateway.request_metrics import GRPC_CODES, HTTP_CODES, SECONDS
from toolkit.gateway.status import STATES
from toolkit.serving import monitoring
from toolkit.serving.monitoring import ALERTS, GRAFANA, PROMETHEUS, Objectives, Scrape

FILES = monitoring.render("ocr", 9393, ["det", "rec"])
RULES = [rule for group in yaml.safe_load(FILES[ALERTS])["groups"] for rule in group["rules"]]
ALARMS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
DASHBOARD = json.loads(FILES[GRAFANA])
DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

# What Prometheus says itself.
BUILT_IN = {"up", "ALERTS"}
_WORDS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing: install Debian's package `prometheus`"
)


def names(expression: str) -> set[str]:
    """The metrics in a PromQL expression: words that are no function, keyword, label or text."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left)\s*\([^)]*\)", "", bare)
    return {
        match.group()
        for match in _WORDS.finditer(bare)
        if not bare[match.end() :].lstrip().startswith("(") and match.group() not in {"and", "or", "unless"}
    }


def exported() -> set[str]:
    """Names of all series of a service that runs."""
    service = Service(REPLICA)
    service.metrics.timings(0.1, TIMINGS)
    content = service.exposition.render("")[0].decode()
    return {sample.name for family in text_string_to_metric_families(content) for sample in family.samples}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    """All PromQL of the dashboard."""
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])
    yield from (item["expr"] for item in DASHBOARD["annotations"]["list"])
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield re.sub(r"label_values\((.*), \w+\)", r"\1", variable["query"]["query"])


# -------------------------------------------------------------------------------------------------------- names


def test_names_are_told_from_what_surrounds_them() -> None:
    expression = (
        'sum by (job) (rate(a_total{code=~"b|c", d="\\"e"}[5m])) / on (job) f:g{h="i"} > 0.5 and up == 1'
    )
    assert names(expression) == {"a_total", "f:g", "up"}


def test_every_metric_that_a_rule_or_the_dashboard_uses_is_exported_or_recorded() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    known = exported() | recorded | BUILT_IN
    for expression in [*(rule["expr"] for rule in RULES), *queries()]:
        used = names(expression)
        assert used, expression
        assert used <= known, expression


def test_everything_recorded_is_used() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    assert recorded == set().union(*(names(rule["expr"]) for rule in ALARMS.values())) & recorded


def test_every_metric_of_the_service_itself_is_on_the_dashboard() -> None:
    shown = set().union(*map(names, queries()))
    families = Service(REPLICA).families()
    missing = {
        name
        for name, family in families.items()
        if name.startswith("serving_") and not shown & {sample.name for sample in family.samples}
    }
    assert missing == set()


def test_labels_have_values_that_the_service_gives_them() -> None:
    service = Service(REPLICA)
    given: dict[str, set[str]] = {}
    for family in service.families().values():
        for sample in family.samples:
            for label, value in sample.labels.items():
                given.setdefault(label, set()).add(value)
    checked = 0
    for expression in [*(rule["expr"] for rule in RULES), *queries()]:
        for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', expression):
            if label in ("job", "instance", "alertstate"):
                continue
            checked += 1
            for one in value.split("|") if operator == "=~" else [value]:
                assert any(re.fullmatch(one, known) for known in given[label]), f"{label}={one}"
    assert checked > 20


def test_what_counts_as_failed_is_the_same_everywhere() -> None:
    said = set(re.findall(r'code=~"([^"]*)"', FILES[ALERTS]))
    said |= {json.loads(f'"{text}"') for text in re.findall(r'code=~\\"(.*?)\\"', FILES[GRAFANA])}
    (pattern,) = said
    failed = {code for code in (*HTTP_CODES, *GRPC_CODES) if re.fullmatch(pattern, code)}
    assert failed == {
        *("500", "503", "504"),
        *("UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "DATA_LOSS"),
    }


# ------------------------------------------------------------------------------------------------------- alerts


@pytest.mark.parametrize("name", ALARMS)
def test_an_alert_says_what_happened_what_to_do_and_where_to_read_on(name: str) -> None:
    rule = ALARMS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    notes = rule["annotations"]
    assert "ocr" in notes["summary"]
    assert len(notes["summary"]) < 120
    assert len(notes["description"]) > 80
    assert re.fullmatch(r"docs/operations\.md#alert-[a-z-]+", notes["runbook"])


def test_the_reference_lists_every_alert_with_its_severity() -> None:
    table = re.findall(r"^\| `(Serving\w+)` \| (\w+) \|", DOCS.read_text(encoding="utf-8"), re.M)
    assert dict(table) == {name: rule["labels"]["severity"] for name, rule in ALARMS.items()}


def test_alerts_are_about_this_service_only() -> None:
    for rule in RULES:
        selectors = re.findall(r"\{[^}]*\}", rule["expr"])
        assert selectors
        assert all('job="serving-ocr"' in selector for selector in selectors), rule["expr"]
    jobs = [item["job_name"] for item in yaml.safe_load(FILES[PROMETHEUS])["scrape_configs"]]
    assert jobs == ["serving-ocr"]


def test_a_latency_objective_lies_on_a_bound_of_the_histogram() -> None:
    assert set(monitoring.LATENCIES) <= set(SECONDS)
    for seconds in monitoring.LATENCIES:
        text = monitoring.render("ocr", 9393, [], Objectives(latency_seconds=seconds))[ALERTS]
        bounds = {
            sample.labels["le"]
            for family in Service().families().values()
            for sample in family.samples
            if "le" in sample.labels
        }
        assert set(re.findall(r'le="([^"]*)"', text)) <= bounds


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"latency_seconds": 4.0}, "`latency_seconds` is 4.0; it must be one of 0.1, "),
        ({"availability": 1.0}, "`availability` is 1.0; it must be above 0.931"),
        ({"latency": 0.9}, "`latency` is 0.9; it must be above 0.931"),
    ],
)
def test_an_objective_that_no_alarm_could_watch_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Objectives(**wrong)
    assert message in caught.value.message


def test_objectives_are_the_thresholds_of_the_alerts() -> None:
    objectives = Objectives(
        availability=0.99,
        restarts=7,
        memory_share=0.8,
        golden_seconds=90.0,
        rejected_share=0.2,
        least_requests=3,
    )
    text = monitoring.render("ocr", 9393, [], objectives)[ALERTS]
    rules = {
        rule.get("alert"): rule["expr"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]
    }
    assert "> 0.144 " in rules["ServingErrorRateFast"]
    assert "> 0.06 " in rules["ServingErrorRateSlow"]
    assert rules["ServingErrorRateFast"].endswith(">= 3")
    assert rules["ServingReplicaRestarts"].endswith("> 7")
    assert rules["ServingReplicaMemory"].endswith("> 0.8")
    assert "> 90.0 " in rules["ServingGoldenStale"]
    assert rules["ServingQueueFull"].endswith("> 0.2")


# -------------------------------------------------------------------------------------------------- prometheus


def scrape_of(**settings: Any) -> dict[str, Any]:
    text = monitoring.render("ocr", 9393, [], scrape=Scrape(**settings))[PROMETHEUS]
    (found,) = yaml.safe_load(text)["scrape_configs"]
    assert isinstance(found, dict)
    return found


def test_prometheus_scrapes_the_port_of_the_service() -> None:
    found = scrape_of()
    assert found["scheme"] == "http"
    assert found["static_configs"] == [{"targets": ["127.0.0.1:9393"]}]
    assert "authorization" not in found
    assert yaml.safe_load(FILES[PROMETHEUS])["rule_files"] == [ALERTS]


def test_prometheus_is_told_of_tls_and_the_file_with_the_key() -> None:
    found = scrape_of(host="::1", tls=True, ca_file="/etc/ca: 1.pem", key_file="/etc/key")
    assert found["scheme"] == "https"
    assert found["static_configs"] == [{"targets": ["[::1]:9393"]}]
    assert found["tls_config"] == {"ca_file": "/etc/ca: 1.pem"}
    assert found["authorization"] == {"type": "Bearer", "credentials_file": "/etc/key"}


# ------------------------------------------------------------------------------------------------------ grafana


def test_the_dashboard_has_a_row_for_each_thing_to_look_at() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Traffic", "Latency by stage", "Replicas", "Canary and watch", "Models"]
    assert isinstance(DASHBOARD["schemaVersion"], int)
    assert DASHBOARD["uid"] == "serving-ocr"
    assert "id" not in DASHBOARD, "Grafana gives that itself"


def test_panels_have_what_grafana_needs() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["type"] in ("stat", "timeseries", "heatmap", "state-timeline", "table")
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == source
        assert {"defaults", "overrides"} == set(panel["fieldConfig"])
        assert panel["targets"]
        assert all(target["datasource"] == source for target in panel["targets"])
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_panels_lie_within_the_grid_and_never_on_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_the_data_source_can_be_chosen_and_nothing_is_bound_to_another() -> None:
    variables = {item["name"]: item for item in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["job"]["current"]["value"] == "serving-ocr"
    assert set(re.findall(r'"uid": "([^"]*)"', FILES[GRAFANA])) == {"${datasource}", "serving-ocr"}
    for query in (expression for panel in panels() for expression in (t["expr"] for t in panel["targets"])):
        assert all('job=~"$job",instance=~"$instance"' in item for item in re.findall(r"\{[^}]*\}", query)), (
            query
        )


def test_legends_name_labels_that_their_query_keeps() -> None:
    for panel in panels():
        for target in panel["targets"]:
            kept = re.findall(r"sum by \(([^)]*)\)", target["expr"])
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert all(label in by.split(", ") for by in kept), panel["title"]


def test_every_state_of_a_replica_has_a_name_and_a_colour() -> None:
    (panel,) = [panel for panel in panels() if panel["type"] == "state-timeline"]
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert {item["text"] for item in mapping["options"].values()} == set(STATES)
    for number, item in mapping["options"].items():
        assert f'state="{item["text"]}"}}) * {number}' in panel["targets"][0]["expr"]


@pytest.mark.parametrize("models", [[], ["det"], ["ocr.det", "ocr.rec"]])
def test_every_model_has_a_panel_of_its_own(models: list[str]) -> None:
    dashboard = json.loads(monitoring.render("ocr", 9393, models)[GRAFANA])
    titles = [panel["title"] for panel in dashboard["panels"] if panel["title"].startswith("Inference of")]
    assert titles == [f"Inference of {model.removeprefix('ocr.')}" for model in models]


# ----------------------------------------------------------------------------------------------------- promtool


def promtool(*arguments: str, cwd: Path, text: str | None = None) -> str:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], cwd=cwd, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_promtool
def test_promtool_accepts_configuration_and_rules(tmp_path: Path) -> None:
    for name in ("key", "ca.pem"):
        (tmp_path / name).touch()
    scrape = Scrape(tls=True, ca_file=str(tmp_path / "ca.pem"), key_file=str(tmp_path / "key"))
    for settings in (None, scrape):
        for name, text in monitoring.render("ocr", 9393, ["det"], scrape=settings).items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        said = promtool("check", "config", PROMETHEUS, cwd=tmp_path)
        assert f"{len(RULES)} rules found" in said


@needs_promtool
def test_promtool_accepts_what_the_service_exports(tmp_path: Path) -> None:
    service = Service(REPLICA)
    service.metrics.timings(0.1, TIMINGS)
    assert (
        promtool("check", "metrics", cwd=tmp_path, text=service.exposition.render("")[0].decode()).strip()
        == ""
    )


@needs_promtool
def test_promtool_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(queries())
    ]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "queries.yml", cwd=tmp_path)


_JOB = 'job="serving-ocr",instance="i"'
_TAKEN_BACK = f'serving_rollouts_total{{{_JOB},result="canary_failed"}}'
_DISAGREES = f'serving_canary_analyses_total{{{_JOB},measurement="answers",result="failure"}}'
# A service with two replicas at which nothing is wrong: one request a second, all answered within half a second.
_WELL = {
    f"up{{{_JOB}}}": "1x480",
    f"serving_ready{{{_JOB}}}": "1x480",
    f'serving_requests_total{{{_JOB},protocol="http",code="200"}}': "0+60x480",
    f'serving_requests_total{{{_JOB},protocol="http",code="500"}}': "0x480",
    f'serving_request_duration_seconds_bucket{{{_JOB},protocol="http",le="5.0"}}': "0+60x480",
    f'serving_request_duration_seconds_count{{{_JOB},protocol="http"}}': "0+60x480",
    f'serving_requests_rejected_total{{{_JOB},reason="queue_full"}}': "0x480",
    f"serving_requests_poisoned_total{{{_JOB}}}": "0x480",
    _TAKEN_BACK: "0x480",
    _DISAGREES: "0x480",
    f"serving_canary_ratio{{{_JOB}}}": "0x480",
    f"process_open_fds{{{_JOB}}}": "20x480",
    f"process_max_fds{{{_JOB}}}": "1024x480",
    **{
        f'{name}{{{_JOB},replica="{replica}"{more}}}': values
        for replica in (0, 1)
        for name, more, values in (
            ("serving_replica_state", ',state="ready"', "1x480"),
            ("serving_replica_state", ',state="crash-loop"', "0x480"),
            ("serving_replica_restarts_total", ',reason="exit"', "0x480"),
            ("serving_replica_resident_memory_bytes", "", "7e8x480"),
            ("serving_replica_memory_limit_bytes", "", "1e9x480"),
            ("serving_replica_golden_age_seconds", "", "8x480"),
        )
    },
}
_READY = [f'serving_replica_state{{{_JOB},replica="{replica}",state="ready"}}' for replica in (0, 1)]
_FAILED = f'serving_requests_total{{{_JOB},protocol="http",code="500"}}'
_FAST = f'serving_request_duration_seconds_bucket{{{_JOB},protocol="http",le="5.0"}}'
_FIVE_MINUTES = {
    "ServingDown": {f"up{{{_JOB}}}": "0x480"},
    "ServingNotReady": {f"serving_ready{{{_JOB}}}": "0x480"},
    "ServingNoReplicaReady": dict.fromkeys(_READY, "0x480"),
    "ServingReplicaMissing": {_READY[1]: "0x480"},
    # Between two looks of the rule it may be at another attempt.
    "ServingReplicaCrashLoop": {f'serving_replica_state{{{_JOB},replica="1",state="crash-loop"}}': "1 0x478"},
    "ServingReplicaRestarts": {
        f'serving_replica_restarts_total{{{_JOB},replica="1",reason="exit"}}': "0 1 2 3 4x476"
    },
    "ServingReplicaMemory": {f'serving_replica_resident_memory_bytes{{{_JOB},replica="1"}}': "9.5e8x480"},
    "ServingGoldenStale": {f'serving_replica_golden_age_seconds{{{_JOB},replica="1"}}': "60+60x480"},
    "ServingPoisonRequest": {f"serving_requests_poisoned_total{{{_JOB}}}": "0 0 1x478"},
    "ServingCanaryFailed": {_TAKEN_BACK: "0 0 1x478"},
    "ServingDisagreement": {_DISAGREES: "0 0 1x478"},
    "ServingOpenFiles": {f"process_open_fds{{{_JOB}}}": "1000x480"},
}


def fires(name: str, minute: int, changes: dict[str, str], folder: Path) -> set[str]:
    """Which alerts fire at `minute` if the service is well but for `changes`, as promtool works it out."""
    series = {**_WELL, **changes}
    assert len(series) == len(_WELL), "a change is of a series that is there"
    (folder / ALERTS).write_text(FILES[ALERTS], encoding="utf-8")
    case = {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "promql_expr_test": [
            # Names of those that fire: wrong on purpose, so that promtool says what it got.
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": [],
            }
        ],
    }
    content = {"rule_files": [ALERTS], "evaluation_interval": "1m", "tests": [case]}
    (folder / "test.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "test", "rules", "test.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 or "got:" in said, said
    return set(re.findall(r'alertname="(\w+)"', said))


@needs_promtool
def test_a_service_that_is_well_raises_no_alarm(tmp_path: Path) -> None:
    for minute in (0, 6, 60, 479):
        assert fires("", minute, {}, tmp_path) == set()


@needs_promtool
@pytest.mark.parametrize("name", _FIVE_MINUTES)
def test_what_goes_wrong_raises_its_alarm_and_no_other_within_six_minutes(name: str, tmp_path: Path) -> None:
    also = {"ServingNoReplicaReady": {"ServingReplicaMissing"}}.get(name, set())
    minute = 4 if name == "ServingReplicaCrashLoop" else 6
    assert fires(name, minute, _FIVE_MINUTES[name], tmp_path) == {name} | also


@needs_promtool
@pytest.mark.parametrize(
    ("name", "minute", "changes"),
    [
        ("ServingErrorRateFast", 10, {_FAILED: "0+2x480"}),
        ("ServingErrorRateSlow", 60, {_FAILED: "0+0.5x480"}),
        ("ServingLatencyFast", 10, {_FAST: "0+6x480"}),
        ("ServingLatencySlow", 60, {_FAST: "0+36x480"}),
        (
            "ServingQueueFull",
            15,
            {f'serving_requests_rejected_total{{{_JOB},reason="queue_full"}}': "0+30x480"},
        ),
    ],
)
def test_a_share_of_the_requests_raises_its_alarm(
    name: str, minute: int, changes: dict[str, str], tmp_path: Path
) -> None:
    fired = fires(name, minute, changes, tmp_path)
    assert name in fired
    assert fired <= {name, name.replace("Fast", "Slow")}


@needs_promtool
def test_an_alarm_for_errors_ends_soon_after_they_have(tmp_path: Path) -> None:
    ended = {_FAILED: "0+20x30 600x450"}
    assert "ServingErrorRateFast" in fires("", 30, ended, tmp_path)
    assert "ServingErrorRateFast" not in fires("", 37, ended, tmp_path)


@needs_promtool
def test_answers_of_a_canary_that_differ_are_not_taken_for_those_of_what_serves(tmp_path: Path) -> None:
    changes = {
        _DISAGREES: "0x5 1x475",
        f"serving_canary_ratio{{{_JOB}}}": "0 0.1x4 0x475",
        _TAKEN_BACK: "0x5 1x475",
    }
    for minute in (6, 20, 36):
        assert fires("", minute, changes, tmp_path) == {"ServingCanaryFailed"}


@needs_promtool
def test_one_failure_among_a_few_requests_raises_no_alarm(tmp_path: Path) -> None:
    few = {
        f'serving_requests_total{{{_JOB},protocol="http",code="200"}}': "0x9 1x470",
        f'serving_requests_total{{{_JOB},protocol="http",code="500"}}': "0x4 1x475",
        _FAST: "0x480",
        f'serving_request_duration_seconds_count{{{_JOB},protocol="http"}}': "0x4 1x475",
    }
    for minute in (6, 12, 60):
        assert fires("", minute, few, tmp_path) == set()
    many = {key: values.replace("1x", "50x") for key, values in few.items()}
    assert "ServingErrorRateFast" in fires("", 8, many, tmp_path)
