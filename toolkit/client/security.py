"""What a client proves itself with, and what it believes a service: API key, certificates, authorities."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc

AUTHORIZATION = "authorization"

# X509_V_FLAG_PARTIAL_CHAIN; Python has a name for it from 3.10 on.
_PARTIAL_CHAIN = ssl.VerifyFlags(0x80000)


@dataclass(frozen=True)
class Access:
    """
    Attributes:
        api_key: sent along with every request; never shown.
        ca: file of the authorities that may have signed the service's certificate; None: those of the system.
        cert, key: the client's own certificate and its private key, for a service that asks for one.
        server_name: whom the service's certificate is for, where that is not the host that is asked.
    """

    api_key: str | None = field(default=None, repr=False)
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """ValueError if it makes no sense."""
        # The text is left out on purpose: an error ends in a log.
        if self.api_key is not None and not _is_key(self.api_key):
            raise ValueError("an API key has letters, digits and signs of ASCII, without spaces")
        if (self.cert is None) != (self.key is None):
            raise ValueError("a client certificate and its key come together: give both `cert` and `key`")

    @property
    def encrypted(self) -> bool:
        """Whether it only makes sense with TLS."""
        return self.ca is not None or self.cert is not None

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request carries: headers of HTTP, metadata of gRPC."""
        return {} if self.api_key is None else {AUTHORIZATION: f"Bearer {self.api_key}"}

    def ssl_context(self) -> ssl.SSLContext:
        """For HTTPS.

        Raises:
            OSError: a file cannot be read, or is not what it should be.
        """
        context = ssl.create_default_context(cafile=self.ca)
        if self.ca is not None:
            # An authority that is trusted need not be a root: it may be the service's own certificate.
            context.verify_flags |= _PARTIAL_CHAIN
        if self.cert is not None:
            # Without a password OpenSSL would ask the terminal for one.
            context.load_cert_chain(self.cert, self.key, password="")
        return context

    def grpc_credentials(self) -> grpc.ChannelCredentials:
        """For gRPC over TLS.

        Raises:
            OSError: a file cannot be read, or is not what it should be.
        """
        # gRPC says nothing of files that are wrong until each call fails; OpenSSL says it now.
        self.ssl_context()
        read = (None if path is None else path.read_bytes() for path in (self.ca, self.key, self.cert))
        return grpc.ssl_channel_credentials(*read)


def _is_key(text: str) -> bool:
    return bool(text) and all("!" <= letter <= "~" for letter in text)
