from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolkit import spec
from toolkit.child import Progress
from toolkit.console import Console
from toolkit.stages.context import Context
from toolkit.store.artifact import Artifact

PIPELINES = Path(__file__).parents[2] / "pipelines"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(spec.load(PIPELINES, "ocr"), tmp_path, None, None, Console(quiet=True))


def ask(context: Context, code: Path, **ingredients: Any) -> Artifact:
    def build(target: Path, progress: Progress) -> Mapping[str, Any]:
        (target / "file").write_text("content")
        progress(1, 1)
        return {"ingredients": ingredients}

    return context.artifact("export", "det", ingredients, (code,), build)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "stage.py").write_text("stage = 1\n")
    return tmp_path / "stage.py"


def test_what_nothing_has_changed_for_is_not_done_again(context: Context, code: Path) -> None:
    first = ask(context, code, threads=1)
    # Another run of the tool: nothing is known yet, but the store has it.
    again = replace(context, console=Console(quiet=True), known={})
    assert ask(again, code, threads=1) == first
    assert (context.console.ran, again.console.ran) == (["export det"], [])


def test_another_option_is_another_artifact(context: Context, code: Path) -> None:
    assert ask(context, code, threads=1).path != ask(context, code, threads=2).path
    assert context.console.ran == ["export det"] * 2


def test_another_version_of_the_stages_code_is_another_artifact(
    context: Context, code: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.py"
    changed.write_text("stage = 2\n")
    assert ask(context, code).path != ask(context, changed).path


def test_in_one_run_the_store_is_asked_once(context: Context, code: Path) -> None:
    first = ask(context, code)
    (first.path / "file").write_text("changed meanwhile")
    assert ask(context, code) is first


def test_a_precision_that_is_asked_for_is_the_only_candidate(context: Context) -> None:
    assert context.candidates_of("det") == ("int8", "bf16", "fp32")
    assert replace(context, precision="bf16").candidates_of("det") == ("bf16",)
    assert replace(context, precision="bf16").forced("det") == "bf16"


def test_a_model_that_names_its_own_candidates_keeps_them_where_the_precision_is_none_of_them(
    context: Context,
) -> None:
    for precision in ("int8", "fp32"):
        asked = replace(context, precision=precision)
        assert (asked.candidates_of("cls"), asked.forced("cls")) == (("fp32",), None)
    assert replace(context, precision="fp32").forced("det") is None
