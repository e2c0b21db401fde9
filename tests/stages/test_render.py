"""The release that is rendered, and the ones within it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.stages import planted
from tests.stages.planted import A, Plant, World
from toolkit import cpu
from toolkit.serving import release
from toolkit.spec.network import SourceSpec
from toolkit.spec.service import CanarySpec, WatchSpec
from toolkit.stages import render
from toolkit.stages.evaluate import Outcome
from toolkit.store.artifact import Artifact


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """INT8 here, FP32 on a lesser CPU."""
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX2", "AVX512_CORE"))
    monkeypatch.setattr(cpu, "level", lambda: "AVX512_CORE_VNNI")
    world = World({("det", A): Plant(ratio=1.5), ("det", "bf16"): Plant(ratio=0.5)}, {"det": [A]})
    return made(world, monkeypatch, tmp_path, levels=("AVX2",)).path


def made(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **options: Any) -> Artifact:
    planted.install_convert(monkeypatch, tmp_path)
    outcome: Outcome = planted.evaluated(world, monkeypatch, tmp_path, **options)
    return render.run(outcome.context, outcome)


def weights(directory: Path) -> str:
    return (directory / "models" / "det" / "serving_server" / "model.pdiparams").read_text()


def test_each_place_is_a_whole_release_with_models_of_its_own(rendered: Path) -> None:
    names = {path.name for path in rendered.iterdir()} - {"fp32", "levels", "manifest.json"}
    for place, precision in (("", "int8"), ("fp32", "fp32"), ("levels/AVX2", "fp32")):
        directory = rendered / place
        (step,) = release.read(directory).steps
        assert (step.precision, step.predictor_options.precision) == (precision, precision)
        assert step.digest == f"converted-{weights(directory)}"
        assert weights(directory).startswith(f"det-{precision}")
        assert step.verdict == "pass"
        assert {path.name for path in directory.iterdir()} >= names
        assert all(image.is_file() for image, _ in release.goldens(directory))


def test_nothing_of_the_store_is_in_a_release(rendered: Path) -> None:
    assert [str(path.relative_to(rendered)) for path in rendered.rglob("manifest.json")] == ["manifest.json"]


def test_models_and_tests_of_the_pipelines_folder_are_in_no_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted.install_convert(monkeypatch, tmp_path)
    outcome = planted.evaluated(World(), monkeypatch, tmp_path, steps=("det", "rec"))
    folder = tmp_path / "ocr"
    shutil.copytree(outcome.context.spec.directory, folder)
    names = ("test_ops.py", "copied/x.pdmodel", "copied/x.pdiparams", "mixed/x.pdmodel", "mixed/x.pdiparams")
    for name in (*names, "mixed/names.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("something")
    plan = outcome.context.spec
    sources = {"det": SourceSpec(directory="copied"), "rec": SourceSpec(directory="mixed")}
    models = {
        name: item.model_copy(update={"source": sources.get(name, item.source)})
        for name, item in plan.models.items()
    }
    changed = plan.model_copy(update={"models": models}).placed_in(folder)
    code = render.run(replace(outcome.context, spec=changed), outcome).path / release.PIPELINE_DIR
    left = {path.name for path in folder.iterdir()} - {path.name for path in code.iterdir()}
    assert left == {"test_ops.py", "copied"}
    assert [path.name for path in (code / "mixed").iterdir()] == ["names.txt"]


def test_a_release_knows_the_levels_that_it_was_judged_at(rendered: Path) -> None:
    plans = [release.read(rendered / place) for place in ("", "fp32", "levels/AVX2")]
    assert [plan.level for plan in plans] == ["AVX512_CORE_VNNI", None, None]
    assert [plan.levels for plan in plans] == [("AVX2",), (), ()]


def test_each_place_says_how_far_its_own_answers_differ_from_native_fp32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX2",))
    world = World({("det", A): Plant((2, *[0] * 39), 1.5), ("det", "bf16"): Plant(ratio=0.5)}, {"det": [A]})
    path = made(world, monkeypatch, tmp_path, levels=("AVX2",)).path
    int8, fp32 = (release.read(path / place).agreement for place in ("", "fp32"))
    assert int8 is not None
    assert (int8.kind, int8.path, int8.samples) == ("text", "lines.text", planted.SAMPLES)
    assert 0 < int8.rate == 2 / (planted.LINES * planted.SAMPLES) < int8.high < 0.01
    assert fp32 is not None
    assert fp32.rate == 0 < fp32.high < int8.high
    assert release.read(path / "levels/AVX2").agreement is None, "only golden answers are known there"


def test_int8_for_a_lesser_cpu_is_judged_at_its_level(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX2",))
    world = World({("det", A): Plant(ratio=3.0)}, {"det": [A]})
    path = made(world, monkeypatch, tmp_path, levels=("AVX2",)).path
    assert release.read(path / "levels/AVX2").level == "AVX2"


def test_fp32_alone_has_no_other_release_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = made(World(), monkeypatch, tmp_path, precision="fp32").path
    assert not (path / "fp32").exists()
    assert release.variant(path, release.FP32) == path


def test_each_place_says_how_it_is_rolled_out_as_the_spec_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted.install_convert(monkeypatch, tmp_path)
    outcome: Outcome = planted.evaluated(
        World({("det", A): Plant(ratio=1.5)}, {"det": [A]}), monkeypatch, tmp_path
    )
    wanted = {
        "canary": CanarySpec(steps=(5, 40), max_errors=0.03),
        "watch": WatchSpec(sample=0.05, rollback=True),
    }
    changed = replace(outcome.context, spec=outcome.context.spec.model_copy(update=wanted))
    path = render.run(changed, outcome).path
    for place in ("", "fp32"):
        found = release.read(path / place)
        assert found.canary.model_dump() == wanted["canary"].model_dump()
        assert found.watch.model_dump() == wanted["watch"].model_dump()
