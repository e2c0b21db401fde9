"""Every pipeline of the repository, deployed, asked over each protocol, and stopped; `make test-pipelines` runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import PAGES, ROOT, free_port, listening
from tests.processes import processes_of
from toolkit import pipeline, spec
from toolkit.client import GrpcClient, HttpClient
from toolkit.client.contents import predict_file
from toolkit.data import dataset
from toolkit.supervisor.control import MODULE as SERVICE

PIPELINES = ROOT / "pipelines"

# Little data: whether all of it works is the question here, not how well.
_COUNTS = {"counts": {"calibration": 4, "search": 6, "validation": 12}}
SMALL: dict[str, dict[str, Any]] = {
    "classification": _COUNTS,
    "detection": _COUNTS,
    "ocr": PAGES,
    "orientation": {"pages": {"calibration": 1, "search": 1, "validation": 2}},
    "resnet50": _COUNTS,
    "segmentation_zh": _COUNTS,
}


@pytest.fixture(params=spec.available(PIPELINES))
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path, int, int]]:
    """A pipeline by its name, its small dataset, and the ports of its service."""
    name, ports = request.param, (free_port(), free_port())
    with nothing_left(tmp_path):
        data = deploy(name, tmp_path, ports)
        yield name, data, *ports
        run("stop", name, tmp_path / "build")
        assert not listening(ports[0])
        assert not listening(ports[1])


@contextmanager
def nothing_left(directory: Path) -> Iterator[None]:
    """What still runs in `directory` at the end is ended, and an error."""
    try:
        yield
    finally:
        left = processes_of(directory)
        for process in left:
            process.kill()
    assert not left, f"left behind: {left}"


def deploy(name: str, directory: Path, ports: tuple[int, int]) -> Path:
    """Deploy a pipeline; its small dataset."""
    data = directory / name
    data.mkdir()
    plan = spec.load(PIPELINES, name)
    generator = pipeline.resolve(plan.directory, plan.data.generator)
    generator(data, {**plan.data.options, **SMALL.get(name, {})}, lambda done, total: None)
    run(
        # A pipeline that somebody has added may have data that only stands in for requests.
        "deploy", name, directory / "build", *(["--data", str(data)] if name in SMALL else []), "--budget", "60s",
        "--http-port", str(ports[0]), "--grpc-port", str(ports[1]),
    )  # fmt: skip
    return data


def run(command: str, name: str, build: Path, *arguments: str) -> None:
    argv = [sys.executable, "-m", "toolkit", command, "--model", name, "--build", str(build), *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=1400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.pipelines
@pytest.mark.timeout(1500)
def test_a_pipeline_is_deployed_and_answers_the_same_over_every_protocol(
    deployed: tuple[str, Path, int, int],
) -> None:
    name, data, *ports = deployed
    check_answers(name, data, *ports)


@pytest.mark.pipelines
@pytest.mark.timeout(600)
def test_two_pipelines_are_served_at_the_same_ports_and_stopped_apart(tmp_path: Path) -> None:
    names, ports = ("orientation", "segmentation_zh"), (free_port(), free_port())
    with nothing_left(tmp_path):
        data = {name: deploy(name, tmp_path, ports) for name in names}
        for name in names:
            run("smoke", name, tmp_path / "build")
            check_answers(name, data[name], *ports)
        assert len({process.pid for process in processes_of(tmp_path) if SERVICE in process.cmdline()}) == 1
        run("rollback", names[0], tmp_path / "build", "--to", "fp32")
        run("stop", names[0], tmp_path / "build")
        check_answers(names[1], data[names[1]], *ports)
        run("stop", names[1], tmp_path / "build")
        assert not listening(ports[0])


def check_answers(name: str, data: Path, http_port: int, grpc_port: int) -> None:
    """It answers the same over both ports, with all that its spec says."""
    plan = spec.load(PIPELINES, name)
    content = dataset.load(data).validation[-1].file.read_bytes()
    with (
        HttpClient(f"http://127.0.0.1:{http_port}", timeout=60) as http,
        GrpcClient(f"127.0.0.1:{grpc_port}", timeout=60) as rpc,
    ):
        answer = predict_file(http, name, plan.accepts, content).raw
        assert predict_file(rpc, name, plan.accepts, content).raw == answer
    for output in plan.outputs:
        assert output.path.partition(".")[0] in answer


def test_small_data_is_for_pipelines_that_there_are() -> None:
    assert set(SMALL) <= set(spec.available(PIPELINES))
