"""Where the time of a request goes: the arithmetic on planted times, and the whole on a small network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import pytest

from tests.jobs import attempt_all
from toolkit.console import Console
from toolkit.engines.executed import Step
from toolkit.engines.options import PredictorOptions
from toolkit.engines.verbose import Primitive
from toolkit.errors import DataError
from toolkit.evaluation import profile as measured
from toolkit.serving import release
from toolkit.serving.format import SERVER
from toolkit.serving.release import MODELS_DIR, PIPELINE_DIR, Release, StepRelease
from toolkit.stages import profile

# The text of a request is as many inferences as it has bytes, numbered from 1 on, each of a batch of its number.
CODE = """
import base64

import numpy as np

from toolkit.pipeline import RequestError


def decode(request, options):
    data = base64.b64decode(request["image"])
    if not data.startswith(options["magic"].encode()):
        raise RequestError("this is no picture")
    return {"count": len(data) - len(options["magic"])}


class Step:
    def __init__(self, options):
        self.side = options["side"]

    def preprocess(self, payload):
        return [
            {"x": np.ones([number + 1, 3, self.side, self.side], np.float32)} for number in range(payload["count"])
        ]

    def postprocess(self, payload, outputs):
        assert [len(item["y"]) for item in outputs] == list(range(1, payload["count"] + 1))
        return payload


def respond(payload):
    return {"count": payload["count"]}
"""
LAYERS = """
import paddle

