from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toolkit.data.labels import Sample
from toolkit.errors import DataError
from toolkit.evaluation import judges
from toolkit.evaluation.metrics import Counts

OPS = """
def decode(request, options):
    return {"size": len(request["image"]), **options}


def answer(payload):
    return {"classes": [{"id": payload["size"]}]}


class Sizes:
    def __init__(self, options):
        self.options = options
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ops.py").write_text(OPS)
    (tmp_path / "a.jpg").write_bytes(b"abc")
    return tmp_path


@pytest.fixture
def sample(folder: Path) -> Sample:
    return Sample("a.jpg", folder / "a.jpg")


def options(**changes: Any) -> dict[str, Any]:
    return {
        "accepts": "image",
        "request": "ops:decode",
        "request_options": {"extra": 1},
        "response": "ops:answer",
        "kind": "top1",
        "path": "classes.id",
        **changes,
    }


def agreement(folder: Path, **changes: Any) -> Any:
    return judges.make(folder, ("agreement", options(**changes)))


def test_a_reference_to_the_pipelines_folder_makes_the_judge_there(folder: Path) -> None:
    judge: Any = judges.make(str(folder), ("ops:Sizes", {"exact": True}))
    assert judge.options == {"exact": True}


def test_agreement_reads_texts_and_json_as_a_replica_does(folder: Path) -> None:
    (folder / "request.py").write_text("def decode(request, options): return dict(request)")
    for kind, content, payload in (("text", "字", {"text": "字"}), ("json", "[1]", {"inputs": [1]})):
        (folder / "sample").write_text(content, encoding="utf-8")
        judge = agreement(folder, accepts=kind, request="request:decode", request_options={})
        assert judge.payload(Sample("sample", folder / "sample")) == payload


def test_a_sample_that_is_not_of_the_kind_is_told_with_its_file(folder: Path) -> None:
    (folder / "sample").write_bytes(b"\xff")
    with pytest.raises(DataError, match="not UTF-8") as caught:
        agreement(folder, accepts="text").payload(Sample("sample", folder / "sample"))
    assert caught.value.where == str(folder / "sample")


def test_a_sample_that_the_pipeline_refuses_is_told_with_its_file(folder: Path, sample: Sample) -> None:
    code = "from toolkit.pipeline import RequestTooLarge\ndef decode(*_): raise RequestTooLarge('3 bytes')\n"
    (folder / "request.py").write_text(code)
    with pytest.raises(DataError, match="refused: 3 bytes") as caught:
        agreement(folder, request="request:decode").payload(sample)
    assert caught.value.where == str(sample.file)


def test_agreement_gives_the_model_what_a_request_with_the_file_becomes(folder: Path, sample: Sample) -> None:
    assert agreement(folder).payload(sample) == {"size": 3, "extra": 1}


def test_native_fp32_agrees_with_itself(folder: Path, sample: Sample) -> None:
    assert agreement(folder).counts(sample, {"size": 3}) == Counts(1, 1, 1)


@pytest.mark.parametrize(("reference", "matched"), [(3, 1), (4, 0)])
def test_others_are_compared_with_its_answer_to_the_same_sample(
    folder: Path, sample: Sample, reference: int, matched: int
) -> None:
    judge = agreement(folder, reference={"a.jpg": {"classes": [{"id": reference}]}})
    assert judge.counts(sample, {"size": 3}) == Counts(matched, 1, 1)


def test_a_sample_that_native_fp32_did_not_answer_is_an_error(folder: Path, sample: Sample) -> None:
    with pytest.raises(KeyError):
        agreement(folder, reference={"b.jpg": {}}).counts(sample, {"size": 3})


def test_whole_answers_are_compared_as_they_are(folder: Path, sample: Sample) -> None:
    judge = agreement(folder, response=None, reference={"a.jpg": {"classes": [{"id": 3}]}})
    assert judge.counts(sample, {"classes": [{"id": 3}]}) == Counts(1, 1, 1)


def test_boxes_may_have_to_be_of_one_class(folder: Path, sample: Sample) -> None:
    (native,) = found = [{"id": 1, "box": [0, 0, 9, 9]}]
    judge = agreement(
        folder, response=None, kind="boxes", path="objects.box", classes="objects.id",
        reference={"a.jpg": {"objects": found}},
    )  # fmt: skip
    assert judge.counts(sample, {"objects": [native]}) == Counts(2, 2, 2)
    assert judge.counts(sample, {"objects": [{**native, "id": 2}]}) == Counts(0, 2, 2)


def test_the_unit_is_that_of_the_rule(folder: Path, sample: Sample) -> None:
    judge = agreement(folder, response=None, kind="text", path="text", reference={"a.jpg": {"text": "abcd"}})
    assert judge.counts(sample, {"text": "abxd"}) == Counts(3, 4, 4)
