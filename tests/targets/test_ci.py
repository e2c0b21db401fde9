from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.targets.examples import EXAMPLES, RENDERED, text
from toolkit.bundle.place import Place
from toolkit.bundle.version import is_semantic
from toolkit.cli.main import COMMANDS
from toolkit.targets import ci, files

SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


def check(file: Path, schema: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    if schema == "vendor.gitlab-ci":
        argv[3:3] = ["--data-transform", "gitlab-ci"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def job(name: str, kind: str) -> dict[str, Any]:
    """The only one of a workflow."""
    data = yaml.safe_load(text(name, f"ci/{kind}.yml"))
    jobs = data["jobs"] if kind == "github" else data
    (found,) = (item for key, item in jobs.items() if key.startswith("release"))
    return dict(found)


def scripts(name: str, kind: str, tagged: bool = False) -> list[str]:
    """What a workflow has a shell run, in order; the values of expressions are left out."""
    found = job(name, kind)
    if kind == "gitlab":
        return ["\n".join(found["before_script"] + found["script"])]
    steps = [step for step in found["steps"] if "run" in step]
    return [step["run"] for step in steps if tagged or "ref_type == 'tag'" not in step.get("if", "")]


def commands(name: str, kind: str) -> list[str]:
    """What a workflow runs of the toolkit."""
    lines = [line for script in scripts(name, kind) for line in script.splitlines()]
    return [line for line in lines if "toolkit " in line]


@dataclass(frozen=True)
class Ran:
    """A workflow that was run here, by programs that stand in for make, apt-get and the toolkit."""

    code: int
    commands: tuple[str, ...]
    keys: frozenset[str]


def run(kind: str, folder: Path, failing: str = "none", **variables: str) -> Ran:
    """Run the scripts of a workflow as CI does, up to the first that fails.

    Args:
        failing: the command of the toolkit that ends with 4; all others end well.
    """
    tool = (
        'echo "$*" >> commands\n'
        'if [ -n "${TOOLKIT_RELEASE_KEY:-}" ]; then\n'
        '    echo "$(stat -c %a "$TOOLKIT_RELEASE_KEY") $(cat "$TOOLKIT_RELEASE_KEY")" >> keys\n'
        "fi\n"
        f'if [ "$1" = {failing} ]; then exit 4; fi'
    )
    for name, script in ((".venv/bin/toolkit", tool), ("bin/make", ""), ("bin/apt-get", "")):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    environment, code = folder / "environment", 0
    environment.touch()
    fixed = {
        "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
        "GITHUB_ENV": str(environment),
        "RUNNER_TEMP": str(folder),
        "TMPDIR": str(folder),
    }
    for script in scripts("ocr", kind, tagged=variables.get("GITHUB_REF", "").startswith("refs/tags/")):
        kept = dict(line.split("=", 1) for line in environment.read_text().splitlines())
        argv = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]
        done = subprocess.run(argv, cwd=folder, env={**fixed, **variables, **kept}, timeout=60, check=False)
        code = done.returncode
        if code != 0:
            break
    told, keys = folder / "commands", folder / "keys"
    return Ran(
        code,
        tuple(told.read_text().splitlines()),
        frozenset(keys.read_text().splitlines() if keys.exists() else ()),
    )


# What CI sets for a tag, and for anything else.
TAGGED: dict[str, dict[str, str]] = {
    "github": {"GITHUB_REF": "refs/tags/v1.4.0", "GITHUB_RUN_NUMBER": "7"},
    "gitlab": {"CI_COMMIT_TAG": "v1.4.0", "CI_PIPELINE_IID": "7"},
}
OTHER: dict[str, dict[str, str]] = {
    "github": {"GITHUB_REF": "refs/pull/3/merge", "GITHUB_RUN_NUMBER": "7"},
    "gitlab": {"CI_PIPELINE_IID": "7"},
}


@pytest.mark.parametrize(("variables", "version"), [(TAGGED, "1.4.0"), (OTHER, "0.0.0-ci.7")])
@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_tag_is_a_release_and_anything_else_a_trial_before_all_releases(
    kind: str, variables: dict[str, dict[str, str]], version: str, tmp_path: Path
) -> None:
    ran = run(kind, tmp_path, **variables[kind])
    assert (ran.code, ran.keys) == (0, frozenset())
    assert ran.commands[-2:] == (
        f"release --model ocr --version {version}",
        f"targets --model ocr --version {version}",
    )
    assert is_semantic(version)


@pytest.mark.parametrize(
    ("variables", "keys"), [(TAGGED, frozenset({"600 the key"})), (OTHER, frozenset[str]())]
)
@pytest.mark.parametrize("kind", SCHEMAS)
def test_what_is_tagged_is_signed_where_there_is_a_key_and_nobody_else_can_read_that(
    kind: str, variables: dict[str, dict[str, str]], keys: frozenset[str], tmp_path: Path
) -> None:
    ran = run(kind, tmp_path, **variables[kind], RELEASE_KEY="the key")
    assert (ran.code, ran.keys) == (0, keys)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_job_fails_with_the_code_of_the_gate_and_bundles_nothing(kind: str, tmp_path: Path) -> None:
    ran = run(kind, tmp_path, failing="evaluate", **TAGGED[kind])
    assert ran.code == 4
    assert ran.commands[-1] == "evaluate --model ocr"


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
    assert commands(name, kind) == [f".venv/bin/toolkit {step.line}" for step in steps]


def test_every_step_is_a_command_of_the_toolkit() -> None:
    assert {step.command for step in ci.steps("ocr")} <= set(COMMANDS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_report_is_kept_also_when_the_gate_fails(name: str) -> None:
    path = f"build/{EXAMPLES[name].name}/report"
    (step,) = (step for step in job(name, "github")["steps"] if step.get("with", {}).get("path") == path)
    assert step["if"] == "always()"
    artifacts = job(name, "gitlab")["artifacts"]
    assert artifacts["when"] == "always"
    assert path in artifacts["paths"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_bundle_is_kept_with_its_seal_and_signature(name: str) -> None:
    place = Place(Path("dist") / f"{EXAMPLES[name].name}-*")
    files_of_it = {str(path) for path in (place.archive, place.seal, place.signature)}
    (step,) = (step for step in job(name, "github")["steps"] if step.get("name") == "Keep the bundle")
    assert set(step["with"]["path"].split()) == files_of_it
    assert files_of_it < set(job(name, "gitlab")["artifacts"]["paths"])
