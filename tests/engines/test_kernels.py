from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.jobs import attempt_all
from toolkit import cpu
from toolkit.child import Progress
from toolkit.engines import graph, kernels, layers, model, qdq, signature
from toolkit.engines.executed import Step
from toolkit.engines.options import INT8_OPERATORS, PredictorOptions
from toolkit.engines.verbose import PRODUCTS, Primitive
from toolkit.errors import ModelError

FIRST = Primitive("convolution", "int8", "jit_int8:avx512_core_vnni", 800, (8, 4, 1, 1), 0.5)
SECOND = Primitive("convolution", "int8", "brgconv:avx512_core_vnni", 100, (2, 8, 1, 1), 0.25)
TRANSPOSED = Primitive("deconvolution", "fp32", "brg_conv:avx512_core", 60, (2, 1, 2, 2), 1.5)
DENSE = Primitive("inner_product", "fp32", "brgemm:avx512_core", 39, (3, 13), 0.125)
REORDER = Primitive("reorder", "fp32", "jit:uni", 0, (), 0.0625)
HEAD = [
    Primitive("gemm_api", "fp32", "", 6, (2, 3), 0.25),
    Primitive("gemm_api", "fp32", "", 4, (3, 2), 0.5),
]
ORDER = [
    Step("conv_0", ("convolution",), (8, 4, 1, 1)),
    Step("conv_1", ("convolution",), (2, 8, 1, 1)),
    Step("up", ("deconvolution",), (2, 1, 2, 2)),
    Step("native", PRODUCTS, (7, 7)),
    Step("fc", PRODUCTS, (3, 13)),
]
RUN = [REORDER, FIRST, SECOND, REORDER, TRANSPOSED, DENSE]

LAYERS = """
import paddle

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.first = paddle.nn.Conv2D(3, 16, 3, padding=1)
        self.depthwise = paddle.nn.Conv2D(16, 16, 5, padding=2, groups=16)
        self.grouped = paddle.nn.Conv2D(16, 4, 1, groups=2)
        self.up = paddle.nn.Conv2DTranspose(4, 2, 2, stride=2)
        self.left = paddle.nn.Conv2D(2, 2, 1)
        self.right = paddle.nn.Conv2D(2, 2, 1)
        self.dense = paddle.nn.Linear(512, 5)

    def forward(self, x):
        x = self.up(self.grouped(paddle.nn.functional.relu(self.depthwise(self.first(x)))))
        return self.dense((self.left(x) - self.right(x)).flatten(1))
"""
SHAPES = {"x": [1, 3, 8, 8]}
# By hand: outputs (the transposed one: inputs) x weights that each of them meets.
WORK = {
    "conv2d_0": 8 * 8 * 16 * 3 * 9,
    "conv2d_1": 8 * 8 * 16 * 25,
    "conv2d_2": 8 * 8 * 4 * 8,
    "conv2d_transpose_0": 8 * 8 * 4 * 2 * 4,
    "conv2d_3": 16 * 16 * 2 * 2,
    "conv2d_4": 16 * 16 * 2 * 2,
    "linear_0": 512 * 5,
}

IN_INT8 = ("conv2d_0", "conv2d_3", "linear_0")


