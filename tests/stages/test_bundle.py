"""The bundle of what was evaluated: the same bytes on another clone, and digests from the source to the configs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import fakes
from tests.stages import planted
from tests.stages.planted import WORSE, A, Plant, World
from toolkit import cpu
from toolkit.bundle import manifest
from toolkit.bundle.place import Place
from toolkit.errors import GateError
from toolkit.serving import release
from toolkit.stages import bundle, evaluate, export, optimize, quantize
from toolkit.store import digest
from toolkit.store.artifact import Artifact


def install(monkeypatch: pytest.MonkeyPatch, plants: World, clone: Path) -> None:
    """A clone with a dataset of its own, and stages that have made a file each."""

    def stage(name: str) -> Artifact:
        path = clone / "stages" / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "model.pdmodel").write_text(name)
        (path / "manifest.json").write_text("of the store")
        return Artifact(path, f"key-{name}", {})

    monkeypatch.setattr(cpu, "levels_below", lambda: ("AVX2",))
    monkeypatch.setattr(cpu, "level", lambda: "AVX512_CORE_VNNI")
    monkeypatch.setattr(export, "run", lambda _, name: stage(f"export-{name}"))
    monkeypatch.setattr(optimize, "run", lambda _, name: stage(f"optimize-{name}"))
    monkeypatch.setattr(quantize, "sources", lambda _, name, __: (None, stage(f"calibrate-{name}")))
    clone.mkdir(parents=True, exist_ok=True)
    planted.install(plants, monkeypatch, clone)
    planted.install_convert(monkeypatch, clone)
    (clone / "0.png").write_bytes(fakes.png())


def world() -> World:
    """INT8 is served here, FP32 on a lesser CPU; one answer is not native FP32's, so the report has a picture."""
    found = World({("det", A): Plant(ratio=1.5), ("det", "bf16"): Plant(ratio=0.5)}, {"det": [A]})
    found.whole = {frozenset({f"det {A.label}"}): (1, *[0] * 39)}
    return found


def made(
    clone: Path, monkeypatch: pytest.MonkeyPatch, plants: World, version: str = "1.4.0", **gate: Any
) -> Place:
    install(monkeypatch, plants, clone)
    context = planted.context(clone / "build", steps=("det",), levels=("AVX2",), **gate)
    return bundle.run(context, evaluate.run(context), version, clone / "dist").place


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clone")


@pytest.fixture(scope="module")
def place(clone: Path) -> Place:
    """The bundle that was made on `clone`; nobody changes it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return made(clone, monkeypatch, world())


def bytes_of(place: Place) -> dict[str, bytes]:
    inside = {
        path.relative_to(place.directory): path for path in place.directory.rglob("*") if path.is_file()
    }
    return {str(name): path.read_bytes() for name, path in inside.items()}


def test_two_clones_make_the_same_bundle_of_the_same_evaluation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "far" / "away" / "two"
    first = made(one, monkeypatch, world())
    inside, packed = bytes_of(first), first.archive.read_bytes()
    # The recorded evaluation, and nothing else of the first clone.
    shutil.copytree(one / "build" / "store" / "evaluate", two / "build" / "store" / "evaluate")
    shutil.rmtree(one)
    second = made(two, monkeypatch, world())
    assert bytes_of(second) == inside
    assert second.archive.read_bytes() == packed


def test_no_path_of_the_machine_is_in_a_bundle(place: Place, clone: Path) -> None:
    assert "data:image/jpeg" in (place.report / "index.html").read_text(), "there is a picture"
    found = [name for name, data in bytes_of(place).items() if str(clone).encode() in data]
    assert found == []


def test_a_bundle_holds_the_release_its_spares_the_report_and_the_lock(place: Place) -> None:
    names = set(bytes_of(place))
    assert {
        "manifest.json",
        "sbom.cdx.json",
        "requirements.lock",
        "report/index.html",
        "report/report.json",
    } < names
    for part in ("", "fp32", "levels/AVX2"):
        assert release.read(place.release / part).name == "ocr"
        assert all(image.is_file() for image, _ in release.goldens(place.release / part))
        assert (place.release / part / "pipeline" / "ops.py").is_file()


def test_digests_lead_from_the_source_to_the_configs(place: Place, clone: Path) -> None:
    told = manifest.read(place.manifest)
    links = {part: models["det"] for part, models in told["chain"]["models"].items()}
    assert list(links) == ["release", "release/fp32", "release/levels/AVX2"]
    assert set(links["release"]) == {"source", "export", "optimize", "calibrate", "quantize", "convert"}
    assert set(links["release/fp32"]) == {"source", "export", "optimize", "convert"}
    for part, found in links.items():
        assert found["convert"] == digest.of_tree(place.directory / part / "models" / "det")
        assert found["optimize"] == digest.of_value(
            {"model.pdmodel": digest.of_file(clone / "stages" / "optimize-det" / "model.pdmodel")}
        )
    assert told["environment"]["lock"] == digest.of_file(bundle.LOCK_FILE)
    assert told["cpu"]["release"]["level"] == "AVX512_CORE_VNNI"
    assert "avx512_vnni" in told["cpu"]["release"]["features"]
    assert told["cpu"]["release/fp32"] == {"level": None, "features": []}


def test_the_manifest_says_what_is_served_and_what_the_gate_said(place: Place) -> None:
    told: Mapping[str, Any] = manifest.read(place.manifest)
    model = told["models"]["det"]
    assert (model["served"], model["precision"], model["ratio"]) == (A.label, "int8", 1.5)
    assert model["verdict"]["outcome"] == "pass"
    assert told["end_to_end"]["verdict"]["outcome"] == "pass"
    assert told["end_to_end"]["agreement"]["rate"] == 1 / (planted.SAMPLES * planted.LINES)
    assert told["toolkit"]


def test_a_bundle_of_native_fp32_has_one_part_and_a_short_chain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = made(tmp_path, monkeypatch, World({("det", p): Plant(ratio=0.5) for p in ("fp32", "bf16")}))
    told = manifest.read(place.manifest)
    assert {part: set(models["det"]) for part, models in told["chain"]["models"].items()} == {
        "release": {"source", "export", "convert"}
    }
    assert told["models"]["det"]["served"] == "native"


def test_nothing_is_released_that_the_gate_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, World({("det", A): Plant(WORSE, 3.0)}, {"det": [A]}), tmp_path)
    context = replace(planted.context(tmp_path / "build", steps=("det",)), precision="int8")
    with pytest.raises(GateError):
        bundle.run(context, evaluate.run(context), "1.4.0", tmp_path / "dist")
    assert not (tmp_path / "dist").exists()
