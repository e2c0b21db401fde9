"""The folder that an image is built from: nothing in it but what goes into the image, and the Dockerfile."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Optional

from toolkit import templates
from toolkit.hardware import DEFAULT, HARDWARE, Hardware
from toolkit.targets import packages

_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


@contextmanager
def assembled(
    pipeline: str,
    dockerfile: str,
    beside: Path,
    release: Optional[Path] = None,
    spec: Optional[Path] = None,
    code: Iterable[str] = (),
    engines: Iterable[str] = (),
    hardware: Hardware = HARDWARE[DEFAULT],
) -> Iterator[Path]:
    """Such a folder, gone afterwards.

    Args:
        dockerfile: its text.
        beside: an existing directory on a disk with room for a copy of the release.
        release: what the service serves.
        spec: the folder of a pipeline, for the build side, which gets the whole lock too.
        code: further folders that the pipeline uses, relative to its own.
        engines: that its models run in.
        hardware: that the service runs on; the build side runs on the default.
    """
    with TemporaryDirectory(dir=beside, prefix=".image-") as name:
        folder = Path(name)
        (folder / "requirements").mkdir()
        for file, text in packages.requirements(pipeline, engines, hardware).items():
            (folder / "requirements" / file).write_text(text, encoding="utf-8")
        for part in (templates.TEMPLATES, templates.TEMPLATES.with_name("toolkit")):
            shutil.copytree(part, folder / part.name, ignore=_LEFT_OUT)
        if release is not None:
            shutil.copytree(release, folder / "release", ignore=_LEFT_OUT)
        if spec is not None:
            place = folder / "pipelines" / pipeline
            for item in (".", *code):
                shutil.copytree((spec / item).resolve(), (place / item).resolve(), ignore=_LEFT_OUT)
            shutil.copy(packages.LOCK, folder)
        _open_to_all(folder)
        (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        yield folder


def _open_to_all(folder: Path) -> None:
    """Whoever runs the container may read, whatever the umask was here."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
