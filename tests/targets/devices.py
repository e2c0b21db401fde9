"""OCR for each kind of hardware: what of its targets differs from x86-cpu's, as diffs that are kept."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from tests.targets.examples import GOLDEN, RENDERED, VERSION, ocr
from toolkit.hardware import DEFAULT, HARDWARE
from toolkit.spec.pipeline import PipelineSpec
from toolkit.targets import files

DIFFS = GOLDEN / "devices"
OTHERS = [name for name in HARDWARE if name != DEFAULT]


def on(target: str) -> PipelineSpec:
    spec = ocr()
    gate = spec.gate.model_copy(update={"levels": ()})
    return spec.model_copy(update={"target": target, "gate": gate})


def diff(target: str) -> str:
    return "".join(_lines(files.render(on(target), version=VERSION)))


def _lines(rendered: files.Files) -> Iterator[str]:
    before = RENDERED["ocr"]
    for path in sorted({*before, *rendered}):
        pair = [item.get(path, "").splitlines(keepends=True) for item in (before, rendered)]
        yield from difflib.unified_diff(*pair, f"x86-cpu/{path}", str(path), n=0)


def write() -> list[Path]:
    DIFFS.mkdir(exist_ok=True)
    paths = [DIFFS / f"{target}.diff" for target in OTHERS]
    for path, target in zip(paths, OTHERS):
        path.write_text(diff(target), encoding="utf-8")
    return paths
