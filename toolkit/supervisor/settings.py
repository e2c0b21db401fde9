"""How a service is to run, beside what its release says: addresses, how many replicas, who may come in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit.gateway.tls import Tls


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        replicas: None: what the release says, or as many as the cores bear.
        keys_file: API keys, one a line.
        tls_cert, tls_key: PEM files; both or none.
        tls_client_ca: clients must have a certificate of it.
    """

    host: str
    http_port: int
    grpc_port: int
    replicas: int | None = None
    keys_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None

    @property
    def tls(self) -> Tls | None:
        """Certificate and key; None: no encryption."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        authority = Path(self.tls_client_ca) if self.tls_client_ca is not None else None
        return Tls(Path(self.tls_cert), Path(self.tls_key), authority)
