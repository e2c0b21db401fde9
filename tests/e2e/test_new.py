"""Models that the toolkit has never seen, from `make new` to a service that answers; `make test-pipelines` runs it."""

from __future__ import annotations

import importlib.util
import json
import os
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
from toolkit.console import Console
from toolkit.conversion import environment, onnx, pir
from toolkit.images import variations
from toolkit.store.artifact import Store

PHOTOGRAPHS = {
    "sklearn": "datasets/images/*.jpg",
    "matplotlib": "mpl-data/sample_data/grace_hopper.jpg",
    "foolbox": "data/imagenet_*.jpg",
}

# Layers of a user, the second one without an image in it, the third with what paddle2onnx does not know, and a network
# of paddle.vision, for images of any size.
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

class Unknown(Small):
    def forward(self, x):
        return paddle.digamma(self.head(self.body(x)))

paddle.seed(1)
network, inputs = {
    "small": (Small, [([None, 3, 96, 96], "float32", "x")]),
    "unknown": (Unknown, [([None, 3, 96, 96], "float32", "x")]),
    "encoder": (Encoder, [([None, None], "int64", "Input.IDs"), ([None, 1], "float32", "scale")]),
    "vision": (
        lambda: paddle.vision.models.resnet18(num_classes=20), [([None, 3, None, None], "float32", "x")]
    ),
}[sys.argv[1]]
network = network()
network.eval()
paddle.jit.save(network, sys.argv[2], input_spec=[InputSpec(*item) for item in inputs])
"""


# Written by the packages that convert ONNX models: what x2paddle knows, in a set of operators that it does not; what it
# does not know; what it converts wrongly (a slope for each column); a set of operators of tomorrow; and a
# normalization, which it must know the size of, behind a reshape to what is the size already.
WRITE_ONNX = """
import sys
from pathlib import Path
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

generator = np.random.default_rng(1)
node = helper.make_node

def constant(name, value):
    return numpy_helper.from_array(np.asarray(value), name)

def weight(name, *shape):
    return constant(name, (generator.standard_normal(shape) * 0.2).astype("float32"))

def save(name, tail, opset=13, size=(96, 96)):
    nodes, weights, width, x = [], [], 3, "input.1"
    for number, wider in enumerate((32, 64, 128)):
        weights += [weight(f"conv {number}.w", wider, width, 3, 3), weight(f"conv {number}.b", wider)]
        conv = [x, f"conv {number}.w", f"conv {number}.b"]
        nodes += [
            node("Conv", conv, [f"/conv_{number}"], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
            node("Relu", [f"/conv_{number}"], [f"/relu_{number}"]),
        ]
        width, x = wider, f"/relu_{number}"
    weights += [weight("head.w", 10, width), weight("head.b", 10), weight("slope", 10)]
    weights += [weight("w", width), weight("b", width)]
    weights += [constant("two", np.float32(2)), constant("little", np.float32(1e-5)), constant("always", True)]
    nodes += [
        # With what PyTorch says of it, needless as it is.
        node("MaxPool", [x], ["most"], kernel_shape=[2, 2], strides=[2, 2], dilations=[1, 1]),
        node("GlobalAveragePool", ["most"], ["pooled"]),
        node("Flatten", ["pooled"], ["flat"]),
        node("Gemm", ["flat", "head.w", "head.b"], ["raw"], transB=1),
        *tail,
    ]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["batch", 3, *size])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(made, str(Path(sys.argv[1]) / f"{name}.onnx"))

softmax = [node("Softmax", ["raw"], ["scores"], axis=1)]
save("known", softmax, opset=17)
def branch(name):
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 10])
    return helper.make_graph([node("Relu", ["raw"], [name])], name, [], [out])

save("branch", [node("If", ["always"], ["scores"], then_branch=branch("one"), else_branch=branch("other"))])
save("unknown", [node("Celu", ["raw"], ["scores"])])
save("wrong", [node("PRelu", ["raw", "slope"], ["scores"])])
save("tomorrow", softmax, opset=99)
save("closed", [
    node("Transpose", ["/relu_2"], ["last"], perm=[0, 2, 3, 1]),
    node("Shape", ["last"], ["same"]),
    node("Reshape", ["last", "same"], ["x"]),
    node("ReduceMean", ["x"], ["mean"], axes=[-1]),
    node("Sub", ["x", "mean"], ["apart"]),
    node("Pow", ["apart", "two"], ["square"]),
    node("ReduceMean", ["square"], ["variance"], axes=[-1]),
    node("Add", ["variance", "little"], ["more"]),
    node("Sqrt", ["more"], ["deviation"]),
    node("Div", ["apart", "deviation"], ["normal"]),
    node("Mul", ["normal", "w"], ["scaled"]),
    node("Add", ["scaled", "b"], ["better"]),
    node("ReduceMean", ["better"], ["means"], axes=[1, 2], keepdims=0),
    node("Gemm", ["means", "head.w", "head.b"], ["scores"], transB=1),
], size=("height", "width"))
"""


class Place:
    """A folder of pipelines, a build directory, and two ports."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.http, self.grpc = directory, free_port(), free_port()

    def run(self, command: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        places = ["--pipelines", str(self.directory / "pipelines"), "--build", str(self.directory / "build")]
        argv = [sys.executable, "-m", "toolkit", command, *places, *arguments]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=1400, check=False)
        assert done.returncode == code, done.stdout + done.stderr
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