def quantize(source: str, names: list[str], target: str, progress: Progress) -> None:
    """Let the layers `names` of the model in `source` run in INT8; called in a child."""
    del progress
    program = graph.read(model.files_in(Path(source)))
    for layer in layers.layers_of(program):
        if layer.name in names:
            qdq.quantize_activation(program, layer, layer.activations[0], 4.0)
            qdq.quantize_weight(program, layer, "channel")
        else:
            qdq.keep_float(program, layer)
    Path(target).mkdir()
    program.write(Path(target))
    signature.read(Path(source)).write(Path(target))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Any]:
    """Proofs of a small network, in one process."""
    (folder / "layers.py").write_text(LAYERS)
    (folder / "fp32").mkdir()
    export = {
        "layer": "layers:Net",
        "arguments": {},
        "weights": None,
        "tensors": [{"name": "x", "shape": [-1, 3, 8, 8], "dtype": "float32"}],
        "search_path": str(folder),
        "target": str(folder / "fp32"),
        "inputs": SHAPES,
        "outputs": ["y"],
    }
    quantized = {"source": str(folder / "fp32"), "names": list(IN_INT8), "target": str(folder / "int8")}
    onednn, int8 = (
        PredictorOptions(backend="onednn"),
        PredictorOptions("int8", "onednn", op_set=INT8_OPERATORS),
    )
    calls = {
        "export": ("toolkit.engines.export:from_layer", export),
        "onednn": prove(folder, onednn),
        "native": prove(folder, PredictorOptions()),
        "not quantized": prove(folder, int8),
        "quantize": ("tests.engines.test_kernels:quantize", quantized),
        "int8": prove(folder, int8, "int8"),
    }
    found = attempt_all(list(calls.values()), folder / "log", kernels.VERBOSE_ENVIRONMENT)
    return dict(zip(calls, found))


def prove(folder: Path, options: PredictorOptions, name: str = "fp32") -> tuple[str, dict[str, Any]]:
    arguments = {"model_dir": str(folder / name), "options": options.to_json(), "shapes": SHAPES}
    return "toolkit.engines.kernels:prove", arguments


def test_the_work_of_every_layer_of_a_real_network_is_known_by_name(outcomes: dict[str, Any]) -> None:
    found = outcomes["onednn"]
    assert {layer["name"]: layer["macs"] for layer in found["layers"]} == WORK
    assert found["macs"] == {"fp32": sum(WORK.values()), "bf16": 0, "int8": 0}
    assert found["outside"] == []
    assert found["primitives"] == {
        "convolution": {"fp32": 5},
        "deconvolution": {"fp32": 1},
        "inner_product": {"fp32": 1},
    }


def test_every_layer_and_all_else_have_a_time(outcomes: dict[str, Any]) -> None:
    found = outcomes["onednn"]
    assert all(layer["milliseconds"] > 0 and layer["implementation"] for layer in found["layers"])
    total = sum(layer["milliseconds"] for layer in found["layers"])
    assert sum(found["milliseconds"].values()) == pytest.approx(total, abs=0.001)
    assert found["others"]["binary"] > 0


def test_int8_that_does_not_run_in_int8_is_an_error(outcomes: dict[str, Any]) -> None:
    error = outcomes["not quantized"]
    assert isinstance(error, ModelError), error
    assert "int8 was asked for, but no convolution or matrix product ran in it" in error.message
    assert "`quantize.kinds`" in str(error.remedy)


def test_layers_keep_their_names_when_they_are_quantized_and_the_proof_tells_which_are(
    outcomes: dict[str, Any],
) -> None:
    found = outcomes["int8"]
    assert {layer["name"]: layer["macs"] for layer in found["layers"]} == WORK
    assert {layer["name"] for layer in found["layers"] if layer["dtype"] == "int8"} == set(IN_INT8)
    work = sum(WORK[name] for name in IN_INT8)
    assert found["macs"] == {"int8": work, "fp32": sum(WORK.values()) - work, "bf16": 0}
    assert found["share"] == pytest.approx(work / sum(WORK.values()))


def test_the_native_reference_runs_without_onednn(outcomes: dict[str, Any]) -> None:
    assert outcomes["native"]["primitives"] == {}
    assert outcomes["native"]["layers"] == []


@pytest.mark.skipif("AVX512_CORE" not in cpu.levels(), reason="the processor has no level to leave out")
def test_a_child_at_a_lower_level_runs_the_kernels_of_that_level(
    folder: Path, outcomes: dict[str, Any]
) -> None:
    environment = {**kernels.VERBOSE_ENVIRONMENT, **cpu.environment_at("AVX2")}
    (found,) = attempt_all([prove(folder, PredictorOptions(backend="onednn"))], folder / "log", environment)
    implementations = " ".join(layer["implementation"] for layer in found["layers"])
    assert "avx2" in implementations
    assert "avx512" not in implementations
    assert found["kernels"] != outcomes["onednn"]["kernels"]


