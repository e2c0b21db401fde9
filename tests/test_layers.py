"""Imports point down, and each third party has the one package that imports it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What may import what: a room may import rooms of a lower rank, and itself.
RANKS = {
    "errors": 0,
    "process": 0,
    "forkserver": 1,
    "logs": 1,
    "oip": 2,
    "ports": 1,
    "cgroup": 1,
    "content": 1,
    "hardware": 1,
    "lockfile": 1,
    "mailbox": 1,
    "templates": 1,
    "cpu": 2,
    "child": 2,
    "client": 2,
    "data": 2,
    "spec": 2,
    "store": 2,
    "quantization": 2,
    "pipeline": 2,
    "console": 3,
    "doctor": 3,
    "engines": 3,
    "images": 3,
    "smoke": 3,
    "conversion": 4,
    "bundle": 5,
    "evaluation": 4,
    "scaffold": 4,
    "gateway": 4,
    "serving": 4,
    "report": 5,
    "targets": 4,
    "stages": 6,
    "supervisor": 5,
    "tuning": 7,
    "cli": 8,
}
OWNERS = {
    # Of `conversion`, the scripts that run in environments of their own.
    "paddle": {"engines", "conversion"},
    "x2paddle": {"conversion"},
    "paddle2onnx": {"conversion"},
    "onnxruntime": {"conversion"},
    "openvino": {"engines"},
    "paddleslim": {"engines"},
    "paddle_serving_server": {"serving"},
}
OWNERS |= {"paddle_serving_app": {"serving"}, "paddle_serving_client": {"serving"}, "click": {"cli"}}
OWNERS |= {
    "fastapi": {"gateway"},
    "uvicorn": {"gateway"},
    "jinja2": {"templates"},
    "pydantic": {"spec", "serving"},
}
OWNERS["pydantic"] |= {"gateway"}
OWNERS["pydantic_core"] = {"content", "gateway"}
OWNERS |= {"cyclonedx": {"bundle"}, "packageurl": {"bundle"}, "zstandard": {"bundle"}}
OWNERS |= {"rapidfuzz": {"evaluation"}, "scipy": {"supervisor"}}
OWNERS |= {"swagger_ui_bundle": {"gateway"}, "prometheus_client": {"gateway"}, "grpc_health": {"gateway"}}

MODULES = sorted((ROOT / "toolkit").rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "toolkit").parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Everything that a module imports when it runs; what only the type checker sees does not count."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module == "toolkit"
            yield from ((f"toolkit.{alias.name}" for alias in node.names) if whole else [node.module])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path: Path) -> None:
    mine = room(path)
    if mine in ("__init__", "__main__"):
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "toolkit" and parts[1:] and parts[1] not in (mine, "__version__"):
            assert RANKS[parts[1]] < RANKS[mine], f"{path.name} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_third_party_is_imported_by_its_owners_only(path: Path) -> None:
    for name in imports(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or room(path) in owners, f"{path.name} imports {name}"
