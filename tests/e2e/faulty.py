"""A release that goes wrong when it is asked to: an image of a certain width is what each fault waits for.

This module is also copied into such a release, where its detector is the pipeline's own with the faults in front. So a
fault happens in a real replica, in the midst of Paddle Serving's ops.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from pathlib import Path
from typing import Any

# Widths in pixels.
ABORT, SLEEP, HOLD_GIL, ALLOCATE, RAISE, LEAK = 201, 202, 203, 204, 205, 206

# A release is told by a file in the replica's directory that it must not start.
REFUSAL = "refuse-to-start"

_MEGABYTE = 1 << 20
ALLOCATED, LEAKED = 2048 * _MEGABYTE, 64 * _MEGABYTE

_OPS = '''"""The pipeline's own steps, with faults in front of the first one."""

from . import faulty, healthy
from .healthy import *

faulty.refuse_to_start()
Detector = faulty.wrap(healthy.Detector)
'''

_leaked: list[bytes] = []


def make(release: Path, target: Path, **limits: Any) -> Path:
    """A copy of `release` with faults, and with other limits where they are given."""
    copy(release, target, limits=limits)
    code = target / "pipeline"
    (code / "ops.py").rename(code / "healthy.py")
    (code / "ops.py").write_text(_OPS)
    shutil.copy(__file__, code / "faulty.py")
    return target


def copy(release: Path, target: Path, **plan: dict[str, Any]) -> Path:
    """A copy of `release` with other settings, by section of its `release.yml`."""
    import yaml

    # Those of the store cannot be written to.
    shutil.copytree(release, target, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    # It is no artifact any more.
    (target / "manifest.json").unlink(missing_ok=True)
    file = target / "release.yml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    for section, settings in plan.items():
        assert set(settings) <= set(data[section]), "the release knows no such setting"
        data[section].update(settings)
    file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return target


def wrap(detector: type[Any]) -> type[Any]:
    """The detector with faults."""

    class Faulty(detector):  # type: ignore[misc] # whatever class that is
        def preprocess(self, payload: Any) -> Any:
            _go_wrong(payload["image"].shape[1])
            return super().preprocess(payload)

    return Faulty


def refuse_to_start() -> None:
    """End, if the directory of the replica says so."""
    if Path(REFUSAL).exists():
        os._exit(3)


def _go_wrong(width: int) -> None:
    if width == ABORT:
        os.abort()
    elif width == SLEEP:
        time.sleep(1e6)
    elif width == HOLD_GIL:
        # A function of a PyDLL is called without giving the lock away.
        ctypes.PyDLL(None).sleep(1_000_000)
    elif width == ALLOCATE:
        _leaked.append(b"x" * ALLOCATED)
        time.sleep(1e6)
    elif width == RAISE:
        raise RuntimeError("a fault that was asked for")
    elif width == LEAK:
        _leaked.append(b"x" * LEAKED)
