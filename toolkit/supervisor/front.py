"""What a running service cannot change without being started anew, and what of it differs from what is wanted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.gateway.keys import VARIABLE
from toolkit.serving.release import Limits
from toolkit.store import digest
from toolkit.supervisor.settings import Settings

CODE, LIMITS = "the toolkit's code", "the limits of connections and bodies"

_OF_THE_DOOR = ("max_connections", "header_seconds", "max_body_bytes")

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
    return {
        CODE: digest.of_code(*(_PACKAGE / name for name in (*_ROOMS, *_MODULES))),
        "the address": f"{settings.host} {settings.http_port} {settings.grpc_port}",
        "the certificates": f"{settings.tls_cert} {settings.tls_key} {settings.tls_client_ca}",
        "the API keys": keys,
        LIMITS: _in_words(limits),
    }


def _in_words(limits: Limits) -> str:
    return " ".join(str(getattr(limits, name)) for name in _OF_THE_DOOR)


def is_for(now: Mapping[str, str], limits: Limits) -> bool:
    """Whether the front door has just these limits; it has looser ones if another pipeline needs them, or did."""
    return now[LIMITS] == _in_words(limits)


def loosest(limits: Sequence[Limits]) -> Limits:
    """Those of a front door that several pipelines share; of each one's requests its own desk asks for less."""
    most = {name: max(getattr(item, name) for item in limits) for name in _OF_THE_DOOR}
    return limits[0].model_copy(update=most)


def changed(now: Mapping[str, str], wanted: Mapping[str, str], is_shared: bool = False) -> list[str]:
    """The names of what differs.

    Args:
        is_shared: the front door is for other pipelines, too: limits may be looser than what is wanted.
    """
    differing = [name for name in {**now, **wanted} if now.get(name) != wanted.get(name)]
    if is_shared and LIMITS in differing and _are_within(wanted.get(LIMITS, ""), now.get(LIMITS, "")):
        differing.remove(LIMITS)
    return differing


def allows_others(differing: Sequence[str]) -> bool:
    """Whether a service that is started anew for it may serve the others, too: neither address nor access differs."""
    return set(differing) <= {CODE, LIMITS}


def _are_within(wanted: str, now: str) -> bool:
    pairs = list(zip(wanted.split(), now.split()))
    return bool(pairs) and all(float(mine) <= float(given) for mine, given in pairs)
