"""Building a container image with docker, podman or buildah, whichever works here."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit import child, process
from toolkit.errors import ChildError, ServiceError, SpecError

_LOOK_SECONDS = 20
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_TAG = re.compile(r":[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")


@dataclass(frozen=True)
class Builder:
    """
    Attributes:
        program: its name.
        build: the words after it that build an image. Podman and buildah leave the health check out of images of OCI's
            format.
    """

    program: str
    build: tuple[str, ...]


BUILDERS = (
    Builder("docker", ("build",)),
    Builder("podman", ("build", "--format=docker")),
    Builder("buildah", ("build", "--format=docker")),
)


def find(builders: Sequence[Builder] = BUILDERS) -> Builder:
    """The first builder that works: a docker client without its daemon does not.

    Raises:
        ServiceError: none does.
    """
    why = []
    for builder in builders:
        problem = _problem(builder.program)
        if not problem:
            return builder
        why.append(f"{builder.program}: {problem}")
    raise ServiceError(
        "no image can be built here: " + "; ".join(why),
        remedy="start Docker's daemon, or install one that needs none: apt-get install podman, or buildah",
    )


def _problem(program: str) -> str:
    """Why it does not work; empty if it does."""
    if shutil.which(program) is None:
        return "not installed"
    try:
        done = process.run([program, "info"], timeout=_LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return f"gives no answer in {_LOOK_SECONDS} s"
    said = (done.stderr or done.stdout).strip().splitlines()
    return (said[-1] if said else f"exit code {done.returncode}") if done.returncode else ""


def check_base(base: str) -> None:
    """The base image is named so that it stays the same: by its digest, or, on this machine, by a tag.

    Raises:
        SpecError: it may change from one build to the next.
    """
    pinned = _DIGEST.search(base) or (base.startswith("localhost/") and _TAG.search(base))
    if not pinned or base.endswith(":latest"):
        raise SpecError(
            f"the base image {base!r} may be another one tomorrow",
            remedy="name it with its digest, python:3.9-slim-bookworm@sha256:...; "
            "`docker buildx imagetools inspect IMAGE` or `skopeo inspect docker://IMAGE` tells it",
        )


def build(
    builder: Builder, folder: Path, tag: str, base: str, log: Path, options: Sequence[str] = ()
) -> None:
    """Build the image `tag` from a folder with a Dockerfile.

    Args:
        base: the image that it begins with.
        log: where the builder's output goes.
        options: further ones of the builder.

    Raises:
        ChildError: it failed.
    """
    argv = [
        builder.program,
        *builder.build,
        "--tag",
        tag,
        "--build-arg",
        f"BASE={base}",
        *options,
        str(folder),
    ]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        running = process.start(argv, stdout=output, stderr=subprocess.STDOUT)
        try:
            code = running.wait()
        except BaseException:
            process.stop_group(running.pid, grace=5)
            running.wait()
            raise
    if code != 0:
        raise ChildError(
            f"{builder.program} ended with exit code {code}; the last lines of its log:\n{child.tail(log)}",
            where=str(log),
            remedy="see the log from the first error on",
        )
