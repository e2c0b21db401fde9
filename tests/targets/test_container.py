from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from tests.fakes import FakeReplica
from tests.gateway.harness import Door
from tests.targets.examples import EXAMPLES, RENDERED, text
from toolkit.doctor import HTTP_PORT
from toolkit.targets import files
from toolkit.targets.plan import plan

DOCKERFILES = ("Dockerfile", "Dockerfile.paddle", "Dockerfile.build")
SERVICES = DOCKERFILES[:2]
COMPILERS = re.compile(r"\b(gcc|g\+\+|clang|build-essential|make|cmake)\b")


def instructions(name: str, file: str) -> list[tuple[str, str]]:
    """The words and the rest of each instruction, lines that go on joined."""
    lines = [line for line in text(name, f"container/{file}").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    found = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(word, rest.strip()) for word, _, rest in found]


def last_stage(name: str, file: str) -> list[tuple[str, str]]:
    found = instructions(name, file)
    begin = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[begin:]


def value(name: str, file: str, word: str) -> str:
    (found,) = (rest for instruction, rest in last_stage(name, file) if instruction == word)
    return found


@pytest.mark.parametrize("file", DOCKERFILES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_image_begins_with_one_that_stays_the_same_and_runs_as_nobody(name: str, file: str) -> None:
    arguments = [rest for word, rest in instructions(name, file) if word == "ARG"]
    assert arguments == (
        ["BASE=docker.io/paddlepaddle/paddle:2.6.2"] if file.endswith("paddle") else ["BASE"]
    )
    assert {rest.split(" ")[0] for word, rest in instructions(name, file) if word == "FROM"} == {"${BASE}"}
    assert int(value(name, file, "USER").split(":")[0]) > 0


@pytest.mark.parametrize("file", DOCKERFILES)
def test_no_compiler_is_in_what_runs(file: str) -> None:
    for word, rest in last_stage("ocr", file):
        assert word != "RUN" or not COMPILERS.search(rest), rest


def test_the_python_that_is_added_to_paddles_image_is_at_the_same_place_in_both_stages() -> None:
    words = instructions("ocr", "Dockerfile.paddle")
    (path,) = (
        rest for word, rest in words[: -len(last_stage("ocr", "Dockerfile.paddle"))] if rest[:5] == "PATH="
    )
    copied = [rest.split(" ")[1:] for word, rest in last_stage("ocr", "Dockerfile.paddle") if word == "COPY"]
    python = path[5:].partition(":")[0]
    assert python.endswith("/bin"), "the environment's interpreter is a link into it"
    assert any(place == [python[: len(place[0])]] * 2 for place in copied)


@pytest.mark.parametrize("file", SERVICES)
def test_the_environment_comes_before_the_code_and_models_come_last(file: str) -> None:
    copies = [rest.split(" ")[-1] for word, rest in last_stage("ocr", file) if word == "COPY"]
    assert copies[-4:] == [".venv", "toolkit/", "templates/", "release/"]
    assert last_stage("ocr", file)[-1][0] == "COPY"


@pytest.mark.parametrize("file", SERVICES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_service_is_the_first_process_and_gets_the_signals(name: str, file: str) -> None:
    command = json.loads(value(name, file, "ENTRYPOINT")) + json.loads(value(name, file, "CMD"))
    assert command[:4] == ["python", "-m", "toolkit", "serve"]
    assert command[-2:] == ["--replicas", str(plan(EXAMPLES[name]).replicas)]


def health_check(source: str) -> list[str]:
    """The command that tells whether a container is well."""
    if source == "compose":
        service = yaml.safe_load(text("ocr", "container/compose.yml"))["services"]["serving"]
        command: list[str] = service["healthcheck"]["test"][1:]
        return command
    check: list[str] = json.loads(value("ocr", source, "HEALTHCHECK").partition("CMD ")[2])
    return check


@pytest.mark.parametrize("source", [*SERVICES, "compose"])
def test_the_health_check_tells_a_service_that_is_ready_from_one_that_is_not(
    source: str, tmp_path: Path
) -> None:
    ready = threading.Event()
    command = health_check(source)

    def code(door: Door) -> int:
        script = command[-1].replace(f":{HTTP_PORT}/", f":{door.http_port}/")
        assert script != command[-1]
        argv = [sys.executable, *command[1:-1], script]
        return subprocess.run(argv, capture_output=True, check=False).returncode

    with FakeReplica(tmp_path / "r.sock") as replica, Door(replica.target, is_ready=ready.is_set) as door:
        assert code(door) == 1
        ready.set()
        assert code(door) == 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_compose_file_is_valid(name: str, tmp_path: Path) -> None:
    files.write(RENDERED[name], tmp_path)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
            str(tmp_path / "container" / "compose.yml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
