from __future__ import annotations

from tests.gateway.conftest import door, replica, shared_door, shared_replica

__all__ = ["door", "replica", "shared_door", "shared_replica"]
