"""Releases that are worse than the one that serves, each in a way that its own golden answers and gate record hide.

python -m tests.canary.releases DIRECTORY     records the answers of the release in DIRECTORY as its golden ones
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.faulty import copy
from toolkit.serving.release import GOLDEN_DIR, GOLDEN_FILE, MODELS_DIR, PIPELINE_DIR, goldens

ROOT = Path(__file__).resolve().parents[2]

ANSWERS, LATENCY, ERRORS = "answers", "latency", "errors"
FAULTS = (ANSWERS, LATENCY, ERRORS)

# Each step of a request takes this many times as long.
SLOWER = 3.0

# Each process of the release ends at every request of this number.
CRASH_AT = 50

# The model whose layer is disturbed, and by how much: standard deviations of the layer's weights.
_MODEL, _NOISE = "rec", 0.4

_OPS = {
    LATENCY: f"""

import time as _time


def _slowed(step):
    class Slow(step):
        def preprocess(self, payload):
            payload["began"] = _time.monotonic()
            return super().preprocess(payload)

        def postprocess(self, payload, outputs):
            began = payload.pop("began")
            payload = super().postprocess(payload, outputs)
            _time.sleep((_time.monotonic() - began) * ({SLOWER} - 1))
            return payload

    return Slow


Detector, Recognizer = _slowed(Detector), _slowed(Recognizer)
""",
    ERRORS: f"""

import os as _os

_sound, _requests = answer, []


def answer(payload):
    _requests.append(None)
    if len(_requests) % {CRASH_AT} == 0:
        _os.abort()
    return _sound(payload)
""",
}


def make(release: Path, target: Path, fault: str | None, plan: dict[str, dict[str, Any]]) -> Path:
    """A copy of a rendered release with one of `FAULTS`; None: it is as good as that.

    Args:
        plan: what is to be changed in its `release.yml`, by section.
    """
    copy(release, target, **plan)
    if fault in _OPS:
        ops = target / PIPELINE_DIR / "ops.py"
        ops.write_text(ops.read_text(encoding="utf-8") + _OPS[fault], encoding="utf-8")
    if fault == ANSWERS:
        # In a process of its own: Paddle's memory stays with the process, and a fault in it ends that one.
        subprocess.run([sys.executable, "-m", "tests.canary.releases", str(target)], cwd=ROOT, check=True)
    return target


def disturb(directory: Path) -> str:
    """Add noise to the weights of a layer in the middle of the model; the name of the tensor."""
    import numpy as np

    from toolkit.engines import graph, model

    files = model.files_in(directory / MODELS_DIR / _MODEL / "serving_server")
    network = graph.read(files)
    filters = [name for op in network.ops for name in graph.read_by(op) if _is_filter(network, name)]
    name = filters[len(filters) // 2]
    weights = network.weights[name]
    noisy = weights + np.random.default_rng(0).normal(scale=_NOISE * weights.std(), size=weights.shape)
    network.weights[name] = (
        noisy.round().clip(-127, 127).astype(np.int8)
        if weights.dtype == np.int8
        else noisy.astype(weights.dtype)
    )
    network.write(files.model.parent)
    return name


def _is_filter(network: Any, name: str) -> bool:
    return name in network.weights and network.weights[name].ndim == 4


def record(directory: Path) -> None:
    """Have the golden answers of a release be those that it gives."""
    from tests import in_process

    answer = in_process.of_release(directory)
    entries = [{"image": image.name, "answer": answer(image.read_bytes())} for image, _ in goldens(directory)]
    file = directory / GOLDEN_DIR / GOLDEN_FILE
    file.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    disturb(Path(sys.argv[1]))
    record(Path(sys.argv[1]))
