"""Certificates for tests, made by the `openssl` command; whoever needs them is skipped where it is missing."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is missing")

_LEAF = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"


class Authority:
    """One that signs certificates for 127.0.0.1, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.cert, self._key = directory / "ca.pem", directory / "ca.key"
        _openssl("req", "-x509", *_new_key(self._key), "-out", self.cert, "-subj", f"/CN={directory.name}")

    def issue(self, name: str, days: int = 30) -> tuple[Path, Path]:
        """Certificate and key; they have been valid since now, or, with negative days, are no more."""
        cert, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        request, extensions = self._directory / f"{name}.csr", self._directory / f"{name}.ext"
        extensions.write_text(_LEAF)
        _openssl("req", "-new", *_new_key(key), "-out", request, "-subj", f"/CN={name}")
        _openssl(
            *("x509", "-req", "-in", request, "-out", cert, "-extfile", extensions, "-days", str(days)),
            *("-CA", self.cert, "-CAkey", self._key, "-CAcreateserial"),
        )
        key.chmod(0o600)
        return cert, key


def served(port: int, protocol: str = "http/1.1") -> bytes:
    """The certificate, in DER, that a new connection to the port is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
        assert shown is not None
        return shown


def der(cert: Path) -> bytes:
    """The certificate of a file, in DER."""
    return ssl.PEM_cert_to_DER_cert(cert.read_text())


def _new_key(path: Path) -> tuple[object, ...]:
    return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
