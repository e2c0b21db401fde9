"""Releases of one model that can be told apart: each adds a mark to every text that it reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.e2e.faulty import copy
from toolkit.serving.release import GOLDEN_DIR, GOLDEN_FILE, PIPELINE_DIR
from toolkit.supervisor.deployed import FP32

_GOLDENS = 2

# It is lost requests that count here, not late ones: other work may have the processors for a while.
_LIMITS = {"deadline_seconds": 120, "golden_deadline_seconds": 60}

_MARKING = """

_unmarked = answer


def answer(payload):
    found = _unmarked(payload)
    return {{**found, "lines": [{{**line, "text": line["text"] + {mark!r}}} for line in found["lines"]]}}
"""


def make(release: Path, folder: Path) -> list[Path]:
    """Two releases, `ocr-1` and `ocr-2`, each with an FP32 variant."""
    made = []
    for name in ("ocr-1", "ocr-2"):
        path = _marked(release, folder / name, f" [{name}]")
        shutil.rmtree(path / FP32, ignore_errors=True)
        in_fp32 = release / FP32 if (release / FP32).is_dir() else release
        _marked(in_fp32, path / FP32, f" [{name} in fp32]")
        made.append(path)
    return made


def _marked(release: Path, target: Path, mark: str) -> Path:
    copy(release, target, limits=_LIMITS)
    ops = target / PIPELINE_DIR / "ops.py"
    ops.write_text(ops.read_text(encoding="utf-8") + _MARKING.format(mark=mark), encoding="utf-8")
    file = target / GOLDEN_DIR / GOLDEN_FILE
    entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    # Short answers come soon, so that many requests meet each rollout.
    entries = sorted(entries, key=lambda entry: len(entry["answer"]["lines"]))[:_GOLDENS]
    for line in (line for entry in entries for line in entry["answer"]["lines"]):
        line["text"] += mark
    file.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    return target