class Net(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.first = paddle.nn.Conv2D(3, 16, 3, padding=1)
        self.second = paddle.nn.Conv2D(16, 4, 1)

    def forward(self, x):
        return self.second(paddle.nn.functional.relu(self.first(x)))
"""


def image(stages: dict[str, Sequence[float]], inferences: Sequence[Any] = ()) -> dict[str, Any]:
    """Times of one image, in milliseconds by round."""
    seconds = {name: [item / 1000 for item in times] for name, times in stages.items()}
    return {"stages": seconds, "inferences": list(inferences)}


def inference(model: str, shape: Sequence[int], *milliseconds: float) -> dict[str, Any]:
    return {
        "model": model,
        "shapes": {"x": list(shape)},
        "seconds": [item / 1000 for item in milliseconds],
    }


def operator(
    name: Optional[str], milliseconds: float, kind: str = "convolution", dtype: str = "int8", **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "heavy": kind == "convolution",
        "kind": kind,
        "dtype": dtype,
        "implementation": "jit:any",
        "problem": "mb1_ic3oc8_ih6oh6kh3sh1dh0ph1_iw4ow4kw3sw1dw0pw1",
        "weight": [8, 3, 3, 3],
        "milliseconds": milliseconds,
        **more,
    }


def observed(
    outside: float, *operators: dict[str, Any], made: tuple[float, float] = (0, 0)
) -> dict[str, Any]:
    """An inference of which oneDNN does not report `outside` milliseconds."""
    return {
        "model": "det",
        "operators": list(operators),
        "made": {"calls": made[0], "milliseconds": made[1]},
        "outside": outside,
    }


def test_the_times_of_stages_are_medians_over_rounds_and_means_over_images() -> None:
    first = image({"decode": [1, 99, 2], "det.inference": [10, 10, 10], "det.postprocess": [4, 4, 4]})
    second = image({"decode": [4, 4, 4], "det.inference": [30, 30, 30], "det.postprocess": [0, 0, 0]})
    root = profile.tree([first, second])
    decode, det = root["parts"]
    assert (decode["name"], decode["milliseconds"], decode["parts"]) == ("decode", pytest.approx(3), [])
    assert [(part["name"], part["milliseconds"]) for part in det["parts"]] == [
        ("inference", pytest.approx(20)),
        ("postprocess", pytest.approx(2)),
    ]


def test_parts_add_up_to_their_whole_in_time_and_share() -> None:
    root = profile.tree([image({"decode": [1], "det.preprocess": [2], "det.inference": [5], "answer": [2]})])
    assert (root["name"], root["milliseconds"], root["share"]) == ("request", pytest.approx(10), 1)
    assert [(part["name"], part["share"]) for part in root["parts"]] == [
        ("decode", pytest.approx(0.1)),
        ("det", pytest.approx(0.7)),
        ("answer", pytest.approx(0.2)),
    ]
    assert sum(part["share"] for part in root["parts"][1]["parts"]) == pytest.approx(0.7)


def test_inferences_are_counted_by_shape_for_a_request_on_average_the_most_costly_first() -> None:
    small, large = inference("rec", [6, 3, 48, 96], 10, 10, 90), inference("rec", [2, 3, 48, 320], 50, 50, 50)
    other = inference("det", [1, 3, 64, 64], 7, 7, 7)
    found = profile.inferences([[other, small, small, large], [other, small]], "rec")
    assert found["inferences"] == 2
    assert found["milliseconds"] == pytest.approx(1.5 * 10 + 0.5 * 50)
    assert found["shapes"] == [
        {"inputs": {"x": [2, 3, 48, 320]}, "batch": 2, "inferences": 0.5, "milliseconds": pytest.approx(50)},
        {"inputs": {"x": [6, 3, 48, 96]}, "batch": 6, "inferences": 1.5, "milliseconds": pytest.approx(10)},
    ]


def test_a_model_that_no_image_needs_has_no_inferences() -> None:
    assert profile.inferences([[], []], "rec") == {"inferences": 0, "milliseconds": 0, "shapes": []}


def test_kinds_what_was_made_and_what_onednn_does_not_report_add_up_to_the_inferences() -> None:
    inferences = [
        observed(7, operator("a", 6), operator("b", 2), operator(None, 4, "reorder", "fp32"), made=(3, 1)),
        observed(2, operator("a", 4), operator("b", 2, dtype="fp32"), operator(None, 2, "reorder", "fp32")),
    ]
    found = profile.operators(inferences, images=2)
    kinds = [(item["kind"], item["dtype"], item["calls"], item["milliseconds"]) for item in found["kinds"]]
    assert kinds == [
        ("convolution", "int8", 1.5, 6),
        ("reorder", "fp32", 1, 3),
        ("convolution", "fp32", 0.5, 1),
    ]
    assert found["milliseconds"] == 15
    assert found["made"] == {"calls": 1.5, "milliseconds": 0.5, "share": pytest.approx(0.5 / 15)}
    assert found["outside"] == {"milliseconds": 4.5, "share": pytest.approx(4.5 / 15)}
    shares = [item["share"] for item in (*found["kinds"], found["made"], found["outside"])]
    assert sum(shares) == pytest.approx(1)


def test_what_onednn_does_not_report_is_told_by_rounds_each_with_its_own_report() -> None:
    ran = [[Primitive("convolution", "int8", "jit", 1, (8, 3, 3, 3), time)] for time in (10.0, 90.0, 10.0)]
    # A round that was disturbed was longer in both.
    assert measured.outside([15, 97, 14], ran, [(0, 0.0), (0, 0.0), (1, 1.0)]) == 5
    assert measured.outside([9, 89, 9], ran, [(0, 0.0)] * 3) == 0


def test_a_layer_is_one_row_for_all_inferences_with_the_shape_of_the_longest() -> None:
    wide = operator("a", 6, problem="mb2_ic3oc8_ih6oh6kh3sh1dh0ph1_iw90ow90kw3sw1dw0pw1")
    (layer,) = profile.operators([observed(5, operator("a", 1)), observed(9, wide)], images=1)["layers"]
    assert (layer["name"], layer["calls"], layer["milliseconds"]) == ("a", 2, 7)
    assert (layer["source"], layer["weight"]) == ([2, 3, 6, 90], [8, 3, 3, 3])


def test_ten_layers_are_told_the_longest_first_and_nothing_that_is_no_layer() -> None:
    items = [operator(str(number), number) for number in range(12)]
    found = profile.operators([observed(99, *items, operator(None, 50, "reorder"))], images=1)
    assert [item["name"] for item in found["layers"]] == [str(number) for number in range(11, 1, -1)]


@pytest.mark.parametrize(
    ("problem", "shape"),
    [
        ("mb1_ic960oc60_ih1oh1kh1sh1dh0ph0_iw40ow40kw3sw1dw0pw1", [1, 960, 1, 40]),
        ("g2mb1_ic4oc6_ih2oh4kh2sh2dh0ph0_iw2ow4kw2sw2dw0pw0", [1, 4, 2, 2]),
        ("mb40ic120oc6625", [40, 120]),
        ("1x8x40x15:1x8x15x40", [1, 8, 40, 15]),
        ("", []),
    ],
)
def test_the_shape_of_a_layer_s_input_is_read_from_onednn_s_problem(problem: str, shape: list[int]) -> None:
    assert profile.source_of(problem) == shape


REPORT = [
    "onednn_verbose,create:cache_miss,cpu,convolution,jit:avx2,forward_inference,src_f32::f0,,,mb1,0.25",
    "onednn_verbose,exec,cpu,convolution,jit:avx2,forward_inference,src_f32::blocked:abcd::f0,,,"
    "mb1_ic3oc8_ih6oh6kh3sh1dh0ph1_iw4ow4kw3sw1dw0pw1,0.5",
    "onednn_verbose,create:cache_hit,cpu,eltwise,jit:avx2,forward_inference,data_f32::f0,,,1x8,0.125",
    "onednn_verbose,exec,cpu,eltwise,jit:avx2,forward_inference,data_u8::blocked:abcd::f0,,alg:relu,1x8x6x4,1.5",
]


def test_an_operator_has_the_name_of_its_layer_its_type_and_its_problem() -> None:
    order = [Step("conv2d_0", ("convolution",), (8, 3, 3, 3))]
    heavy, light = measured.operators_of(measured.executed_in(REPORT), order)
    assert (heavy["name"], heavy["kind"], heavy["dtype"]) == ("conv2d_0", "convolution", "fp32")
    assert profile.source_of(heavy["problem"]) == [1, 3, 6, 4]
    # What works in place has no source, but a type.
    assert (light["name"], light["kind"], light["dtype"], light["heavy"]) == (None, "eltwise", "int8", False)


def test_only_primitives_that_the_cache_lacked_were_made_anew() -> None:
    assert measured.made_in(REPORT) == (1, 0.25)
    assert measured.made_in(REPORT[1:]) == (0, 0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of one small model for two steps, and two images of one and two inferences."""
    folder = tmp_path_factory.mktemp("profile")
    (folder / "layers.py").write_text(LAYERS)
    target = folder / MODELS_DIR / "net" / SERVER
    target.mkdir(parents=True)
    export = {
        "layer": "layers:Net",
        "arguments": {},
        "weights": None,
        "tensors": [{"name": "x", "shape": [-1, 3, -1, -1], "dtype": "float32"}],
        "search_path": str(folder),
        "target": str(target),
        "inputs": {"x": [1, 3, 8, 8]},
        "outputs": ["y"],
    }
    (made,) = attempt_all([("toolkit.engines.export:from_layer", export)], folder / "log")
    assert not isinstance(made, Exception), made
    (folder / PIPELINE_DIR).mkdir()
    (folder / PIPELINE_DIR / "ops.py").write_text(CODE)
    (folder / "one.png").write_bytes(b"PIC.")
    (folder / "two.png").write_bytes(b"PIC..")
    (folder / "none.png").write_bytes(b"PIC")
    (folder / "wrong.png").write_bytes(b"text")
    return folder


@pytest.fixture
def run(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Profile the release: the first step in oneDNN, unless that is native too, and the second in native FP32."""

    def step(name: str, side: int, options: PredictorOptions) -> StepRelease:
        return StepRelease.model_construct(
            name=name,
            model="net",
            precision=options.label,
            step="ops:Step",
            options={"side": side},
            predictor=options.to_json(),
        )

    def profiled(image: Optional[str] = None, backend: str = "onednn", rounds: int = 2) -> Any:
        plan = Release.model_construct(
            name="small",
            request="ops:decode",
            request_options={"magic": "PIC"},
            response="ops:respond",
            steps=(
                step("first", 16, PredictorOptions(backend=backend)),
                step("second", 8, PredictorOptions()),
            ),
        )
        goldens = [(directory / name, {}) for name in ("one.png", "two.png")]
        monkeypatch.setattr(release, "read", lambda _: plan)
        monkeypatch.setattr(release, "goldens", lambda _: goldens)
        path = directory / image if image else None
        return profile.run(directory, path, rounds, directory / "logs", Console(quiet=True))

    return profiled


def test_a_release_is_profiled_from_the_request_to_the_layers_of_its_models(run: Any) -> None:
    found = run()
    stages = {part["name"]: [item["name"] for item in part["parts"]] for part in found["request"]["parts"]}
    steps = ["preprocess", "inference", "postprocess"]
    assert stages == {"decode": [], "first": steps, "second": steps, "answer": []}
    assert found["request"]["milliseconds"] > 0
    first, second = found["models"]["first"], found["models"]["second"]
    # One image asks for one inference, the other for one and a batch of two.
    assert {item["batch"]: item["inferences"] for item in first["shapes"]} == {1: 1.0, 2: 0.5}
    assert {tuple(item["inputs"]["x"][1:]) for item in first["shapes"]} == {(3, 16, 16)}
    operators = first["operators"]
    convolutions = [item for item in operators["kinds"] if item["kind"] == "convolution"]
    assert [(item["dtype"], item["calls"]) for item in convolutions] == [("fp32", 3.0)]
    assert {item["name"] for item in operators["layers"]} == {"conv2d_0", "conv2d_1"}
    weights = {item["name"]: item["weight"] for item in operators["layers"]}
    assert weights == {"conv2d_0": [16, 3, 3, 3], "conv2d_1": [4, 16, 1, 1]}
    assert all(item["source"][2:] == [16, 16] for item in operators["layers"])
    reported = sum(item["milliseconds"] for item in operators["kinds"])
    assert 0 < reported <= operators["milliseconds"]
    assert (first["note"], second["operators"], second["note"]) == (None, None, profile.NATIVE_NOTE)
    assert {item["batch"]: item["inferences"] for item in second["shapes"]} == {1: 1.0, 2: 0.5}


def test_where_all_models_are_native_nothing_is_asked_of_onednn(run: Any, directory: Path) -> None:
    log = directory / "logs" / "profile-operators.log"
    log.unlink(missing_ok=True)
    found = run(backend="native", rounds=1)
    assert [entry["note"] for entry in found["models"].values()] == [profile.NATIVE_NOTE] * 2
    assert not log.exists()


def test_an_image_without_anything_to_infer_is_told_apart_from_a_model_without_a_report(run: Any) -> None:
    found = run("none.png", rounds=1)
    assert [item["file"].endswith("none.png") for item in found["images"]] == [True]
    assert "nothing to infer" in found["models"]["first"]["note"]
    assert found["models"]["first"]["inferences"] == 0


def test_a_file_that_the_pipeline_does_not_take_is_an_error_with_its_reason_and_path(
    run: Any, directory: Path
) -> None:
    with pytest.raises(DataError, match="the pipeline refuses the image: this is no picture") as caught:
        run("wrong.png", rounds=1)
    assert caught.value.where == str(directory / "wrong.png")


def test_a_shape_is_compiled_once_however_many_there_are(run: Any, directory: Path) -> None:
    (directory / "many.png").write_bytes(b"PIC" + b"." * 200)
    operators = run("many.png", rounds=1)["models"]["first"]["operators"]
    assert sum(item["calls"] for item in operators["kinds"]) > 1024
    assert operators["made"]["calls"] == 0
