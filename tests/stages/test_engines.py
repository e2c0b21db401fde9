"""OpenVINO beside Paddle: the same models, another engine, judged and chosen like any other candidate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.stages import planted
from tests.stages.planted import BETWEEN, WORSE, A, Plant, World
from toolkit import cpu
from toolkit.stages import evaluate
from toolkit.stages.evaluate import Outcome
from toolkit.store import digest

IN_OPENVINO = f"{A.label} in OpenVINO"
FASTER: Mapping[Any, Plant] = {("det", A): Plant(ratio=3.0), ("det", IN_OPENVINO): Plant(ratio=4.5)}


def outcome(
    plants: Mapping[Any, Plant],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    version: Optional[str] = "2025.3.0",
    precision: Optional[str] = None,
) -> Outcome:
    monkeypatch.setattr(digest, "version_of", lambda package: version if package == "openvino" else "2.6.2")
    planted.install(World(dict(plants), {"det": [A]}), monkeypatch, tmp_path)
    context = planted.context(tmp_path, precision, ("det",))
    spec = context.spec.model_copy(update={"engines": ("paddle", "openvino")})
    return evaluate.run(planted.replace(context, spec=spec))


def labels(found: Outcome) -> list[str]:
    return [row["label"] for row in found.result["models"]["det"]["candidates"]]


def test_int8_in_openvino_is_served_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = outcome(FASTER, monkeypatch, tmp_path)
    entry = found.result["models"]["det"]
    assert entry["chosen"] == IN_OPENVINO
    assert entry["sentence"].startswith("det is served in INT8 in OpenVINO (mse, depthwise in float")
    (chosen,) = found.chosen.values()
    assert (chosen.engine, chosen.options.backend, chosen.recipe) == ("openvino", "openvino", A)
    assert chosen.name == f"det-openvino-int8-{A.digest[:4]}"


@pytest.mark.parametrize("plant", [Plant(problem="OpenVINO cannot load the model"), Plant(WORSE, 4.5)])
def test_where_it_fails_paddle_serves(plant: Plant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = outcome({**FASTER, ("det", IN_OPENVINO): plant}, monkeypatch, tmp_path)
    assert found.result["models"]["det"]["chosen"] == A.label
    (chosen,) = found.chosen.values()
    assert chosen.engine == "paddle"


def test_what_did_not_matter_is_judged_once_another_one_is_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(digest, "version_of", lambda package: "2025.3.0")
    plants = {
        ("det", "fp32"): Plant(ratio=1.2),
        ("det", "bf16"): Plant(ratio=2.0),
        ("det", "fp32 in OpenVINO"): Plant(ratio=1.5),
        ("det", "bf16 in OpenVINO"): Plant(BETWEEN, ratio=3.0),
    }
    planted.install(World(dict(plants)), monkeypatch, tmp_path)
    context = planted.context(tmp_path, None, ("det",), inconclusive="reject")
    det = context.spec.models["det"].model_copy(update={"candidates": ("bf16", "fp32")})
    changes = {"engines": ("paddle", "openvino"), "models": {**context.spec.models, "det": det}}
    found = evaluate.run(planted.replace(context, spec=context.spec.model_copy(update=changes)))
    assert found.result["models"]["det"]["chosen"] == "fp32 in OpenVINO"


def test_where_it_is_not_installed_it_is_no_candidate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not [item for item in labels(outcome(FASTER, monkeypatch, tmp_path, None)) if "OpenVINO" in item]


def test_in_float_it_is_tried_where_int8_is_no_candidate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert labels(outcome(FASTER, monkeypatch, tmp_path))[1:3] == ["fp32", "bf16"]
    alone = outcome({("det", "fp32 in OpenVINO"): Plant(ratio=3.0)}, monkeypatch, tmp_path, precision="fp32")
    assert labels(alone) == ["native", "fp32", "fp32 in OpenVINO"]
    assert alone.result["models"]["det"]["sentence"].startswith("det is served in FP32 in OpenVINO: ")


def test_what_one_goes_back_to_runs_in_paddle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (model,) = outcome(FASTER, monkeypatch, tmp_path).spares["fp32"].values()
    assert (model.label, model.engine) == ("fp32", "paddle")


def test_fp32_in_openvino_has_fp32_in_paddle_to_go_back_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    faster = {("det", "fp32 in OpenVINO"): Plant(ratio=3.0)}
    found = outcome(faster, monkeypatch, tmp_path, precision="fp32")
    assert found.result["models"]["det"]["chosen"] == "fp32 in OpenVINO"
    (model,) = found.spares["fp32"].values()
    assert (model.label, model.engine) == ("fp32", "paddle")


def test_the_version_of_the_engine_is_recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packages = outcome(FASTER, monkeypatch, tmp_path).result["environment"]["packages"]
    assert packages["openvino"] == "2025.3.0"


def test_lesser_cpus_may_run_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX2",))
    planted_levels = planted.context

    def with_levels(*arguments: Any) -> Any:
        return planted_levels(*arguments, levels=("AVX2",))

    monkeypatch.setattr(planted, "context", with_levels)
    found = outcome(FASTER, monkeypatch, tmp_path)
    assert found.result["models"]["det"]["levels"]["AVX2"]["label"] == IN_OPENVINO