def test_the_same_kernels_give_the_same_answer(folder: Path, outcomes: dict[str, Any]) -> None:
    found = attempt_all(
        [prove(folder, PredictorOptions(backend="onednn"))], folder / "log", kernels.VERBOSE_ENVIRONMENT
    )[0]
    assert (found["kernels"], found["answer"]) == (
        outcomes["onednn"]["kernels"],
        outcomes["onednn"]["answer"],
    )
    assert found["answer"] != outcomes["int8"]["answer"]


def test_the_share_is_of_the_work_and_not_of_the_number_of_layers() -> None:
    found = kernels.proof(RUN, ORDER)
    assert found["macs"] == {"fp32": 99, "bf16": 0, "int8": 900}
    assert found["share"] == pytest.approx(900 / 999)
    assert found["primitives"] == {
        "convolution": {"int8": 2},
        "deconvolution": {"fp32": 1},
        "inner_product": {"fp32": 1},
    }


def test_the_time_is_told_by_kind_and_type_and_that_of_all_else_apart() -> None:
    found = kernels.proof(RUN, ORDER)
    assert list(found["milliseconds"].items()) == [
        ("deconvolution/fp32", 1.5),
        ("convolution/int8", 0.75),
        ("inner_product/fp32", 0.125),
    ]
    assert found["others"] == {"reorder": 0.125}


def test_kernels_that_could_saturate_are_counted() -> None:
    softmax = Primitive("softmax", "fp32", "jit:avx512_core", 0, (), 0.125)
    assert kernels.proof([REORDER, FIRST, softmax, REORDER], ORDER)["kernels"] == {
        "convolution jit_int8:avx512_core_vnni": 1,
        "reorder jit:uni": 2,
    }


def test_layers_are_told_by_name_in_the_order_of_execution() -> None:
    layers = kernels.proof(RUN, ORDER)["layers"]
    assert [layer["name"] for layer in layers] == ["conv_0", "conv_1", "up", "fc"]
    assert layers[0] == {
        "name": "conv_0",
        "kind": "convolution",
        "dtype": "int8",
        "implementation": "jit_int8:avx512_core_vnni",
        "macs": 800,
        "milliseconds": 0.5,
    }


def test_a_layer_without_a_primitive_is_told_to_have_run_outside() -> None:
    assert kernels.proof(RUN, ORDER)["outside"] == ["native"]


def test_the_heads_of_fused_attention_are_two_products_with_the_work_of_all() -> None:
    found = kernels.proof([*HEAD, *HEAD, *HEAD, FIRST, *HEAD], ORDER)
    assert [(layer["name"], layer["macs"], layer["milliseconds"]) for layer in found["layers"]] == [
        (None, 18, 0.75),
        (None, 12, 1.5),
        ("conv_0", 800, 0.5),
        (None, 6, 0.25),
        (None, 4, 0.5),
    ]


def test_a_model_without_onednn_has_no_share() -> None:
    assert kernels.proof([], ORDER)["share"] == 0


def test_the_typical_time_is_the_median_and_a_run_with_lost_lines_does_not_count() -> None:
    def run(*times: float) -> list[Primitive]:
        return [Primitive("convolution", "fp32", "jit", 1, (1, 1), time) for time in times]

    (first, second) = kernels.typical([run(1.0, 9.0), run(3.0, 2.0), run(2.0, 4.0), run(100.0)])
    assert (first.milliseconds, second.milliseconds) == (2.0, 4.0)


def test_the_proof_in_words_tells_layers_and_work() -> None:
    found = kernels.proof(RUN, ORDER)
    assert (
        kernels.describe(found, "int8") == "2 of 3 convolutions ran INT8 (90 % of the multiply-accumulates)"
    )
    assert kernels.describe(found, "fp32") == (
        "1 of 3 convolutions ran FP32, 1 of 1 matrix products ran FP32 (9 % of the multiply-accumulates)"
    )
    assert kernels.describe(found, "bf16") == "nothing ran BF16"
    assert kernels.describe(kernels.proof([], []), "int8") == "nothing ran INT8"
