"""The two pipelines whose targets are kept as golden renders: OCR as it ships, and a small one that sets everything."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from tests.spec.test_load import SPEC
from toolkit import spec
from toolkit.spec.pipeline import PipelineSpec
from toolkit.targets import files

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
GOLDEN = Path(__file__).with_name("golden")

SMALL = {
    **SPEC,
    "name": "small_net",
    "serving": {
        "threads": 2,
        "queue": 8,
        "max_body_bytes": 65536,
        "deadline_seconds": 2.5,
        "start_seconds": 20,
        "grace_seconds": 1.5,
        "memory_limit_megabytes": 900,
    },
    "canary": {"steps": [5, 20, 60]},
    "targets": {
        "image": "registry.example.com/team/small",
        "namespace": "vision",
        "cpus": 6,
        "min_pods": 1,
        "max_pods": 3,
        "cpu_percent": 50,
        "canary_seconds": 60,
        "storage": "s3://bucket/releases",
        "hosts": ["127.0.0.2", "127.0.0.3", "127.0.0.4"],
        "directory": "/opt/serving",
    },
}

VERSION = "1.4.0"


def ocr() -> PipelineSpec:
    return spec.load(PIPELINES, "ocr")


def small() -> PipelineSpec:
    return PipelineSpec.model_validate_json(json.dumps(SMALL))


EXAMPLES = {"ocr": ocr(), "small": small()}
RENDERED = {name: files.render(item, version=VERSION) for name, item in EXAMPLES.items()}


def texts(name: str, target: str) -> dict[str, str]:
    """The files of a target, by their paths within it."""
    found = RENDERED[name].items()
    return {str(path.relative_to(target)): text for path, text in found if path.parts[0] == target}


def text(name: str, path: str) -> str:
    return RENDERED[name][PurePosixPath(path)]
