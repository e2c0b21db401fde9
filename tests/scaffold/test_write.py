"""What is written: a spec that is read, code that passes the repository's lint, and tests that pass."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.scaffold.models import classifier, detector, encoder
from toolkit import spec
from toolkit.engines.inspection import Inspection
from toolkit.errors import SpecError, TemplateError
from toolkit.scaffold import plan, write
from toolkit.scaffold.kinds import Kind
from toolkit.scaffold.plan import Plan

ROOT = Path(__file__).resolve().parents[2]


def planned(
    pipelines: Path,
    found: Inspection,
    kind: Kind = "classification",
    labelled: bool = False,
    copied: bool = False,
) -> Plan:
    """A plan for a model whose files are there."""
    folder = pipelines.parent / "models" / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("inference.pdmodel", "inference.pdiparams"):
        (folder / name).write_text(name)
    program, weights = str(folder / "inference.pdmodel"), str(folder / "inference.pdiparams")
    found = replace(found, program=program, weights=weights)
    return plan.make("mine", kind, found, pipelines, {}, labelled, copied)


def test_written_pipelines_are_in_order_and_pass_their_own_tests(tmp_path: Path) -> None:
    pipelines = tmp_path / "pipelines"
    models: list[tuple[Inspection, Kind]] = [
        (classifier(), "classification"),
        (classifier((-1, 1, 28, 28)), "classification"),
        (classifier((-1, 3, 48, 192)), "classification"),
        (classifier((-1, 1, 32, 100)), "classification"),
        (detector(), "detection"),
        (encoder(), "tensor"),
        (classifier(), "tensor"),
    ]
    for number, (found, kind) in enumerate(models):
        write.write(replace(planned(pipelines, found, kind), name=f"mine_{number}"), pipelines)
    ruff, config = str(Path(sys.executable).with_name("ruff")), str(ROOT / "pyproject.toml")
    for argv in (
        [ruff, "check", "--no-cache", "--config", config, str(pipelines)],
        [ruff, "format", "--no-cache", "--check", "--config", config, str(pipelines)],
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", config, str(pipelines)],
    ):
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_where_a_converted_model_comes_from_is_in_the_spec_and_the_readme(tmp_path: Path) -> None:
    for kind, found in (("classification", classifier()), ("detection", detector()), ("tensor", encoder())):
        pipelines = tmp_path / kind / "pipelines"
        made = planned(pipelines, found, cast(Kind, kind), copied=True)
        write.write(replace(made, origin="from mine.onnx by x2paddle 1.6.0"), pipelines)
        text = (pipelines / "mine" / "pipeline.yml").read_text()
        assert "\n    # Converted from mine.onnx by x2paddle 1.6.0.\n    source:" in text
        readme = (pipelines / "mine" / "README.md").read_text()
        assert (
            "were converted from mine.onnx by x2paddle 1.6.0.\n- **A new version of the model.** Have"
            in readme
        )


def test_the_spec_says_what_was_planned(tmp_path: Path) -> None:
    write.write(
        planned(tmp_path / "pipelines", classifier(producer="elementwise_add")), tmp_path / "pipelines"
    )
    made = spec.load(tmp_path / "pipelines", "mine")
    net = made.models["net"]
    assert (net.source.directory, net.source.model) == ("../../models/mine", "inference.pdmodel")
    assert net.inputs == {"image": (1, 3, 224, 224)}
    assert net.options["softmax"] is True
    assert (made.judge, net.judge) == ("agreement", "agreement")
    assert made.data.placeholder


def test_a_model_that_ends_in_softmax_gets_no_other(tmp_path: Path) -> None:
    write.write(planned(tmp_path / "pipelines", classifier()), tmp_path / "pipelines")
    assert spec.load(tmp_path / "pipelines", "mine").models["net"].options["softmax"] is False


def test_data_with_classes_is_what_it_is_judged_by(tmp_path: Path) -> None:
    write.write(planned(tmp_path / "pipelines", classifier(), labelled=True), tmp_path / "pipelines")
    made = spec.load(tmp_path / "pipelines", "mine")
    assert (made.judge, made.models["net"].judge) == ("judge:Answers", "judge:Classes")


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    made = planned(tmp_path / "pipelines", classifier())
    mine = tmp_path / "pipelines" / "mine"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(SpecError, match="nothing of it is overwritten"):
        write.write(made, tmp_path / "pipelines")
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]


def test_what_cannot_be_written_whole_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(tmp_path / "pipelines", classifier())

    def fail(*_: object, **__: object) -> str:
        raise TemplateError("the template is malformed")

    monkeypatch.setattr(write.templates, "render", fail)
    with pytest.raises(TemplateError):
        write.write(made, tmp_path / "pipelines")
    assert not (tmp_path / "pipelines" / "mine").exists()


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "pipelines").write_text("a file, not a folder")
    with pytest.raises(SpecError, match="cannot be written: Not a directory") as caught:
        write.write(planned(tmp_path / "pipelines", classifier()), tmp_path / "pipelines")
    assert caught.value.where == str(tmp_path / "pipelines" / "mine")


def test_a_full_disk_leaves_nothing_of_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(tmp_path / "pipelines", classifier(), copied=True)

    def fail(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(write.shutil, "copyfile", fail)
    with pytest.raises(SpecError, match="No space left on device"):
        write.write(made, tmp_path / "pipelines")
    assert list((tmp_path / "pipelines").iterdir()) == []


def test_a_copy_holds_the_models_files(tmp_path: Path) -> None:
    write.write(planned(tmp_path / "pipelines", classifier(), copied=True), tmp_path / "pipelines")
    assert (
        tmp_path / "pipelines" / "mine" / "inference_model" / "inference.pdiparams"
    ).read_text() == "inference.pdiparams"
    assert spec.load(tmp_path / "pipelines", "mine").models["net"].source.directory == "inference_model"
