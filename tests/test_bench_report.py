"""The benchmark's targets, its tables, and its reading of what stages took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bench import models, report, stages, targets
from tests.bench.stages import Span, covered
from tests.bench.stock import compare, server
from toolkit.spec import load

PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"


def figures(faster: float) -> dict[str, float]:
    return {"milliseconds": 1.0, "faster": faster, "low": faster - 0.1, "high": faster + 0.1}


def model(shape: float, mixed: float) -> dict[str, Any]:
    def ways(faster: float) -> dict[str, Any]:
        return {models.NATIVE: figures(1.0), f"INT8, {models.SERVED}": figures(faster)}

    rows = [{"what": "1x3x32x32", "ways": ways(shape)}, {"what": models.ALL, "ways": ways(mixed)}]
    return {"weights": {"exported": 1000, "served": 260}, "rows": rows}


FOUND: dict[str, Any] = {
    "machine": {"cpu": "A", "level": "AVX2", "bf16": False, "cores": 2, "load": 0.1},
    "release": "somewhere",
    "images": 3,
    "rounds": 2,
    "seconds": 60.0,
    "models": {"det": model(2.6, 2.0), "rec": model(3.0, 3.9)},
    "pipelines": {
        "ways": {
            "the release": {"milliseconds": 500, "times": 1, "low": 1, "high": 1, "right": 0.84},
            "RapidOCR on openvino": {"milliseconds": 1100, "times": 2.2, "low": 2, "high": 3, "right": 0.85},
        }
    },
    "service": [
        {
            "protocol": "HTTP",
            "clients": 4,
            "rate": 4.0,
            "low": 3.9,
            "high": 4.1,
            "p50": 900.0,
            "p99": 1200.0,
            "cores": 1.9,
            "requests": 40,
            "different": 1,
        }
    ],
    "saturated": {
        "cores": 2,
        "clients": 4,
        "images_per_second": {"service": 4.0, "in_process": 4.2},
        "cpu_seconds": {"service": 0.62, "in_process": 0.52},
        "share": 0.95,
        "shares": [0.94, 0.95],
    },
    "stock": {
        compare.OFF: {
            "images_per_second": {"ours": 4.0, "stock": 0.5},
            "ratio": 8.0,
            "low": 7.5,
            "high": 8.5,
            "lines": {"ours": 40.0, "stock": 41.0},
        }
    },
    "stages": {
        "cold": {"seconds": 500.0, "stages": {"search": {"artifacts": 2, "seconds": 300.0}}},
        "idle": {"render": [1.0], "deploy": [2.0, 3.0, 9.0]},
    },
    "failed": {"stock": "OSError: gone"},
    "missing": ["RapidOCR on onnxruntime: rapidocr-onnxruntime is not installed"],
}


def test_each_target_says_what_was_measured_and_whether_it_is_met() -> None:
    met = {row["what"].split(",")[0].split(" against")[0]: row["met"] for row in targets.rows("ocr", FOUND)}
    assert met == {
        "detector": True,
        "recognizer": False,
        # Twice as fast is worth nothing with fewer lines right.
        "in process": False,
        "service through HTTP": True,
        "optimize": False,
        "answers at every concurrency": False,
        "`make deploy` with nothing changed": True,
    }


def test_a_target_of_which_nothing_was_measured_is_neither_met_nor_missed() -> None:
    rows = list(targets.rows("ocr", {}))
    assert len(rows) == 8
    assert {(row["measured"], row["met"]) for row in rows} == {(None, None)}


def test_whether_no_fewer_lines_are_right_is_not_known_without_labels() -> None:
    ways = {
        who: {key: value for key, value in figures_.items() if key != "right"}
        for who, figures_ in FOUND["pipelines"]["ways"].items()
    }
    rows = targets.rows("ocr", {"pipelines": {"ways": ways}})
    (row,) = (row for row in rows if "RapidOCR" in row["what"])
    assert (row["measured"], row["met"]) == (None, None)


def test_a_pipeline_of_one_model_has_targets_of_its_own() -> None:
    rows = {row["what"]: row for row in targets.rows("resnet50", {"models": {"net": model(3.5, 3.5)}})}
    assert [row["met"] for row in rows.values()] == [True, True, None, None, None]
    assert rows["ResNet-50's weights file against FP32's"]["measured"] == "26.0%"


def test_all_of_it_is_told_in_tables_that_are_whole() -> None:
    lines = list(report.text({**FOUND, "targets": list(targets.rows("ocr", FOUND))}))
    text = "\n".join(lines)
    assert "| rec | all feeds of an image | INT8, as served | 1.0 | 3.90x (3.80 to 4.00) |" in lines
    assert "det: the weights file has 0.00 MB as served, 0.00 MB as exported: 26.0%" in lines
    assert "| HTTP | 4 | 4.00 (3.90 to 4.10) | 900 | 1200 | 1.90 | 1 of 40 |" in lines
    assert "deploy with nothing to do: 2.0, 3.0, 9.0 s" in lines
    assert lines[-1] == "failed: stock: OSError: gone"
    assert "left out: RapidOCR on onnxruntime: rapidocr-onnxruntime is not installed" in lines
    for table in text.split("\n\n"):
        widths = {line.count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, table


def test_time_in_which_two_worked_counts_once_and_time_in_which_none_did_not_at_all() -> None:
    spans = [Span("a", "x", 0, 10), Span("b", "x", 5, 12), Span("c", "x", 6, 7), Span("d", "x", 20, 21)]
    assert covered(spans) == 13
    assert covered([]) == 0


@pytest.fixture
def built(tmp_path: Path) -> Callable[..., None]:
    """Puts the manifest of an artifact into the store of `tmp_path`."""

    def build(stage: str, name: str, end: float, seconds: float | None) -> None:
        folder = tmp_path / stage / f"{name}-{end}"
        folder.mkdir(parents=True)
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))
        timed = {} if seconds is None else {"seconds": seconds}
        manifest = {"stage": stage, "name": name, "created": created, **timed}
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return build


def test_a_cold_run_is_what_went_before_the_evaluation_without_a_gap(
    tmp_path: Path, built: Callable[..., None]
) -> None:
    built("evaluate", "ocr", 100_000, 90)  # of another day
    built("export", "det", 200_000, 10)
    built("optimize", "det", 200_005, 5)
    built("calibrate", "det", 200_020, 10)
    built("search", "det", 200_100, 80)
    built("measure", "det-int8", 200_050, 20)  # within the search
    built("evaluate", "ocr", 200_200, 90)
    built("render", "ocr", 200_210, 5)
    found = stages.cold(tmp_path, "ocr")
    assert found is not None
    assert found["seconds"] == 5 + 10 + 80 + 90
    assert found["stages"]["search"] == {"artifacts": 1, "seconds": 80}
    assert set(found["stages"]) == {"export", "optimize", "calibrate", "search", "measure", "evaluate"}


def test_a_run_that_found_a_part_made_or_without_times_is_no_cold_one(
    tmp_path: Path, built: Callable[..., None]
) -> None:
    assert stages.cold(tmp_path, "ocr") is None
    for stage in ("optimize", "calibrate", "search"):
        built(stage, "det", 100_000, 5)
    built("evaluate", "ocr", 200_000, 90)
    assert stages.cold(tmp_path, "ocr") is None
    built("evaluate", "ocr", 300_000, None)
    assert stages.cold(tmp_path, "ocr") is None


def test_a_target_is_make_s_where_make_runs_this_and_else_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = {
        "MODEL": "ocr",
        "BUILD": "b",
        "DATA": "",
        "HTTP_PORT": "1",
        "GRPC_PORT": "2",
        "REPLICAS": "1",
    }
    monkeypatch.delenv("MAKELEVEL", raising=False)
    words = stages._command("deploy", variables)[1:]
    assert words[:3] == ["-m", "toolkit", "deploy"]
    assert dict(zip(words[3::2], words[4::2])) == {
        "--model": "ocr",
        "--build": "b",
        "--http-port": "1",
        "--grpc-port": "2",
        "--replicas": "1",
    }
    assert stages._command("stop", variables)[3:] == ["stop", "--build", "b", "--model", "ocr"]
    monkeypatch.setenv("MAKELEVEL", "1")
    assert stages._command("deploy", variables)[:5] == ["make", "--silent", "deploy", "MODEL=ocr", "BUILD=b"]


def test_the_stock_service_is_configured_as_its_project_publishes_it() -> None:
    found = server.config({"det": Path("d"), "rec": Path("r")}, 9999, 18090)
    assert found["worker_num"] == 20
    assert found["dag"] == {
        "is_thread_op": False,
        "retry": 1,
        "use_profile": False,
        "tracer": {"interval_s": 10},
    }
    assert {name: op["concurrency"] for name, op in found["op"].items()} == {"det": 6, "rec": 3}
    for op in found["op"].values():
        local = op["local_service_conf"]
        assert (op["retry"], local["thread_num"], local["ir_optim"], local["use_mkldnn"]) == (
            1,
            2,
            True,
            False,
        )
    assert yaml.safe_load(yaml.safe_dump(found)) == found


def test_there_is_a_stock_pipeline_for_steps_that_the_pipeline_has() -> None:
    spec = load(PIPELINES, "ocr")
    assert "ocr" in compare.PIPELINES
    outputs = {name: list(spec.models[name].outputs) for name in spec.steps}
    assert outputs == {"det": ["probability"], "rec": ["characters"]}
