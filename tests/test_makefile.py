"""The Makefile: every target documented, every stage the command of its name, every value passed on unharmed."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

import pytest

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()

STAGES = ("export", "optimize", "calibrate", "quantize", "evaluate", "report", "convert", "render")
DEPLOYING = ("deploy", "launch", "serve")
RUNNING = ("smoke", "status", "history", "logs", "stop")
BACK = ("rollback",)
RELEASING = ("release", "releases", "verify", "diff", "keygen")
MEASURING = ("profile", "profile-model", "shapes", "tune", "chaos", "rollouts", "canary", "soak", "bench")
MEASURING += ("overhead", "fuzz")
BEGINNING = ("inspect", "new")
ELSEWHERE = ("targets", "image", "image-build", "ci")
OTHERS = (
    "setup",
    "doctor",
    "test",
    "test-e2e",
    "test-rollouts",
    "test-pipelines",
    "test-container",
    "test-schemas",
    "lint",
    "format",
    "docs",
    "lock",
    "schema",
    "clean",
)

MODEL = ["--model", "ocr"]
BUILD = ["--build", "build"]
DATA = ["--data", "images", "--precision", "int8", "--budget", "5m"]
DIST = ["--dist", "dist"]
KEY = ["--key", "r"]
PORTS = ["--host", "0.0.0.0", "--http-port", "80", "--grpc-port", "81"]
SERVICE = ["--replicas", "3", "--api-keys", "k", "--tls-cert", "c", "--tls-key", "d", "--tls-client-ca", "e"]
VERSION = ["--version", "1.4.0"]
EVERY_VARIABLE = {
    "DATA": "images",
    "FROM": "model",
    "LIKE": "tensor",
    "COPY": "1",
    "PRECISION": "int8",
    "TO": "fp32",
    "BUDGET": "5m",
    "HOST": "0.0.0.0",
    "HTTP_PORT": "80",
    "GRPC_PORT": "81",
    "TARGET_P99_MS": "800",
    "MEMORY_MB": "3000",
    "REPLICAS": "3",
    "API_KEYS": "k",
    "TLS_CERT": "c",
    "TLS_KEY": "d",
    "TLS_CLIENT_CA": "e",
    "VERSION": "1.4.0",
    "RELEASE": "ocr-1.4.0",
    "KEY": "r",
    "A": "ocr-1.3.0",
    "B": "ocr-1.4.0",
    "BASE": "b",
    "IMAGE": "i.jpg",
    "STEP": "rec",
    "SECONDS": "9",
    "REQUESTS": "8",
    "V": "1",
}


def make(
    *arguments: str, environment: Optional[Mapping[str, str]] = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        # Without the variables of a make that runs these tests.
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def command_of(target: str, *variables: str, environment: Optional[Mapping[str, str]] = None) -> list[str]:
    """The words of the command that a target would run after its set-up."""
    result = make("-n", target, *variables, environment=environment)
    assert result.returncode == 0, result.stderr
    setup, command = result.stdout.splitlines()
    assert setup == "toolkit/bootstrap.sh ensure"
    return shlex.split(command)


def test_make_alone_lists_every_target_with_a_line_about_it() -> None:
    result = make()
    assert (result.returncode, result.stderr) == (0, "")
    listed = re.findall(r"^  ([a-z][a-z0-9-]*) +\S+ \S+", result.stdout, flags=re.MULTILINE)
    every = {*BEGINNING, *STAGES, *DEPLOYING, *RUNNING, *BACK, *RELEASING, *MEASURING, *ELSEWHERE, *OTHERS}
    assert set(listed) == every
    assert len(listed) == len(set(listed))


def test_make_alone_lists_every_variable_with_its_default() -> None:
    variables = dict(re.findall(r"^  ([A-Z0-9_]+)=(\S*) +\S+ \S+", make().stdout, flags=re.MULTILINE))
    assert variables == {
        "MODEL": "ocr",
        "DATA": "",
        "FROM": "",
        "LIKE": "",
        "COPY": "",
        "PRECISION": "",
        "TO": "",
        "BUDGET": "",
        "STRICT": "",
        "HOST": "",
        "HTTP_PORT": "",
        "GRPC_PORT": "",
        "TARGET_P99_MS": "",
        "MEMORY_MB": "",
        "REPLICAS": "",
        "API_KEYS": "",
        "TLS_CERT": "",
        "TLS_KEY": "",
        "TLS_CLIENT_CA": "",
        "VERSION": "",
        "RELEASE": "",
        "CANARY": "",
        "KEY": "",
        "A": "",
        "B": "",
        "DIST": "dist",
        "BASE": "",
        "IMAGE": "",
        "STEP": "",
        "SECONDS": "120",
        "REQUESTS": "5000",
        "BUILD": "build",
        "V": "",
        "ARGS": "",
        "PYTHON": "",
    }


def test_every_target_is_phony_and_documented() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, flags=re.MULTILINE))
    documented = set(re.findall(r"^([a-z][a-z0-9-]*):.* ## \S", MAKEFILE, flags=re.MULTILINE))
    phony = {
        name for line in re.findall(r"^\.PHONY: (.*)", MAKEFILE, flags=re.MULTILINE) for name in line.split()
    }
    assert targets == phony
    assert targets - documented == {"help", "venv"}


@pytest.mark.parametrize("target", [*STAGES, *DEPLOYING, *RUNNING, *BACK])
def test_a_target_is_the_command_of_its_name(target: str) -> None:
    assert command_of(target) == [".venv/bin/toolkit", target, *MODEL, *BUILD]


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        (STAGES, [*MODEL, *BUILD, "-v", *DATA]),
        (("launch", "serve"), [*MODEL, *BUILD, "-v", *DATA, *PORTS, *SERVICE]),
        (
            ("deploy",),
            [*MODEL, *BUILD, "-v", *DATA, *PORTS, *SERVICE, "--release", "ocr-1.4.0", *DIST, *KEY],
        ),
        (("profile",), [*MODEL, *BUILD, "-v", *DATA, "--image", "i.jpg"]),
        (("shapes",), [*MODEL, *BUILD, "-v", "--data", "images"]),
        (("tune",), [*MODEL, *BUILD, "-v", *DATA, "--target-p99", "800", "--memory-mb", "3000"]),
        (("profile-model",), [*MODEL, *BUILD, "-v", *DATA, "--step", "rec", "--image", "i.jpg"]),
        (RUNNING, [*MODEL, *BUILD, "-v"]),
        (("targets",), [*MODEL, *BUILD, "-v", *VERSION]),
        (("image",), [*MODEL, *BUILD, "-v", *DATA, *VERSION, "--base", "b", "--release", "ocr-1.4.0", *DIST]),
        (("image-build",), [*MODEL, *BUILD, "-v", *VERSION, "--base", "b"]),
        (BACK, [*MODEL, *BUILD, "-v", "--to", "fp32"]),
        (("doctor",), [*PORTS, *BUILD, "-v"]),
        (("clean",), [*BUILD, "-v"]),
        (("release", "ci"), [*MODEL, *BUILD, "-v", *DATA, "--version", "1.4.0", *DIST, *KEY]),
        (("releases",), DIST),
        (("verify",), [*DIST, *KEY, "ocr-1.4.0"]),
        (("diff",), [*DIST, "ocr-1.3.0", "ocr-1.4.0"]),
        (("keygen",), KEY),
        (("schema",), []),
        (("inspect",), ["model"]),
        (
            ("new",),
            ["--model", "ocr", "--from", "model", "--like", "tensor", "--data", "images", "--copy", *BUILD],
        ),
    ],
)
def test_a_target_passes_on_what_its_command_takes_and_no_more(
    targets: list[str], options: list[str]
) -> None:
    variables = [f"{name}={value}" for name, value in EVERY_VARIABLE.items()]
    for target in targets:
        assert command_of(target, *variables) == [".venv/bin/toolkit", target, *options]


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("chaos", [*MODEL, *BUILD, "-v", "--seconds", "9", "--replicas", "3"]),
        ("rollouts", [*MODEL, *BUILD, "-v", "--replicas", "3"]),
        ("canary", [*MODEL, *BUILD, "-v", "--replicas", "3"]),
        ("soak", ["--home", "build/ocr", "--requests", "8"]),
        ("overhead", ["--home", "build/ocr", "--image", "i.jpg"]),
        ("fuzz", ["--seconds", "9"]),
    ],
)
def test_what_tries_the_service_is_a_program_of_the_tests(target: str, options: list[str]) -> None:
    variables = [f"{name}={value}" for name, value in EVERY_VARIABLE.items()]
    assert command_of(target, *variables) == [".venv/bin/python", "-m", f"tests.{target}", *options]


def test_anything_further_goes_last() -> None:
    assert command_of("logs", "ARGS=--follow --lines 5")[-3:] == ["--follow", "--lines", "5"]


def test_doctor_looks_at_a_pipeline_that_was_named_and_at_no_other() -> None:
    assert "--model" not in command_of("doctor")
    assert command_of("doctor", "MODEL=other")[-2:] == ["--model", "other"]


def test_v_of_zero_is_not_verbose() -> None:
    assert "-v" not in command_of("deploy", "V=0")


def test_variables_may_come_from_the_environment() -> None:
    assert command_of("stop", environment={"MODEL": "other"}) == [
        ".venv/bin/toolkit", "stop", "--model", "other", *BUILD,
    ]  # fmt: skip


def test_the_host_that_some_shells_export_does_not_open_the_service_to_the_network() -> None:
    assert "--host" not in command_of("deploy", environment={"HOST": "workstation"})
    assert "0.0.0.0" in command_of("deploy", "HOST=0.0.0.0", environment={"HOST": "workstation"})


@pytest.mark.parametrize(
    "value", ["a b", "it's", '"quoted"', "$HOME", "$(SHELL)", "a;false", "*", "a\\b", "  two  "]
)
def test_a_value_reaches_the_command_as_it_was_given(value: str) -> None:
    result = make("export", f"DATA={value}", "BOOTSTRAP=true", "TOOLKIT=printf '<%s>'")
    # make itself drops blanks in front of a value
    assert f"<--data><{value.lstrip()}>" in result.stdout


def test_the_failure_of_a_command_is_the_failure_of_make() -> None:
    assert make("deploy", "BOOTSTRAP=true", "TOOLKIT=true").returncode == 0
    assert make("deploy", "BOOTSTRAP=true", "TOOLKIT=exit 9;").returncode == 2


def test_no_command_runs_after_a_failed_set_up() -> None:
    result = make("deploy", "BOOTSTRAP=exit 1;", "TOOLKIT=echo ran")
    assert result.returncode == 2
    assert "ran" not in result.stdout
