from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit import templates
from toolkit.errors import TemplateError
from toolkit.serving import config, release
from toolkit.serving.release import Agreement
from toolkit.spec.service import CanarySpec, ServingSpec, WatchSpec

STEP = {
    "name": "det",
    "model": "det",
    "precision": "int8",
    "digest": "sha256:0123",
    "verdict": "pass",
    "step": "ops:Detector",
    "options": {"limit": 960, "note": 'a "quoted": {{ text }}'},
    "predictor": {
        "precision": "fp32",
        "backend": "native",
        "threads": 1,
        "cache_capacity": 8,
        "op_set": [],
    },
}

CONFIG = """\
# Paddle Serving's pipeline server for tiny. Rendered from templates/serving/config.yml.j2; edit that.
worker_num: 3
build_dag_each_worker: false
dag:
  is_thread_op: true        # op processes hang the service when one dies
  retry: 1                  # more hangs it after a timeout
  client_type: brpc         # not used: the predictors are in the ops
  use_profile: false
  channel_size: 0
  channel_recv_frist_arrive: false
  tracer: {interval_s: -1}
op:
  det:
    concurrency: 1
    timeout: -1             # deadlines are kept in front
    retry: 1
    batch_size: 1
    auto_batching_timeout: -1
  rec:
    concurrency: 1
    timeout: -1             # deadlines are kept in front
    retry: 1
    batch_size: 1
    auto_batching_timeout: -1
"""


AGREEMENT = {"kind": "text", "path": "lines.text", "samples": 60, "rate": 0.002, "high": 0.004}


def variables() -> dict[str, Any]:
    spec = SimpleNamespace(
        name="tiny",
        request="ops:decode",
        accepts="text",
        request_options={"side": 960},
        response="ops:answer",
        outputs=(),
        serving=ServingSpec(workers=3),
        canary=CanarySpec(steps=(7, 70)),
        watch=WatchSpec(window=50),
    )
    told = {"level": None, "levels": ["AVX2"], "agreement": AGREEMENT, "device": None}
    return {"spec": spec, **told, "steps": [STEP, {**STEP, "name": "rec"}]}


def refusal(folder: Path, text: str, **values: Any) -> TemplateError:
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "a.yml.j2").write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError) as caught:
        templates.render_yaml("sub/a.yml.j2", folder, **values)
    return caught.value


def test_the_config_of_a_service_is_rendered_exactly_and_passes_its_check() -> None:
    text, parsed = templates.render_yaml("serving/config.yml.j2", **variables())
    assert text == CONFIG
    config.check(parsed, where="")


def test_a_rendered_release_reads_back_what_went_in(tmp_path: Path) -> None:
    text, _ = templates.render_yaml("serving/release.yml.j2", **variables())
    (tmp_path / release.RELEASE_FILE).write_text(text, encoding="utf-8")
    found = release.read(tmp_path)
    assert found.steps[0].options == STEP["options"]
    assert found.steps[1].predictor == STEP["predictor"]
    assert found.accepts == "text"
    assert found.request_options == {"side": 960}
    assert (found.level, found.levels) == (None, ("AVX2",))
    assert found.agreement == Agreement(**AGREEMENT)
    assert found.limits.max_body_bytes == 16 * 1024 * 1024
    assert (found.canary.steps, found.watch.window) == ((7, 70), 50)


def test_an_undefined_variable_is_named_with_template_and_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, "a: 1\nb: 2\nc: {{ missing }}\n")
    assert "'missing' is undefined" in error.message
    assert error.where == "sub/a.yml.j2:3"


def test_an_undefined_attribute_is_named_with_template_and_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, "a: 1\nb: {{ spec.workers.count }}\n", spec={"name": "x"})
    assert "workers" in error.message
    assert error.where == "sub/a.yml.j2:2"


def test_a_mistake_in_an_included_template_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "inner.j2").write_text("fine\n{{ missing }}\n")
    assert refusal(tmp_path, "a: 1\n{% include 'inner.j2' %}\n").where == "inner.j2:2"
    (tmp_path / "inner.j2").write_text("fine\n{% if %}\n")
    assert refusal(tmp_path, "a: 1\n{% include 'inner.j2' %}\n").where == "inner.j2:2"


@pytest.mark.parametrize(
    "text", ["a: 1\n{% for x in %}\n", "a: 1\nb: {{ x | no_such_filter }}\n", "a: 1\n{{ x\n"]
)
def test_a_malformed_template_is_named_with_the_line(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, text, x=1)
    assert "malformed" in error.message
    assert str(error.where).startswith("sub/a.yml.j2:")
    assert str(error.where)[-1] in "23"


def test_a_wrong_operation_in_a_template_is_an_error_with_the_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, "a: 1\nb: {{ 1 + 'x' }}\n")
    assert "TypeError" in error.message
    assert error.where == "sub/a.yml.j2:2"


def test_a_result_that_is_no_yaml_is_an_error_with_its_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, "a: 1\nb: {{ x }}\n", x="[1, 2")
    assert "not valid YAML" in error.message
    assert str(error.where).startswith("sub/a.yml.j2, line ")


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"none\.j2 is missing"):
        templates.render("none.j2", tmp_path)


def test_the_last_newline_is_kept_and_nothing_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "a.j2").write_text("{{ x }}\n")
    assert templates.render("a.j2", tmp_path, x="<&>") == "<&>\n"
