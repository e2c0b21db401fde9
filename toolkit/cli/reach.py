"""How commands on this machine reach the service that they started: with its own certificate and one of its keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from toolkit.client import HttpClient
from toolkit.client.security import Access
from toolkit.errors import ServiceError
from toolkit.gateway import keys, tls
from toolkit.serving import cpp as cpp_files
from toolkit.supervisor import cpp
from toolkit.supervisor.state import READY, State

# The certificate that commands show a service which asks its clients for one.
CLIENT_CERT, CLIENT_KEY = "TOOLKIT_CLIENT_CERT", "TOOLKIT_CLIENT_KEY"


def access(state: State, environ: Mapping[str, str] = os.environ) -> Access:
    """What the service is reached with.

    Raises:
        ServiceError: it asks for a client certificate, and the environment names none.
    """
    settings = state.settings
    api_key = keys.first(Path(settings.keys_file) if settings.keys_file else None, environ)
    if settings.tls is None:
        return Access(api_key)
    cert, key = environ.get(CLIENT_CERT), environ.get(CLIENT_KEY)
    if settings.tls_client_ca is not None and not (cert and key):
        raise ServiceError(
            "the service asks for a client certificate, and this command has none to show",
            where=str(settings.tls_client_ca),
            remedy=f"name the files of one in {CLIENT_CERT} and {CLIENT_KEY}",
        )
    return Access(
        api_key,
        settings.tls.cert,
        Path(cert) if cert and key else None,
        Path(key) if cert and key else None,
        tls.name_of(settings.tls),
    )


def ready(state: State) -> bool:
    """Whether the service says that the pipeline can predict; where it cannot be asked, what it last recorded."""
    if state.status != READY:
        return False
    if (state.target.directory / cpp_files.FILE).is_file():
        return cpp.healthy(state.http_url)
    try:
        known = access(state)
    except ServiceError:
        return any(replica["state"] == READY for replica in state.replicas)
    with HttpClient(state.http_url, timeout=2, **vars(known)) as client:
        return client.ready(state.name)
