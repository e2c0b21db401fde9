"""`toolkit release` and `deploy --release`, and what lists, verifies, compares and signs releases."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bundle import examples
from tests.stages import planted
from tests.stages.planted import WORSE, A, Plant, World
from tests.supervisor.stage import make_release, stage
from tests.test_makefile import command_of
from toolkit import cpu
from toolkit.bundle.place import Place
from toolkit.cli import deploy
from toolkit.cli import main as program
from toolkit.serving import release
from toolkit.stages import export, optimize, quantize, render
from toolkit.stages.context import Context
from toolkit.stages.evaluate import Outcome
from toolkit.store.artifact import Artifact
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.state import State
from toolkit.supervisor.switch import Switched


@pytest.fixture(autouse=True)
def nothing_stays_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tracebacks go to a folder of the test; the signal handler that a command sets goes with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("TOOLKIT_RELEASE_KEY", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def plant(monkeypatch: pytest.MonkeyPatch, folder: Path) -> World:
    """Both models pass in INT8."""
    found = World({(name, A): Plant(ratio=3.0) for name in ("det", "rec")}, {"det": [A], "rec": [A]})
    planted.install(found, monkeypatch, folder)
    planted.install_convert(monkeypatch, folder)
    monkeypatch.setattr(cpu, "levels_below", lambda: ())
    monkeypatch.setattr(cpu, "level", lambda: "AVX512_CORE_VNNI")
    monkeypatch.setattr(cpu, "levels", lambda: ("AVX2", "AVX512_CORE", "AVX512_CORE_VNNI"))
    for module in (export, optimize):
        monkeypatch.setattr(module, "run", lambda _, name: planted.artifact({}))
    monkeypatch.setattr(quantize, "sources", lambda *_: (None, planted.artifact({})))
    return found


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return plant(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release in `dist/`, and what it was built from in `build/`."""
    folder = tmp_path_factory.mktemp("made")
    where = ["--build", str(folder / "build"), "--dist", str(folder / "dist")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        plant(monkeypatch, folder)
        with pytest.raises(SystemExit) as ended:
            program.main(["release", "--version", "1.4.0", *where])
    assert ended.value.code == 0
    return folder


@pytest.fixture
def released(made: Path, world: World, tmp_path: Path) -> Place:
    """The release in a folder of the test's own."""
    for part in ("build", "dist"):
        shutil.copytree(made / part, tmp_path / part)
    return Place(tmp_path / "dist" / "ocr-1.4.0")


def run(
    capsys: pytest.CaptureFixture[str], folder: Path, command: str, *arguments: str, builds: bool = False
) -> tuple[int, Any]:
    """The exit code, and what was printed as JSON."""
    where = ["--build", str(folder / "build")] if builds else []
    dist = [] if command == "keygen" else ["--dist", str(folder / "dist")]
    with pytest.raises(SystemExit) as ended:
        program.main([command, *where, *dist, "--json", *arguments])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def test_a_release_may_be_made_twice_and_is_listed_and_verified(
    released: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(capsys, tmp_path, "release", "--version", "1.4.0", builds=True)
    assert (code, told["new"], told["exit_code"]) == (0, False, 0)
    assert json.loads((tmp_path / "build" / "ocr" / "result.json").read_text())["release"] == "ocr-1.4.0"
    code, told = run(capsys, tmp_path, "releases")
    assert (code, [item["version"] for item in told["releases"]]) == (0, ["1.4.0"])
    assert told["releases"][0]["precisions"] == {"det": "int8", "rec": "int8"}
    code, told = run(capsys, tmp_path, "verify", "ocr-1.4.0")
    assert (code, told["release"], told["signer"], told["sealed"]) == (0, "ocr-1.4.0", None, True)


def test_another_content_under_the_same_version_is_refused(
    released: Place, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.plants["det", A] = Plant(ratio=2.5)
    shutil.rmtree(tmp_path / "build")
    code, told = run(capsys, tmp_path, "release", "--version", "1.4.0", builds=True)
    assert (code, told["error"], told["exit_code"]) == (12, "ReleaseError", 12)
    assert "already with other content" in told["message"]
    code, _ = run(capsys, tmp_path, "release", "--version", "1.4.1", builds=True)
    assert code == 0
    code, told = run(capsys, tmp_path, "diff", "ocr-1.4.0", "ocr-1.4.1")
    assert (code, told["latency"]["det"]["ratio"]) == (0, [3.0, 2.5])
    with pytest.raises(SystemExit):
        program.main(["diff", "--dist", str(tmp_path / "dist"), "ocr-1.4.0", "ocr-1.4.1"])
    assert "latency\n  det milliseconds: 33.33 -> 40\n" in capsys.readouterr().out


@pytest.mark.parametrize("number", ["1.4", "v1.4.0", "../1.4.0"])
def test_only_semantic_versions_are_taken(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(capsys, tmp_path, "release", "--version", number, builds=True)
    assert (code, told["error"]) == (2, "BadParameter")
    assert "no semantic version" in told["message"]


@pytest.mark.parametrize(("arguments", "code"), [(("--precision", "int8"), 4), ((), 0)])
def test_the_gate_decides_with_the_codes_of_evaluate(
    arguments: tuple[str, ...], code: int, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.plants["det", A] = Plant(WORSE, 3.0)
    ended, told = run(capsys, tmp_path, "release", "--version", "1.0.0", *arguments, builds=True)
    assert (ended, told["exit_code"]) == (code, code)
    assert Path(told["report"]).is_file()
    assert (tmp_path / "dist" / "ocr-1.0.0").is_dir() is (code == 0)


def test_strict_releases_only_what_is_proven(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.plants["det", A] = Plant(planted.BETWEEN, 3.0)
    code, _ = run(capsys, tmp_path, "release", "--version", "1.0.0", "--strict", builds=True)
    assert (code, (tmp_path / "dist").exists()) == (10, False)


def test_one_flipped_byte_is_found_and_its_file_named(
    released: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples.flip(released.release / "models" / "det" / "serving_server" / "model.pdiparams")
    code, told = run(capsys, tmp_path, "verify", str(released.directory))
    assert (code, told["exit_code"]) == (12, 12)
    assert "release/models/det/serving_server/model.pdiparams has been changed" in told["message"]


def test_a_key_signs_and_verifies(
    released: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = str(tmp_path / "release.key")
    code, told = run(capsys, tmp_path, "keygen", "--key", key)
    assert (code, told["public"]) == (0, key + ".pub")
    assert run(capsys, tmp_path, "verify", "ocr-1.4.0", "--key", told["public"])[0] == 12
    monkeypatch.setenv("TOOLKIT_RELEASE_KEY", key)
    code, signed = run(capsys, tmp_path, "release", "--version", "1.4.0", builds=True)
    assert (code, signed["signer"], signed["new"]) == (0, told["signer"], False)
    assert run(capsys, tmp_path, "verify", "ocr-1.4.0", "--key", told["public"])[0] == 0
    assert run(capsys, tmp_path, "keygen", "--key", key)[0] == 12


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What would be started in the place of what runs."""
    found: list[Path] = []

    def serve(context: Any, target: Target, trial: object) -> Switched[dict[str, Any]]:
        found.append(Path(target.release))
        return Switched(State(1, 0.0, "ocr", target.release, ".", target.settings), {}, 0.0)

    monkeypatch.setattr(deploy, "_serve", serve)
    return found


def deployed(
    capsys: pytest.CaptureFixture[str], folder: Path, named: Any, *arguments: str
) -> tuple[int, Any]:
    return run(capsys, folder, "deploy", "--release", str(named), *arguments, builds=True)


def test_a_release_is_deployed_without_building_anything(
    released: Place, started: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = deployed(capsys, tmp_path, released.directory)
    assert (code, started, told["ran"]) == (0, [released.release], [])
    assert (told["bundle"], told["verdict"]["passed"]) == ("ocr-1.4.0", True)
    assert told["evaluation"]["models"]["det"]["chosen"] == A.label


@pytest.mark.parametrize(("levels", "place"), [(("AVX2",), "fp32"), (("AVX2", "AVX512_CORE_VNNI"), ".")])
def test_what_runs_is_what_was_judged_for_this_processor(
    levels: tuple[str, ...],
    place: str,
    released: Place,
    started: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu, "levels", lambda: levels)
    assert deployed(capsys, tmp_path, "ocr-1.4.0")[0] == 0
    assert started == [released.release / place]


def test_an_archive_is_unpacked_and_deployed(
    released: Place, started: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(released.directory)
    assert deployed(capsys, tmp_path, released.archive)[0] == 0
    assert started == [released.release]
    assert run(capsys, tmp_path, "verify", "ocr-1.4.0")[0] == 0


@pytest.mark.parametrize("part", ["release.yml", "golden/00.png", "fp32/release.yml", "../report/index.html"])
def test_one_flipped_byte_is_refused_and_what_runs_is_left_alone(
    part: str, released: Place, started: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = (released.release / part).resolve()
    examples.flip(path, 3)
    code, told = deployed(capsys, tmp_path, released.directory)
    assert (code, started) == (12, [])
    assert f"{path.relative_to(released.directory)} has been changed" in told["message"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--precision", "fp32"), 2, "does not go with --release"),
        (("--key", "release.key"), 12, "it is not signed"),
        (("--model", "other"), 12, "a release of ocr, not of other"),
    ],
)
def test_what_does_not_go_with_a_release_is_refused(
    arguments: tuple[str, ...],
    code: int,
    told: str,
    released: Place,
    started: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    run(capsys, tmp_path, "keygen", "--key", "release.key")
    pipelines = tmp_path / "pipelines"
    shutil.copytree(planted.PIPELINES / "ocr", pipelines / "ocr")
    shutil.copytree(planted.PIPELINES / "ocr", pipelines / "other")
    spec = pipelines / "other" / "pipeline.yml"
    spec.write_text(spec.read_text().replace("name: ocr", "name: other", 1))
    ended, found = deployed(capsys, tmp_path, released.directory, *arguments, "--pipelines", str(pipelines))
    assert (ended, started) == (code, [])
    assert told in found["message"]


def example() -> list[str]:
    """The lines of the worked example."""
    page = (planted.PIPELINES.parent / "docs" / "releases.md").read_text().partition("## A worked example")[2]
    return [line.strip() for line in page.splitlines() if line.startswith("    ")]


def render_for_fakes(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Releases that replicas without a model can serve: what they read in every image is the release's precision."""
    render_it = render.run

    def run(context: Context, outcome: Outcome, *choice: Any) -> Artifact:
        found = render_it(context, outcome, *choice)
        path = folder / found.key
        if not path.exists():
            shutil.copytree(found.path, path)
            for part in (path, path / release.FP32):
                if part.is_dir():
                    _fake(part)
        return Artifact(path, found.key, found.info)

    monkeypatch.setattr(render, "run", run)


def _fake(directory: Path) -> None:
    plan = release.read(directory)
    shutil.rmtree(directory / release.GOLDEN_DIR)
    make_release(directory, plan.steps[0].precision)
    text = yaml.safe_dump({**plan.model_dump(mode="json"), "steps": []})
    (directory / release.RELEASE_FILE).write_text(text)


def test_the_worked_example_of_the_page_works(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    render_for_fakes(monkeypatch, tmp_path / "fakes")
    told: dict[str, Any] = {}
    serves = []
    with stage(tmp_path, monkeypatch) as service:
        service.home = tmp_path / "build" / "ocr"
        ports = [
            *("--http-port", str(service.settings.http_port)),
            *("--grpc-port", str(service.settings.grpc_port)),
        ]
        for line in example():
            make, target, *variables = line.split()
            assert make == "make"
            command = [*command_of(target, *variables)[1:], *(ports if target == "deploy" else []), "--json"]
            with pytest.raises(SystemExit) as ended:
                program.main(command)
            assert ended.value.code == 0, line
            told[target] = json.loads(capsys.readouterr().out)
            if target in ("deploy", "rollback"):
                serves.append(service.read())
        assert service.processes() == 0
    assert told["verify"]["signer"] == told["keygen"]["signer"]
    assert [item["version"] for item in told["releases"]["releases"]] == ["1.4.0", "1.4.1"]
    assert told["diff"]["models"]["det"]["precision"] == ["int8", "fp32"]
    assert told["deploy"]["bundle"] == "ocr-1.4.1"
    assert serves == ["int8", "fp32", "int8", "fp32"]
    assert [(item["what"], item["from"], item["to"], item["result"]) for item in told["history"]] == [
        ("deploy", "", "ocr-1.4.0", "success"),
        ("deploy", "ocr-1.4.0", "ocr-1.4.1", "success"),
        ("rollback", "ocr-1.4.1", "ocr-1.4.0", "success"),
        ("rollback", "ocr-1.4.0", "ocr-1.4.0 in FP32", "success"),
    ]
