"""How commands on this machine reach the service that they started: with its own certificate and one of its keys."""

from __future__ import annotations

from toolkit.client import HttpClient
from toolkit.supervisor.state import READY, State


def ready(state: State) -> bool:
    """Whether the service answers and says that it can predict."""
    with HttpClient(state.http_url, timeout=2) as client:
        return state.status == READY and client.ready()
