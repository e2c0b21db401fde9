"""What a running service cannot change without being started anew, and what of it differs from what is wanted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from toolkit.gateway.keys import VARIABLE
from toolkit.serving.release import Limits
from toolkit.store import digest
from toolkit.supervisor.settings import Settings

_PACKAGE = Path(__file__).resolve().parents[1]

# All that the service process and its replicas are made of.
_ROOMS = ("client", "content", "engines", "evaluation", "gateway", "oip", "serving", "supervisor", "store")
_MODULES = (
    "cgroup.py",
    "child.py",
    "cpu.py",
    "errors.py",
    "forkserver.py",
    "hardware.py",
    "logs.py",
    "mailbox.py",
    "pipeline.py",
    "process.py",
    "smoke.py",
    "templates.py",
)


def of(settings: Settings, limits: Limits, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What belongs to ports, connections and process, by its name for people.

    It is kept in memory only, since it holds a digest of the keys.
    """
    keys = settings.keys_file or hashlib.sha256(environ.get(VARIABLE, "").encode()).hexdigest()
    connections = (limits.max_connections, limits.header_seconds, limits.max_body_bytes)
    return {
        "the toolkit's code": digest.of_code(*(_PACKAGE / name for name in (*_ROOMS, *_MODULES))),
        "the address": f"{settings.host} {settings.http_port} {settings.grpc_port}",
        "the certificates": f"{settings.tls_cert} {settings.tls_key} {settings.tls_client_ca}",
        "the API keys": keys,
        "the limits of connections and bodies": " ".join(map(str, connections)),
    }


def changed(now: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The names of what differs."""
    return [name for name in {**now, **wanted} if now.get(name) != wanted.get(name)]
