"""Certificates: what both ports encrypt with, and how they take new ones without closing.

Connections that are open stay as they are. A new one gets what the files last held that fit together: a certificate
without its key, half of a file, or none at all changes nothing, and is told in the log.
"""

from __future__ import annotations

import _ssl
import asyncio
import logging
import ssl
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import grpc

from toolkit.errors import ServiceError

_POLL_SECONDS = 1.0
_SOON_SECONDS = 14 * 24 * 3600

logger = logging.getLogger(__name__)

Signature = tuple[object, ...]


@dataclass(frozen=True)
class Tls:
    """Files in PEM.

    Attributes:
        cert: the certificate, and those between it and the root.
        key: its private key, without a password.
        client_ca: who must have signed a client's certificate; None: clients need none.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """All files."""
        return [self.cert, self.key, *([self.client_ca] if self.client_ca else [])]


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """What HTTP connections are encrypted with: TLS 1.2 or newer.

    Raises:
        ServiceError: a file is missing or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, tls)
    if tls.client_ca is not None:
        _check_pem(tls.client_ca, "the file of client CAs", "CERTIFICATE-----")
        try:
            context.load_verify_locations(tls.client_ca)
        except ssl.SSLError as error:
            raise _wrong(tls.client_ca, f"the file of client CAs cannot be read: {error.reason}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def reload(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    """What new connections are encrypted with after the files changed.

    Returns:
        A new context, since one cannot forget a client CA or a client's session; `context` if the files do not fit.
    """
    try:
        fresh = ssl_context(tls)
    except ServiceError as error:
        logger.error("the certificate stays as it was: %s", error)
        return context
    logger.info("certificate read again from %s", tls.cert)
    return fresh


def name_of(tls: Tls) -> str | None:
    """Whom the certificate is for: its first name, or address; None where it has none.

    Raises:
        ServiceError: it cannot be read.
    """
    names = _fields(tls).get("subjectAltName", ())
    return next((str(value) for _, value in sorted(names, key=lambda item: item[0] != "DNS")), None)


def expires(tls: Tls) -> float:
    """When the certificate ends, in seconds since 1970.

    Raises:
        ServiceError: it cannot be read.
    """
    try:
        return ssl.cert_time_to_seconds(str(_fields(tls)["notAfter"]))
    except (ValueError, KeyError) as error:
        raise _wrong(tls.cert, f"the certificate cannot be read: {error}") from error


def _fields(tls: Tls) -> dict[str, Any]:
    try:
        # The one way that the standard library has to read a certificate which is not a peer's.
        return dict(_ssl._test_decode_cert(tls.cert))  # type: ignore[attr-defined]
    except OSError as error:
        raise _wrong(tls.cert, f"the certificate cannot be read: {error}") from error


def grpc_credentials(tls: Tls) -> grpc.ServerCredentials:
    """The same for gRPC, which asks for the files again at each new connection.

    Raises:
        ServiceError: a file is missing or not what it should be.
    """
    fetcher = _Fetcher(tls)
    return grpc.dynamic_ssl_server_credentials(
        fetcher.first, fetcher, require_client_authentication=tls.client_ca is not None
    )


class _Fetcher:
    """Called for every new connection, in a thread of gRPC; None: as before."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._signature = _signature(tls.paths)
        self.first = _configuration(tls)

    def __call__(self) -> Any:
        signature = _signature(self._tls.paths)
        if signature == self._signature:
            return None
        configuration, wrong = None, None
        try:
            configuration = _configuration(self._tls)
        except ServiceError as error:
            wrong = error
        if _signature(self._tls.paths) != signature:
            # They changed while they were read. The next connection finds them whole.
            return None
        self._signature = signature
        if wrong is not None:
            logger.error("the certificate of gRPC stays as it was: %s", wrong)
        return configuration


def _configuration(tls: Tls) -> Any:
    ssl_context(tls)
    try:
        roots = tls.client_ca.read_bytes() if tls.client_ca else None
        return grpc.ssl_server_certificate_configuration(
            [(tls.key.read_bytes(), tls.cert.read_bytes())], roots
        )
    except OSError as error:
        raise _wrong(tls.cert, f"the certificate went away: {error}") from error


def _load_chain(context: ssl.SSLContext, tls: Tls) -> None:
    _check_pem(tls.cert, "the certificate", "CERTIFICATE-----")
    text = _check_pem(tls.key, "the certificate's key", "PRIVATE KEY-----")
    if "ENCRYPTED" in text:
        raise _wrong(
            tls.key, "the certificate's key has a password", "`openssl pkey -in KEY -out NEW` takes it off"
        )
    if tls.key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning("others than its owner may read the certificate's key: `chmod 600 %s`", tls.key)
    try:
        # Without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(tls.cert, tls.key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _wrong(tls.key, f"the key does not belong to the certificate {tls.cert}") from error
        raise _wrong(tls.cert, f"certificate or key cannot be read: {error.reason or error}") from error
    except OSError as error:
        raise _wrong(tls.cert, f"certificate or key went away: {error.strerror}") from error
    _warn_of_end(tls)


def _check_pem(path: Path, what: str, mark: str) -> str:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise _wrong(path, f"{what} cannot be read: {error.strerror or error}") from error
    if mark not in text:
        raise _wrong(
            path, f"{what} is not PEM", "it has to have a line `-----BEGIN ...`; `openssl` converts from DER"
        )
    return text


def _warn_of_end(tls: Tls) -> None:
    left = expires(tls) - time.time()
    if left <= 0:
        logger.warning("the certificate has expired, clients will refuse it: %s", tls.cert)
    elif left < _SOON_SECONDS:
        logger.warning("the certificate expires in %.1f days: %s", left / 86400, tls.cert)


def _wrong(
    path: Path, message: str, remedy: str = "name a certificate and its key, both in PEM"
) -> ServiceError:
    return ServiceError(message, where=str(path), remedy=remedy)


class Watched:
    """Files of which somebody wants to know when they change.

    Args:
        changed: called in the event loop, once the files have rested for a second.
    """

    def __init__(self, paths: Sequence[Path], changed: Callable[[], object]) -> None:
        self._paths = tuple(paths)
        self._changed = changed
        self._told = _signature(self._paths)

    async def watch(self) -> None:
        """Look each second, for ever."""
        last = self._told
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            now = _signature(self._paths)
            # What still changes may be half written, or one of a pair.
            if now == last != self._told:
                self._told = now
                self._tell()
            last = now

    def _tell(self) -> None:
        try:
            self._changed()
        except Exception:
            logger.exception("%s changed, and could not be read again", self._paths[0])


def _signature(paths: Sequence[Path]) -> Signature:
    return tuple(map(_stamp, paths))


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    # The time of the last change of owner and mode, too: what could not be read may be readable now.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