def saved(name: str, directory: Path, python: Path = Path(sys.executable)) -> Path:
    """What paddle.jit.save was given, of the Paddle that `python` has."""
    path, code = directory / "models" / name / "inference", directory / "save.py"
    # Paddle reads the source of what it exports.
    code.write_text(SAVE)
    argv = [str(python), str(code), name, str(path)]
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
def test_an_onnx_model_is_served_in_int8_if_its_answers_are_those_of_onnx_runtime(place: Place) -> None:
    store = Store(place.directory / "build" / "store")
    # As the first `make new` would make it.
    python = environment.ensure(store, onnx.LOCK, place.directory / "environment.log", Console(quiet=True))
    models = place.directory / "models"
    models.mkdir()
    subprocess.run([python, "-I", "-c", WRITE_ONNX, models], check=True)

    def refused(name: str) -> str:
        done = place.run("new", "--model", name, "--from", str(models / f"{name}.onnx"), code=6)
        assert not (place.directory / "pipelines").exists()
        assert f"logs{os.sep}onnx.log" in done.stderr
        return done.stderr

    assert "x2paddle does not know these operators of the model: Celu" in refused("unknown")
    assert "of the model, its loops and branches: If" in refused("branch")
    assert "scores of the converted model differs from ONNX Runtime's by up to " in refused("wrong")
    assert "does not load the model" in refused("tomorrow")

    source, data = models / "known.onnx", photographs(place.directory / "photographs")
    said = place.run("new", "--model", "known", "--from", str(source)).stdout
    assert "operator set 17 was converted as 15, the newest that x2paddle knows" in said
    assert "with input.1 [1, 3, 96, 96]" in said
    assert "with input.1 [2, 3, 96, 96]" in said
    closed = place.run("new", "--model", "closed", "--from", str(models / "closed.onnx"), "--json").stdout
    converted = json.loads(closed)["converted"]
    assert "x2paddle 1.6.0 cannot convert the model" in converted["fixed"]
    assert [trial["shapes"] for trial in converted["trials"]] == [{"input.1": [1, 3, 224, 224]}]
    # The folder is complete in itself.
    shutil.rmtree(models)
    result, _ = place.deploy("known", "--data", str(data), "--precision", "int8", "--budget", "60s")
    assert result["verdict"]["models"]["net"]["precision"] == "int8"
    assert len(place.answer("predict", "known", next(data.iterdir()))["classes"]) == 5
    place.run("stop", "--model", "known")


@pytest.mark.pipelines
@pytest.mark.timeout(1500)
def test_a_program_of_paddle_3_is_served_if_its_answers_stay_those_of_paddle_3(place: Place) -> None:
    store = Store(place.directory / "build" / "store")
    # As the first `make new` would make it.
    python = environment.ensure(store, pir.LOCK, place.directory / "environment.log", Console(quiet=True))

    unknown = Path(f"{saved('unknown', place.directory, python)}.json")
    refusal = place.run("new", "--model", "unknown", "--from", str(unknown), code=6).stderr
    assert "paddle2onnx 2.1.0 does not know these operators of the program: digamma" in refusal
    assert "FLAGS_enable_pir_api=0" in refusal
    assert f"logs{os.sep}pir.log" in refusal
    assert not (place.directory / "pipelines").exists()

    directory = saved("small", place.directory, python).parent
    assert not list(directory.glob("*.pdmodel"))
    said = place.run("new", "--model", "small", "--from", str(directory)).stdout
    for compared in ("ONNX: as Paddle 3.3.1, to ", "result: as ONNX Runtime 1.19.2, to "):
        assert said.count(f"compared     {compared}") == 2
    assert "x: float32 [?, 3, 96, 96]" in said
    spec = (place.directory / "pipelines" / "small" / "pipeline.yml").read_text()
    assert "by paddle2onnx 2.1.0 with Paddle 3.3.1, and x2paddle 1.6.0" in spec
    # The folder is complete in itself.
    shutil.rmtree(directory)
    place.deploy("small")
    (image, *_) = variations.photographs(PHOTOGRAPHS)
    assert len(place.answer("predict", "small", image)["classes"]) == 5
    place.run("stop", "--model", "small")


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
