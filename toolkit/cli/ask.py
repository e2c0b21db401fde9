"""Putting the golden requests of a release to the service that runs it."""

from __future__ import annotations

from toolkit import smoke
from toolkit.cli import reach
from toolkit.serving import release
from toolkit.smoke import Golden, SmokeReport
from toolkit.supervisor.state import State


def ask(state: State, rounds: int = 1) -> SmokeReport:
    """Ask the running service the golden requests of its release.

    Raises:
        SmokeError: it answers other than it should.
    """
    directory = state.target.directory
    goldens = [Golden(file.name, file, answer) for file, answer in release.goldens(directory)]
    plan = release.read(directory)
    return smoke.smoke(
        state.http_url,
        state.grpc_target,
        state.name,
        goldens,
        plan.limits.deadline_seconds,
        rounds,
        reach.access(state),
        plan.accepts,
    )
