"""What is told of models: the shipped classifier, damaged copies of it, and files that Paddle 3 and ONNX wrote."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.engines.test_export import CLASSIFIER, shipped
from tests.jobs import attempt_all
from toolkit.engines import inspection, onnx
from toolkit.engines.inspection import Inspection
from toolkit.engines.signature import Signature, Tensor
from toolkit.errors import ModelError

# Written by Paddle 3.2.2 (paddle.jit.save), and by onnx 1.19.1 as PyTorch's exporter would.
FOREIGN = Path(__file__).with_name("foreign")


def write(folder: Path, name: str, program: bytes, weights: bytes) -> Path:
    (folder / name).mkdir()
    (folder / name / "inference.pdmodel").write_bytes(program)
    (folder / name / "inference.pdiparams").write_bytes(weights)
    return folder / name


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of inspecting each, in one process."""
    folder = tmp_path_factory.mktemp("inspection")
    program = (CLASSIFIER / "inference.pdmodel").read_bytes()
    weights = (CLASSIFIER / "inference.pdiparams").read_bytes()
    json, onnx = (FOREIGN / "inference.json").read_bytes(), (FOREIGN / "model.onnx").read_bytes()
    (folder / "cut.json").write_bytes(json[: len(json) // 2])
    (folder / "cut.onnx").write_bytes(onnx[: len(onnx) // 2])
    (folder / "text.onnx").write_bytes(b"<html>404 not found</html>")
    places = {
        "classifier": CLASSIFIER,
        "detector": shipped("ch_PP-OCRv4_det_infer"),
        "cut program": write(folder, "program", program[: len(program) // 2], weights),
        "cut weights": write(folder, "weights", program, weights[:-1]),
        "paddle 3": FOREIGN / "inference.json",
        "onnx": FOREIGN / "model.onnx",
        "cut paddle 3": folder / "cut.json",
        "cut onnx": folder / "cut.onnx",
        "no onnx": folder / "text.onnx",
        "paddle 1": folder / "old",
    }
    calls = [("toolkit.engines.inspection:run", {"path": str(path)}) for path in places.values()]
    make_old = ("tests.engines.test_sequences:write", {"folder": str(folder / "old"), "without": ""})
    return dict(zip(places, attempt_all([make_old, *calls], folder / "log")[1:]))


def found(outcomes: dict[str, Any], name: str) -> Inspection:
    assert isinstance(outcomes[name], dict), outcomes[name]
    return Inspection.from_json(outcomes[name])


def test_a_paddle_model_tells_its_tensors_operators_and_weights(outcomes: dict[str, Any]) -> None:
    model = found(outcomes, "classifier")
    assert model.signature == Signature(
        (Tensor("x", "float32", (-1, 3, -1, -1)),),
        (Tensor("softmax_0.tmp_0", "float32", (-1, 2)),),
    )
    assert model.producers == ("softmax",)
    assert model.operators["conv2d"] == 42
    assert next(iter(model.operators)) == "conv2d"
    assert "feed" not in model.operators
    assert model.bytes == sum(
        (CLASSIFIER / name).stat().st_size for name in ("inference.pdmodel", "inference.pdiparams")
    )
    assert model.parameters == 213


def test_layers_that_could_run_in_int8_are_told_from_those_that_stay_in_float(
    outcomes: dict[str, Any],
) -> None:
    layers = found(outcomes, "detector").layers
    stay = [layer.kind for layer in layers if not layer.int8]
    assert set(stay) == {"conv2d_transpose"}
    assert {layer.kind for layer in layers if layer.int8} >= {"conv2d", "depthwise_conv2d"}
    assert 0.9 < found(outcomes, "detector").share <= 1


def test_a_model_of_paddle_1_has_its_weights_in_files_of_their_own(outcomes: dict[str, Any]) -> None:
    model = found(outcomes, "paddle 1")
    assert (model.parameters, model.values) == (2, 4)
    assert model.signature.inputs == (Tensor("x", "float32", (-1, 2), 1),)
    assert "the input x has a level of detail" in model.notes[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut program", "the program file is damaged or truncated"),
        ("cut weights", "the weights file is damaged or truncated, at the parameter fc_0.w_0"),
        ("cut paddle 3", "the program of Paddle 3 is damaged or truncated"),
        ("cut onnx", "the file is no ONNX model, or it is damaged or truncated"),
        ("no onnx", "the file is no ONNX model, or it is damaged or truncated"),
    ],
)
def test_damaged_files_are_refused(outcomes: dict[str, Any], name: str, message: str) -> None:
    assert isinstance(outcomes[name], ModelError), outcomes[name]
    assert message in outcomes[name].message
    assert outcomes[name].where


def test_a_program_of_paddle_3_tells_what_it_is(outcomes: dict[str, Any]) -> None:
    model = found(outcomes, "paddle 3")
    assert model.signature.inputs == (Tensor("x", "float32", (-1, 3, 32, 32)),)
    assert [(item.dtype, item.shape) for item in model.signature.outputs] == [("float32", (-1, 2))]
    assert model.operators["conv2d"] == 1
    assert (model.parameters, model.values) == (4, 4 * 3 * 9 + 4 + 4 * 2 + 2)
    assert model.notes == ("weights are missing beside the program",)


def test_an_onnx_model_tells_what_it_is(outcomes: dict[str, Any]) -> None:
    model = found(outcomes, "onnx")
    assert model.version == "operator set 13, written by pytorch 2.1"
    assert model.signature == Signature(
        (Tensor("x", "float32", (-1, 3, 8, 8)),), (Tensor("y", "float32", (-1, 4, 6, 6)),)
    )
    assert model.operators == {"Conv": 1, "Relu": 1}
    assert model.external == ()


def test_files_that_may_not_be_read_are_no_bug_of_the_toolkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path / "inference.pdmodel"))

    monkeypatch.setattr(inspection.formats, "recognise", refuse)
    with pytest.raises(ModelError, match="cannot be read: Permission denied") as caught:
        inspection.run(str(tmp_path), lambda done, total: None)
    assert caught.value.where == str(tmp_path / "inference.pdmodel")


def test_an_onnx_model_may_name_the_domain_of_its_operators(tmp_path: Path) -> None:
    model = onnx._model_class()()
    model.graph.node.add(op_type="Relu")
    model.graph.output.add(name="y")
    model.opset_import.add(domain="com.example", version=1)
    model.opset_import.add(domain="ai.onnx", version=17)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert onnx.read(tmp_path / "model.onnx")["version"] == "operator set 17"


def test_weights_that_are_operators_count_too_and_numbers_that_are_none_do_not(tmp_path: Path) -> None:
    model = onnx._model_class()()
    model.graph.node.add(op_type="Relu")
    model.graph.output.add(name="y")
    # As paddle2onnx writes them.
    for name, kind, dims in (("w", 1, [4, 3]), ("one", 1, []), ("shape", 7, [2])):
        node = model.graph.node.add(op_type="Constant", output=[name])
        node.attribute.add(t={"data_type": kind, "dims": dims})
    model.graph.initializer.add(name="b", dims=[4])
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert onnx.read(tmp_path / "model.onnx")["shapes"] == {"w": (4, 3), "b": (4,)}


def test_weights_that_an_onnx_model_keeps_beside_it_are_found_and_missed(tmp_path: Path) -> None:
    model = onnx._model_class()()
    model.graph.node.add(op_type="Relu")
    model.graph.output.add(name="y")
    weight = model.graph.initializer.add(name="w", dims=[2])
    weight.external_data.add(key="location", value="model.onnx.data")
    weight.external_data.add(key="offset", value="0")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    size = (tmp_path / "model.onnx").stat().st_size

    def inspected() -> Inspection:
        return Inspection.from_json(inspection.run(str(tmp_path), lambda done, total: None))

    assert inspected().external == ("model.onnx.data",)
    assert inspected().notes == ("weights are missing beside the program",)
    (tmp_path / "model.onnx.data").write_bytes(bytes(8))
    assert (inspected().notes, inspected().bytes) == ((), size + 8)
