from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.targets.examples import EXAMPLES, RENDERED, text
from toolkit.cli.main import program
from toolkit.targets import ci, files

SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


def check(file: Path, schema: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    if schema == "vendor.gitlab-ci":
        argv[3:3] = ["--data-transform", "gitlab-ci"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def commands(name: str, kind: str) -> list[str]:
    """What a workflow runs of the toolkit."""
    data = yaml.safe_load(text(name, f"ci/{kind}.yml"))
    if kind == "github":
        lines = [step.get("run", "") for step in data["jobs"]["release"]["steps"]]
    else:
        lines = next(job for key, job in data.items() if key.startswith("release-"))["script"]
    return [line for line in lines if "toolkit " in line]


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_workflow_is_valid(name: str, kind: str, tmp_path: Path) -> None:
    files.write(RENDERED[name], tmp_path)
    done = check(tmp_path / "ci" / f"{kind}.yml", SCHEMAS[kind])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "right"), [("github", "runs-on"), ("gitlab", "script")])
def test_the_schema_refuses_a_workflow_that_is_wrong(kind: str, right: str, tmp_path: Path) -> None:
    file = tmp_path / f"{kind}.yml"
    file.write_text(text("ocr", f"ci/{kind}.yml").replace(f" {right}:", f" {right}s:"))
    assert check(file, SCHEMAS[kind]).returncode == 1


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_workflow_runs_the_steps_that_make_ci_runs(name: str, kind: str) -> None:
    steps = ci.steps(EXAMPLES[name].name)
    assert commands(name, kind) == [f".venv/bin/toolkit {' '.join(step.arguments)}" for step in steps]


def test_every_step_is_a_command_of_the_toolkit() -> None:
    assert {step.command for step in ci.steps("ocr")} <= set(program.commands)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_report_is_kept_also_when_the_gate_fails(name: str) -> None:
    path = f"build/{EXAMPLES[name].name}/report"
    github: Any = yaml.safe_load(text(name, "ci/github.yml"))["jobs"]["release"]["steps"]
    (step,) = (step for step in github if step.get("with", {}).get("path") == path)
    assert step["if"] == "always()"
    gitlab = yaml.safe_load(text(name, "ci/gitlab.yml"))
    (job,) = (job for key, job in gitlab.items() if key.startswith("release-"))
    assert job["artifacts"]["when"] == "always"
    assert path in job["artifacts"]["paths"]
