"""Putting the golden images of a release to the service that runs it."""

from __future__ import annotations

from toolkit import smoke
from toolkit.cli import reach
from toolkit.serving import release
from toolkit.smoke import Golden, SmokeReport
from toolkit.supervisor.state import State


def ask(state: State, rounds: int = 1) -> SmokeReport:
    """Ask the running service for the golden images of its release.

    Raises:
        SmokeError: it answers other than it should.
    """
    directory = state.target.directory
    goldens = [Golden(image.name, image, answer) for image, answer in release.goldens(directory)]
    deadline = release.read(directory).limits.deadline_seconds
    return smoke.smoke(
        state.http_url, state.grpc_target, state.name, goldens, deadline, rounds, reach.access(state)
    )
