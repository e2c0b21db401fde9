"""Whether this machine can run what a pipeline is built for, before minutes go into building it."""

from __future__ import annotations

from toolkit.errors import ServiceError
from toolkit.serving import cpp
from toolkit.stages.context import Context
from toolkit.supervisor import cpp as server
from toolkit.supervisor.settings import Settings


def require(context: Context) -> None:
    """For commands that build and start.

    Raises:
        ServiceError: it cannot; the message says what is missing.
    """
    spec = context.spec
    spec.hardware.require()
    if spec.cpp is not None:
        cpp.binary(spec.cpp.binary_sha256)


def require_settings(context: Context, settings: Settings) -> None:
    """For commands that start what they build, with these settings.

    Raises:
        ServiceError: the C++ server serves, and does not do what they ask for.
    """
    if context.spec.cpp is not None:
        server.check(context.spec.cpp.binary_sha256, settings)


def require_front_door(context: Context) -> None:
    """For commands that ask for golden answers.

    Raises:
        ServiceError: the C++ server serves, which gives none.
    """
    if context.spec.cpp is not None:
        raise ServiceError(
            "the C++ server takes tensors, so golden images cannot prove a deployment of it",
            remedy=f"`make launch MODEL={context.spec.name} HOST=0.0.0.0` starts it; or leave `cpp` out",
        )
