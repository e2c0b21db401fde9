"""Models that the toolkit has never seen, from `make new` to a service that answers; `make test-pipelines` runs it."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import ROOT, free_port
from tests.processes import processes_of
from toolkit.client import GrpcClient, HttpClient
from toolkit.images import variations

PHOTOGRAPHS = {
    "sklearn": "datasets/images/*.jpg",
    "matplotlib": "mpl-data/sample_data/grace_hopper.jpg",
    "foolbox": "data/imagenet_*.jpg",
}

# Layers of a user, the second one without an image in it, and a network of paddle.vision, for images of any size.
SAVE = """
import sys
import paddle
from paddle.static import InputSpec

class Small(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        layers, width = [], 3
        for wider in (32, 64, 128):
            layers += [paddle.nn.Conv2D(width, wider, 3, stride=2, padding=1), paddle.nn.ReLU()]
            width = wider
        self.body = paddle.nn.Sequential(*layers, paddle.nn.AdaptiveAvgPool2D(1), paddle.nn.Flatten())
        self.head = paddle.nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.body(x))

class Encoder(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.words = paddle.nn.Embedding(100, 128)
        self.body = paddle.nn.Sequential(paddle.nn.Linear(128, 1024), paddle.nn.ReLU(), paddle.nn.Linear(1024, 128))
        self.head = paddle.nn.Linear(128, 4)

    def forward(self, ids, scale):
        found = self.body(self.words(ids) * scale.unsqueeze([1])).mean(axis=1)
        return paddle.nn.functional.softmax(self.head(found)), found

paddle.seed(1)
network, inputs = {
    "small": (Small, [([None, 3, 96, 96], "float32", "x")]),
    "encoder": (Encoder, [([None, None], "int64", "Input.IDs"), ([None, 1], "float32", "scale")]),
    "vision": (
        lambda: paddle.vision.models.resnet18(num_classes=20), [([None, 3, None, None], "float32", "x")]
    ),
}[sys.argv[1]]
network = network()
network.eval()
paddle.jit.save(network, sys.argv[2], input_spec=[InputSpec(*item) for item in inputs])
"""


class Place:
    """A folder of pipelines, a build directory, and two ports."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.http, self.grpc = directory, free_port(), free_port()

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        places = ["--pipelines", str(self.directory / "pipelines")]
        if command != "new":
            places += ["--build", str(self.directory / "build")]
        argv = [sys.executable, "-m", "toolkit", command, *places, *arguments]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=1400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def deploy(self, name: str, *arguments: str) -> tuple[Any, str]:
        """What the command says to programs, and what to people before."""
        ports = ["--http-port", str(self.http), "--grpc-port", str(self.grpc), "--replicas", "1"]
        done = self.run("deploy", "--model", name, *ports, *arguments)
        result = json.loads((self.directory / "build" / name / "result.json").read_text())
        return result, done.stdout + done.stderr

    def answer(self, method: str, name: str, content: Any) -> Any:
        """What clients of both protocols are answered alike."""
        with (
            HttpClient(f"http://127.0.0.1:{self.http}", timeout=60) as http,
            GrpcClient(f"127.0.0.1:{self.grpc}", timeout=60) as rpc,
        ):
            first, second = (getattr(client, method)(name, content).raw for client in (http, rpc))
        assert first == second
        return first


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    here = Place(tmp_path)
    try:
        yield here
    finally:
        left = processes_of(tmp_path)
        for process in left:
            process.kill()
    assert not left, f"left behind: {left}"


def saved(name: str, directory: Path) -> Path:
    """What paddle.jit.save was given."""
    path, code = directory / "models" / name / "inference", directory / "save.py"
    # Paddle reads the source of what it exports.
    code.write_text(SAVE)
    argv = [sys.executable, str(code), name, str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def picodet() -> Path:
    """The detector that paddlelabel-ml ships."""
    found = importlib.util.find_spec("paddlelabel_ml")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(next(iter(found.submodule_search_locations))) / "model" / "PicoDet" / "ckpt"


def photographs(directory: Path) -> Path:
    directory.mkdir()
    for path in variations.photographs(PHOTOGRAPHS):
        shutil.copy(path, directory)
    return directory


def requests(directory: Path) -> Path:
    """Sentences of one to thirty words."""
    directory.mkdir()
    generator = random.Random(1)
    for number in range(40):
        words = [[generator.randrange(100) for _ in range(generator.randint(1, 30))]]
        asked = {"input_ids": words, "scale": [[generator.uniform(0.5, 2)]]}
        (directory / f"{number}.json").write_text(json.dumps(asked))
    return directory


@pytest.mark.pipelines
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", ["small", "vision"])
def test_a_model_of_ones_own_is_served_in_int8_with_data(place: Place, name: str) -> None:
    source, data = saved(name, place.directory), photographs(place.directory / "photographs")
    place.run("new", "--model", name, "--from", str(source))
    result, _ = place.deploy(name, "--data", str(data), "--precision", "int8", "--budget", "60s")
    assert result["verdict"]["models"]["net"]["precision"] == "int8"
    assert len(place.answer("predict", name, next(data.iterdir()))["classes"]) == 5
    place.run("stop", "--model", name)


@pytest.mark.pipelines
@pytest.mark.timeout(1500)
def test_a_detector_is_served_without_being_told_that_it_is_one(place: Place) -> None:
    data = photographs(place.directory / "photographs")
    place.run("new", "--model", "detector", "--from", str(picodet()))
    place.deploy("detector", "--data", str(data), "--budget", "30s")
    found = place.answer("predict", "detector", next(data.glob("china.jpg")))
    assert {"id", "name", "score", "box"} <= set(found["objects"][0])
    place.run("stop", "--model", "detector")


@pytest.mark.pipelines
@pytest.mark.timeout(1500)
def test_a_model_without_images_is_judged_in_int8_and_served_with_json(place: Place) -> None:
    data = requests(place.directory / "requests")
    place.run("new", "--model", "encoder", "--from", str(saved("encoder", place.directory).parent))
    result, _ = place.deploy("encoder", "--data", str(data), "--budget", "60s")
    # Whether it is the faster one depends on the processor.
    rows = result["evaluation"]["models"]["net"]["candidates"]
    verdicts = [row["verdict"] for row in rows if row["label"].startswith("int8")]
    assert any(verdict and verdict["outcome"] != "fail" for verdict in verdicts)
    asked = {"input_ids": [[1, 2, 3]], "scale": [[1.0]]}
    outputs = place.answer("predict_json", "encoder", asked)["outputs"]
    assert [len(array[0]) for array in outputs.values()] == [4, 128]
    place.run("stop", "--model", "encoder")


@pytest.mark.pipelines
@pytest.mark.timeout(1500)
def test_without_data_fp32_is_served_and_said_why(place: Place) -> None:
    place.run("new", "--model", "small", "--from", str(saved("small", place.directory)), "--copy")
    # The folder is complete in itself.
    shutil.rmtree(place.directory / "models")
    result, said = place.deploy("small")
    assert result["verdict"]["models"]["net"]["precision"] in ("fp32", "native")
    assert "  warning: INT8 needs calibration data and none was given" in said
    assert result["evaluation"]["data"]["warnings"][0].startswith("INT8 needs calibration data")
    (image, *_) = variations.photographs(PHOTOGRAPHS)
    assert len(place.answer("predict", "small", image)["classes"]) == 5
    place.run("stop", "--model", "small")
