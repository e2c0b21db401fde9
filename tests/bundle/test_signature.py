from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from toolkit.bundle import signature
from toolkit.errors import ReleaseError


@pytest.fixture
def key(tmp_path: Path) -> Path:
    signature.generate(tmp_path / "k")
    return tmp_path / "k"


def test_only_the_owner_may_read_the_private_key(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o640)
    with pytest.raises(ReleaseError, match="others may read") as caught:
        signature.sign(b"x", key)
    assert "chmod 600" in str(caught.value.remedy)


def test_a_key_is_never_overwritten(key: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(ReleaseError, match="cannot be written"):
        signature.generate(key)
    assert key.read_bytes() == before


def test_a_signature_is_of_these_bytes_by_this_key(key: Path, tmp_path: Path) -> None:
    made, signer = signature.sign(b"data", key), signature.signer(key)
    assert len(made) == 64
    assert signature.is_right(made, b"data", signer)
    assert not signature.is_right(made, b"Data", signer)
    assert not signature.is_right(made[:-1], b"data", signer)
    assert not signature.is_right(made, b"data", "no hex")
    signature.generate(tmp_path / "other")
    assert not signature.is_right(made, b"data", signature.signer(tmp_path / "other"))


def test_the_public_key_verifies_and_does_not_sign(key: Path) -> None:
    public = key.with_name("k.pub")
    assert signature.signer(public) == signature.signer(key)
    with pytest.raises(ReleaseError, match="public key, which cannot sign"):
        signature.sign(b"x", public)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "k").write_text(text)
    with pytest.raises(ReleaseError, match="no key"):
        signature.signer(tmp_path / "k")
    with pytest.raises(ReleaseError, match="cannot be read"):
        signature.signer(tmp_path / "missing")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_verifies_it_too(key: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"sealed")
    (tmp_path / "sig").write_bytes(signature.sign(b"sealed", key))
    argv = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "k.pub",
        "-rawin",
        "-in",
        "data",
        "-sigfile",
        "sig",
    ]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "-rawin" in done.stderr:
        pytest.skip("openssl before 3 cannot")
    assert "Signature Verified Successfully" in done.stdout
