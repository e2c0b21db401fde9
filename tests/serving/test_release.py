from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit.engines.options import PredictorOptions
from toolkit.errors import TemplateError
from toolkit.serving import release
from toolkit.serving.release import Agreement
from toolkit.spec.service import CanarySpec, WatchSpec

PREDICTOR = PredictorOptions("int8", "onednn", op_set=("conv2d",))

RELEASE: dict[str, Any] = {
    "name": "ocr",
    "request": "ops:decode",
    "request_options": {"max_pixels": 1000},
    "response": "ops:answer",
    "outputs": [{"name": "box", "path": "lines.box", "datatype": "FP32", "shape": [-1, 4, 2]}],
    "steps": [
        {
            "name": "det",
            "model": "det",
            "precision": "int8",
            "digest": "0123",
            "verdict": "pass",
            "step": "ops:Detector",
            "options": {"limit": 960},
            "predictor": PREDICTOR.to_json(),
        }
    ],
    "limits": {
        "threads": 1,
        "replicas": None,
        "workers": 2,
        "queue": 32,
        "max_body_bytes": 1024,
        "max_connections": 100,
        "header_seconds": 10,
        "deadline_seconds": 30,
        "start_seconds": 120.0,
        "grace_seconds": 10,
        "golden_interval_seconds": 10,
        "golden_deadline_seconds": 10,
        "memory_limit_megabytes": None,
    },
}


AGREEMENT = {"kind": "text", "path": "lines.text", "rate": 0.002, "high": 0.004, "samples": 60}


def write(folder: Path, text: str) -> Path:
    (folder / release.RELEASE_FILE).write_text(text, encoding="utf-8")
    return folder


def refusal(folder: Path) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        release.read(folder)
    assert caught.value.where == str(folder / release.RELEASE_FILE)
    return caught.value


def test_a_release_is_read_with_the_engine_settings_of_each_step(tmp_path: Path) -> None:
    found = release.read(write(tmp_path, yaml.safe_dump(RELEASE)))
    assert (found.name, found.limits.deadline_seconds) == ("ocr", 30.0)
    assert found.steps[0].predictor_options == PREDICTOR


def test_the_engines_of_a_release_are_those_of_its_spares_too(tmp_path: Path) -> None:
    step = {**RELEASE["steps"][0], "predictor": PredictorOptions("int8", "openvino").to_json()}
    spare = tmp_path / release.at_level("AVX2")
    spare.mkdir(parents=True)
    write(tmp_path, yaml.safe_dump(RELEASE))
    assert release.engines(tmp_path) == {"paddle"}
    write(spare, yaml.safe_dump({**RELEASE, "steps": [step]}))
    assert release.engines(tmp_path) == {"paddle", "openvino"}


def test_a_release_says_how_far_its_answers_agree_with_those_of_native_fp32(tmp_path: Path) -> None:
    found = release.read(write(tmp_path, yaml.safe_dump({**RELEASE, "agreement": AGREEMENT})))
    assert found.agreement == Agreement(kind="text", path="lines.text", rate=0.002, high=0.004, samples=60)


def test_a_release_of_before_says_nothing_of_agreement(tmp_path: Path) -> None:
    assert release.read(write(tmp_path, yaml.safe_dump(RELEASE))).agreement is None


def test_a_release_of_before_has_the_canary_and_the_watch_of_the_specs_defaults(tmp_path: Path) -> None:
    found = release.read(write(tmp_path, yaml.safe_dump(RELEASE)))
    assert found.canary.model_dump() == CanarySpec().model_dump()
    assert found.watch.model_dump() == WatchSpec().model_dump()


def test_a_folder_without_a_release_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).message == "this is no rendered release"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": None}, "steps"),
        ({"surplus": 1}, "surplus"),
        ({"limits": {**RELEASE["limits"], "queue": "many"}}, "limits.queue"),
        ({"canary": {"steps": ["half"]}}, "canary.steps.0"),
        ({"watch": {"samples": 0.1}}, "watch.samples"),
        ({"agreement": {**AGREEMENT, "kind": "taste"}}, "agreement.kind"),
        ({"agreement": {**AGREEMENT, "mean": 0.1}}, "agreement.mean"),
        ({"steps": [{**RELEASE["steps"][0], "precison": "int8"}]}, "steps.0.precison"),
    ],
)
def test_a_wrong_release_names_the_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert message in refusal(write(tmp_path, yaml.safe_dump({**RELEASE, **change}))).message


@pytest.mark.parametrize("text", ["", "- a", "name: [ocr", "name: \x00"])
def test_what_is_no_mapping_or_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    assert "the rendered release is wrong" in refusal(write(tmp_path, text)).message


def test_golden_answers_come_with_the_path_of_their_image(tmp_path: Path) -> None:
    folder = tmp_path / release.GOLDEN_DIR
    folder.mkdir()
    (folder / release.GOLDEN_FILE).write_text('[{"image": "00.jpg", "answer": {"lines": []}}]')
    assert release.goldens(tmp_path) == [(folder / "00.jpg", {"lines": []})]


def test_the_cheapest_golden_is_the_one_with_the_shortest_answer(tmp_path: Path) -> None:
    folder = tmp_path / release.GOLDEN_DIR
    folder.mkdir()
    answers = [{"lines": ["a", "b"]}, {"lines": ["c"]}, {"lines": ["d", "e", "f"]}]
    entries = [{"image": f"{index}.jpg", "answer": answer} for index, answer in enumerate(answers)]
    (folder / release.GOLDEN_FILE).write_text(json.dumps(entries))
    for index in range(3):
        (folder / f"{index}.jpg").write_bytes(b"%d" % index)
    assert release.cheapest_golden(tmp_path) == (b"1", {"lines": ["c"]})


def test_a_variant_that_is_left_out_is_the_release_itself(tmp_path: Path) -> None:
    (tmp_path / "fp32").mkdir()
    assert release.variant(tmp_path, release.FP32) == tmp_path / "fp32"
    assert release.variant(tmp_path, release.at_level("AVX2")) == tmp_path


@pytest.mark.parametrize(
    ("level", "usable", "place"),
    [
        (None, (), ""),
        ("AVX512_CORE_VNNI", ("AVX2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16"), ""),
        ("AVX512_CORE_VNNI", ("AVX2", "AVX512_CORE"), ""),  # judged there, and the same
        ("AVX512_CORE_VNNI", ("AVX2",), "levels/AVX2"),
        ("AVX512_CORE_VNNI", ("AVX2", "AVX2_VNNI"), "levels/AVX2"),
        ("AVX512_CORE_VNNI", (), "fp32"),  # nothing was judged there
    ],
)
def test_a_processor_runs_what_was_judged_for_it_or_fp32(
    level: Any, usable: tuple[str, ...], place: str, tmp_path: Path
) -> None:
    write(tmp_path, yaml.safe_dump({**RELEASE, "level": level, "levels": ["AVX2", "AVX512_CORE"]}))
    for spare in ("fp32", "levels/AVX2"):
        (tmp_path / spare).mkdir(parents=True)
    assert release.fitting(tmp_path, usable) == tmp_path / place
