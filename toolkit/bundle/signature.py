"""Signatures: Ed25519 (RFC 8032), with keys in PEM files as OpenSSL writes and reads them.

openssl pkeyutl -verify -pubin -inkey release.key.pub -rawin -in X.seal.json -sigfile X.sig
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Union

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from toolkit.errors import ReleaseError

_RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def generate(path: Path) -> Path:
    """Write a new private key, that only its owner may read, and its public key beside it; the latter's path.

    Raises:
        ReleaseError: there is a file already: a key that has signed is not to be lost.
    """
    key = Ed25519PrivateKey.generate()
    public = path.with_name(path.name + ".pub")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shown = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for file, data, mode in ((path, private, 0o600), (public, shown, 0o644)):
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except OSError as error:
            raise ReleaseError(
                f"the key cannot be written: {error.strerror}",
                where=str(file),
                remedy="name another file, in a directory that exists",
            ) from error
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
    return public


def sign(data: bytes, key: Path) -> bytes:
    """The signature of `data`, 64 bytes; the same each time.

    Raises:
        ReleaseError: the key cannot be read, is none of ours, or others may read it too.
    """
    return _private(key).sign(data)


def signer(key: Path) -> str:
    """The public key in hex, of the file of either key.

    Raises:
        ReleaseError: the key cannot be read, or is none of ours.
    """
    found = _load(key)
    public = found.public_key() if isinstance(found, Ed25519PrivateKey) else found
    return public.public_bytes(*_RAW).hex()


def is_right(signature: bytes, data: bytes, signer: str) -> bool:
    """Whether `signature` is that of `data` by `signer`."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(key: Path) -> Ed25519PrivateKey:
    found = _load(key)
    if not isinstance(found, Ed25519PrivateKey):
        raise ReleaseError("this is a public key, which cannot sign", where=str(key))
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ReleaseError(
            "others may read the private key", where=str(key), remedy=f"chmod 600 {key}, or make a new one"
        )
    return found


def _load(key: Path) -> Union[Ed25519PrivateKey, Ed25519PublicKey]:
    remedy = "`make keygen KEY=` makes one"
    try:
        data = key.read_bytes()
        found = (
            serialization.load_pem_private_key(data, None)
            if b"PRIVATE KEY" in data
            else serialization.load_pem_public_key(data)
        )
    except OSError as error:
        raise ReleaseError(
            f"the key cannot be read: {error.strerror}", where=str(key), remedy=remedy
        ) from error
    except (ValueError, TypeError) as error:
        raise ReleaseError(
            f"this is no key without a password, in PEM: {error}", where=str(key), remedy=remedy
        ) from error
    if not isinstance(found, (Ed25519PrivateKey, Ed25519PublicKey)):
        raise ReleaseError("this is no Ed25519 key", where=str(key), remedy=remedy)
    return found
