"""The C++ server's arguments and binary; of the stock command, its parser is read."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit import templates
from toolkit.errors import ServiceError, TemplateError
from toolkit.serving import cpp
from toolkit.spec.hardware import CppSpec, DeviceSpec
from toolkit.spec.service import ServingSpec

SHA = "ab" * 32
RENDERED = f"""\
# Arguments of `python -m paddle_serving_server.serve` for tiny, beside --port. Rendered from
# templates/serving/cpp.yml.j2; edit that. Not verified: no binary of the C++ server could be had.
binary_sha256: {SHA}   # of the file that SERVING_BIN names
arguments:
  model: models/net/serving_server
  thread: 4
  cpu_math_thread_num: 1
  precision: fp32           # the others are for TensorRT, or quantize without any calibration
  max_body_size: 67108864   # less than 64 MiB it does not take
  ir_optim: true
  use_mkl: true
"""


def rendered(target: str = "x86-cpu", number: int = 0, **serving: Any) -> str:
    spec = SimpleNamespace(
        name="tiny",
        target=target,
        cpp=CppSpec(binary_sha256=SHA),
        device=DeviceSpec(id=number),
        serving=ServingSpec(**serving),
    )
    text, _ = templates.render_yaml("serving/cpp.yml.j2", spec=spec, steps=[{"model": "net"}])
    return text


def server(folder: Path, text: str) -> cpp.Server:
    (folder / cpp.FILE).write_text(text)
    found = cpp.read(folder)
    assert found is not None
    return found


def test_the_arguments_are_rendered_exactly() -> None:
    assert rendered() == RENDERED


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("x86-cpu", ["--ir_optim", "--use_mkl"]),
        ("nvidia-gpu", ["--ir_optim", "--gpu_ids", "1"]),
        ("arm-cpu", ["--ir_optim", "--use_lite"]),
        ("kunlun-xpu", ["--ir_optim", "--use_lite", "--use_xpu", "--gpu_ids", "1"]),
    ],
)
def test_the_command_is_that_of_the_target(target: str, words: list[str], tmp_path: Path) -> None:
    found = server(tmp_path, rendered(target, 1, max_body_bytes=100 << 20))
    assert found.command("python", 9292) == [
        *("python", "-m", "paddle_serving_server.serve", "--model", "models/net/serving_server"),
        *("--thread", "4", "--cpu_math_thread_num", "1", "--precision", "fp32"),
        *("--max_body_size", "104857600", *words, "--port", "9292"),
    ]


def options_of_the_stock_command() -> set[str]:
    found = importlib.util.find_spec("paddle_serving_server")
    assert found is not None
    assert found.submodule_search_locations is not None
    tree = ast.parse((Path(next(iter(found.submodule_search_locations))) / "serve.py").read_text())
    return {
        str(node.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
        and isinstance(node.args[0], ast.Constant)
    }


def test_the_arguments_are_options_of_the_installed_command() -> None:
    assert {f"--{name}" for name in cpp.Arguments.model_fields} <= options_of_the_stock_command()


def test_a_release_without_the_file_is_served_by_the_python_pipeline(tmp_path: Path) -> None:
    assert cpp.read(tmp_path) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [("thread: 4", "thread: 2"), ("thread: 4", "threads: 4"), ("fp32  ", "int8  "), ("arguments:", "a: [")],
)
def test_an_argument_that_the_command_does_not_take_is_refused(
    before: str, after: str, tmp_path: Path
) -> None:
    (tmp_path / cpp.FILE).write_text(RENDERED.replace(before, after))
    with pytest.raises(TemplateError, match="the arguments of the C\\+\\+ server are wrong"):
        cpp.read(tmp_path)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "serving"
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o755)
    return path


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(sha256: str, named: str | None) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        cpp.binary(sha256, {} if named is None else {cpp.VARIABLE: named})
    return caught.value


def test_the_binary_that_the_spec_was_written_for_is_taken(program: Path) -> None:
    assert cpp.binary(sha(program), {cpp.VARIABLE: str(program)}) == program


@pytest.mark.parametrize("named", [None, ""])
def test_without_a_binary_it_says_what_to_do_and_nothing_is_downloaded(named: str | None) -> None:
    error = refusal(SHA, named)
    assert "SERVING_BIN names none; nothing is downloaded" in error.message
    assert "sha256sum" in str(error.remedy)


def test_another_binary_is_refused_with_both_digests(program: Path) -> None:
    error = refusal(SHA, str(program))
    assert sha(program) in error.message
    assert SHA in error.message
    assert error.where == f"SERVING_BIN={program}"


def test_what_may_not_be_executed_is_refused(program: Path) -> None:
    program.chmod(0o644)
    assert "may not be executed" in refusal(sha(program), str(program)).message


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    assert "is not a file" in refusal(SHA, str(tmp_path / name)).message


@pytest.mark.parametrize("named", ["/tmp/a b/serving", "/tmp/$(id)/serving", "serving", "/tmp/x;id"])
def test_a_path_that_a_shell_would_read_in_another_way_is_refused(named: str) -> None:
    assert "a shell gets it" in refusal(SHA, named).message
