"""Lobbies of desks that are made for tests."""

from __future__ import annotations

from typing import Any

from toolkit.gateway.lobby import Lobby


def of(*desks: Any) -> Lobby:
    """Each desk takes the requests to its pipeline."""
    lobby = Lobby()
    for desk in desks:
        lobby.open(desk.catalog.pipeline.name).shift(desk)
    return lobby
