from __future__ import annotations

from pathlib import Path

import pytest

from tests.scaffold.models import classifier, model
from toolkit.errors import ModelError, SpecError
from toolkit.scaffold import plan
from toolkit.scaffold.plan import Source


def test_a_classifier_gets_the_names_that_its_code_has_and_sizes_for_what_is_open(tmp_path: Path) -> None:
    made = plan.make("mine", "classification", classifier((-1, 3, -1, -1)), tmp_path, {})
    assert (made.inputs, made.outputs) == ({"image": (1, 3, 224, 224)}, ("scores",))
    assert (made.size, made.resize, made.channels) == ((224, 224), 256, 3)


def test_a_shape_that_is_given_is_taken(tmp_path: Path) -> None:
    made = plan.make("mine", "classification", classifier((-1, 3, -1, -1)), tmp_path, {"x": (1, 3, 48, 192)})
    assert made.inputs == {"image": (1, 3, 48, 192)}
    assert not made.is_square


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"y": (1, 3, 48, 48)}, "no input 'y'"),
        ({"x": (1, 1, 48, 48)}, r"cannot be \[1, 1, 48, 48\]"),
        ({"x": (1, 3)}, r"cannot be \[1, 3\]"),
        ({"x": (2, 3, 48, 48)}, "a request brings one image"),
    ],
)
def test_a_shape_that_the_model_cannot_have_is_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        plan.make("mine", "classification", classifier((-1, 3, -1, -1)), tmp_path, shapes)


def test_a_name_that_would_leave_its_comment_is_refused(tmp_path: Path) -> None:
    found = model({"x\nserving: {replicas: 99}": (1,)}, {"y": (1,)})
    with pytest.raises(ModelError, match="cannot be written into files of text"):
        plan.make("mine", "tensor", found, tmp_path, {})


def test_what_is_no_classifier_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"it has ids float32 \[-1, -1\] in") as caught:
        plan.make("mine", "classification", model({"ids": (-1, -1)}, {"y": (-1, 2)}), tmp_path, {})
    assert "LIKE=tensor" in str(caught.value.remedy)


def test_the_inputs_of_a_detector_are_named_by_what_they_are_in_whatever_order(tmp_path: Path) -> None:
    outputs = {"nms_0.tmp_0": (3598, 6), "nms_0.tmp_2": (-1,)}
    found = model({"scale": (1, 2), "x": (-1, 3, 416, 416)}, outputs)
    made = plan.make("mine", "detection", found, tmp_path, {})
    assert list(made.inputs.items()) == [("scale_factor", (1, 2)), ("image", (1, 3, 416, 416))]
    assert made.outputs == ("boxes", "count")


def test_what_is_no_detector_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no detector as PaddleDetection exports it"):
        plan.make("mine", "detection", classifier(), tmp_path, {})


def test_names_of_tensors_become_such_as_a_spec_takes_each_once(tmp_path: Path) -> None:
    found = model(
        {"Input.IDs": (-1, -1), "0": (4,), "input_ids": (-1, 8)},
        {"save_infer_model/scale_0.tmp_0": (-1, 2), "softmax_3.tmp_0": (-1, 2), "mask": (-1,)},
    )
    made = plan.make("mine", "tensor", found, tmp_path, {})
    assert made.inputs == {"input_ids": (1, 16), "t_0": (4,), "input_ids_2": (1, 8)}
    assert made.outputs == ("output", "output_2", "mask")


def test_files_within_the_project_are_named_relative_to_the_pipeline_and_others_absolutely(
    tmp_path: Path,
) -> None:
    pipelines = tmp_path / "pipelines"
    inside = model({"x": (1,)}, {"y": (1,)}, folder=str(tmp_path / "models" / "mine"))
    assert plan.make("mine", "tensor", inside, pipelines, {}).source.directory == "../../models/mine"
    outside = model({"x": (1,)}, {"y": (1,)}, folder="/models/mine")
    assert plan.make("mine", "tensor", outside, pipelines, {}).source == Source(
        "/models/mine", "inference.pdmodel"
    )
    assert (
        plan.make("mine", "tensor", outside, pipelines, {}, copied=True).source.directory == "inference_model"
    )


@pytest.mark.parametrize(
    "name", ["Mine", "1mine", "my-model", "store", "site", "", "../x", "my model", "m" * 41]
)
def test_a_name_that_no_pipeline_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="cannot be the name of a pipeline"):
        plan.check_name(tmp_path, name)


def test_a_name_that_is_taken_is_refused_whatever_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(SpecError, match="already, and nothing of it is overwritten"):
        plan.check_name(tmp_path, "mine")


def test_answers_are_compared_in_two_sizes_of_what_is_open() -> None:
    assert plan.trials(classifier((-1, 3, -1, -1)), {}) == [{"x": (1, 3, 224, 224)}, {"x": (2, 3, 320, 320)}]
    assert plan.trials(model({"ids": (-1, -1), "scale": (-1, 1)}, {"y": (-1, 4)}), {}) == [
        {"ids": (1, 16), "scale": (1, 1)},
        {"ids": (2, 24), "scale": (2, 1)},
    ]


def test_answers_are_compared_in_the_one_size_that_a_model_has() -> None:
    assert plan.trials(classifier((1, 3, 32, 32)), {}) == [{"x": (1, 3, 32, 32)}]


def test_of_a_size_that_was_given_samples_and_then_the_rest_are_doubled_where_they_are_open() -> None:
    given = {"x": (1, 3, 48, 192)}
    more, larger = {"x": (2, 3, 48, 192)}, {"x": (1, 3, 96, 384)}
    assert plan.trials(classifier((-1, 3, -1, -1)), given) == [given, more, larger]
    assert plan.trials(classifier((-1, 3, 48, 192)), given) == [given, more]
    assert plan.trials(classifier((1, 3, 48, -1)), given) == [given, {"x": (1, 3, 48, 384)}]
    assert plan.trials(classifier((1, 3, 48, 192)), given) == [given]
