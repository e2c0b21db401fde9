"""A small bundle: what a fill puts there, and what its manifest says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from toolkit.bundle import write
from toolkit.bundle.place import Place

CONTENT: dict[str, Any] = {
    "toolkit": "0.1.0",
    "models": {
        "det": {
            "served": "int8 mse",
            "precision": "int8",
            "metric": "hmean",
            "verdict": {"outcome": "pass", "value": 0.85, "drop": 0.1},
            "milliseconds": 40.0,
            "ratio": 3.0,
            "source": "0" * 64,
            "sha256": "1" * 64,
        }
    },
    "end_to_end": {"native": 0.72, "served": 0.71, "verdict": {"outcome": "pass", "drop": 0.1}},
    "cpu": {"release": {"level": "AVX512_CORE_VNNI", "features": ["avx512_vnni"]}},
    "environment": {"packages": {"click": "8.1.8", "numpy": "1.26.4"}},
}

FILES = {
    "release/config.yml": "worker_num: 2\n",
    "release/models/det/serving_server/model.pdiparams": "weights" * 1000,
    "report/index.html": "<p>passed</p>",
    "requirements.lock": "click==8.1.8 \\\n",
}


def made(
    dist: Path,
    version: str = "1.4.0",
    files: Mapping[str, str] = FILES,
    key: Optional[Path] = None,
    **content: Any,
) -> Place:
    """A bundle of these files."""

    def fill(target: Path) -> Mapping[str, Any]:
        for name, text in files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return {**CONTENT, **content}

    return write.write(dist, "ocr", version, fill, key).place


def flip(path: Path, position: int = -1) -> None:
    """Change one bit of one byte."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
