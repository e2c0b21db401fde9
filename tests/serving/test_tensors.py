from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolkit.errors import ModelError
from toolkit.oip import codec, messages
from toolkit.serving.tensors import BadTensors, Tensors, UnknownModel

ARRAY = np.array([[1.0, 2.0]], np.float32)


def double(feed: Any) -> Any:
    return {"twice": feed["x"] * 2, "shape": np.array(feed["x"].shape, np.int64)}


def refuse(feed: Any) -> Any:
    raise ModelError("the inference failed: (InvalidArgument) too small")


def fail(feed: Any) -> Any:
    raise RuntimeError("a bug")


TENSORS = Tensors({"p.double": double, "p.refuse": refuse, "p.fail": fail})


def infer(model: str, *outputs: str, arrays: Any = None) -> dict[str, Any]:
    request = codec.request(model, arrays or {"x": ARRAY}, outputs=outputs, request_id="7")
    answer = messages.ModelInferResponse.FromString(TENSORS.infer(request.SerializeToString()))
    assert (answer.model_name, answer.model_version, answer.id) == (model, "1", "7")
    return codec.outputs(answer)


def test_the_model_gets_the_arrays_and_its_outputs_are_the_answer() -> None:
    found = infer("p.double")
    assert found["twice"].tolist() == [[2.0, 4.0]]
    assert found["twice"].dtype == np.float32
    assert found["shape"].tolist() == [1, 2]


def test_outputs_come_as_they_are_asked_for_and_an_unknown_one_is_refused() -> None:
    assert list(infer("p.double", "shape", "twice")) == ["shape", "twice"]
    with pytest.raises(BadTensors, match="not 'thrice'"):
        infer("p.double", "thrice")


def test_an_unknown_model_is_told_apart_from_a_bad_request() -> None:
    with pytest.raises(UnknownModel, match=r"no model 'p\.nope' here"):
        infer("p.nope")


def test_what_the_engine_refuses_is_the_requests_fault_and_a_bug_is_not() -> None:
    with pytest.raises(BadTensors, match="too small"):
        infer("p.refuse")
    with pytest.raises(RuntimeError, match="a bug"):
        infer("p.fail")


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x05ab"])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(BadTensors, match="no ModelInferRequest"):
        TENSORS.infer(data)


def test_contents_that_do_not_fit_are_refused() -> None:
    request = codec.request("p.double", {"x": ARRAY})
    request.inputs[0].shape[0] = 3
    with pytest.raises(BadTensors, match="input 'x': FP32 of shape"):
        TENSORS.infer(request.SerializeToString())
