from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, Optional

import pytest

from tests.bundle import examples
from toolkit.bundle import place as places
from toolkit.bundle import signature, verify
from toolkit.bundle.place import Place
from toolkit.errors import ReleaseError


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "release.key"
    signature.generate(path)
    return path


@pytest.fixture
def signed(tmp_path: Path, key: Path) -> Place:
    return examples.made(tmp_path / "dist", key=key)


def refusal(place: Place, key: Optional[Path] = None) -> str:
    with pytest.raises(ReleaseError) as caught:
        verify.check(place, key)
    return str(caught.value)


def everything(place: Place) -> list[Path]:
    inside = [path for path in place.directory.rglob("*") if path.is_file()]
    return [*inside, place.archive, place.seal, place.signature]


def test_what_was_released_is_verified_with_either_key_or_none(signed: Place, key: Path) -> None:
    for given in (None, key, key.with_name("release.key.pub")):
        found = verify.check(signed, given)
        assert found.signer == signature.signer(key)
        assert found.manifest is not None
        assert found.manifest["version"] == "1.4.0"


def test_one_flipped_bit_of_any_file_is_found_and_the_file_named(signed: Place) -> None:
    for path in everything(signed):
        whole = path.read_bytes()
        for position in {0, len(whole) // 3, len(whole) // 2, len(whole) - 1}:
            examples.flip(path, position)
            assert path.name in refusal(signed), f"{path.name}, byte {position}"
            path.write_bytes(whole)
    verify.check(signed)


def test_any_byte_of_the_manifest_the_seal_and_the_signature_counts(signed: Place) -> None:
    for path in (signed.manifest, signed.seal, signed.signature):
        whole = path.read_bytes()
        for position in range(0, len(whole), 7):
            examples.flip(path, position)
            refusal(signed)
            path.write_bytes(whole)


def test_a_directory_that_was_moved_alone_is_compared_with_its_manifest(
    signed: Place, tmp_path: Path
) -> None:
    alone = Place(Path(shutil.copytree(signed.directory, tmp_path / "elsewhere" / signed.title)))
    assert verify.check(alone).seal is None
    examples.flip(alone.manifest, 100)
    assert "manifest.json has been changed" in refusal(alone)


def add(path: Path) -> None:
    (path / "release" / "pipeline" / "__pycache__").mkdir(parents=True)
    (path / "release" / "pipeline" / "__pycache__" / "ops.cpython-39.pyc").write_bytes(b"")


def link(path: Path) -> None:
    (path / "release" / "config.yml").rename(path.parent / "config.yml")
    (path / "release" / "config.yml").symlink_to(path.parent / "config.yml")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: (path / "requirements.lock").unlink(), "requirements.lock is missing"),
        (add, "release/pipeline/__pycache__/ops.cpython-39.pyc is not of the release"),
        (link, "release/config.yml is no plain file"),
        (lambda path: (path / "more").symlink_to("/etc"), "more is not of the release"),
        (lambda path: (path / "manifest.json").unlink(), "manifest.json cannot be read"),
    ],
)
def test_missing_and_additional_files_are_named(
    change: Callable[[Path], object], told: str, signed: Place
) -> None:
    change(signed.directory)
    assert told in refusal(signed)


def test_a_key_must_have_signed(signed: Place, key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    signature.generate(other)
    assert "signed by another key" in refusal(signed, other)
    unsigned = examples.made(tmp_path / "unsigned")
    assert "it is not signed" in refusal(unsigned, key)
    signed.signature.unlink()
    assert f"{signed.signature.name} is missing" in refusal(signed)
    signed.seal.unlink()
    assert f"{signed.seal.name} is missing" in refusal(signed, key)


def test_a_seal_made_anew_by_a_stranger_is_found_by_the_key(signed: Place, key: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.key"
    signature.generate(stranger)
    forged = examples.made(tmp_path / "forged", key=stranger, toolkit="evil")
    verify.check(forged)
    assert "signed by another key" in refusal(forged, key)


def test_the_seal_and_the_manifest_are_those_of_this_version(signed: Place) -> None:
    other = Place(signed.directory.with_name("ocr-2.0.0"))
    for path, target in zip(everything(signed)[-3:], (other.archive, other.seal, other.signature)):
        path.rename(target)
    signed.directory.rename(other.directory)
    told = refusal(other)
    assert "seal.json is that of ocr-1.4.0" in told
    assert "the manifest is that of ocr-1.4.0" in told


def test_an_archive_alone_is_compared_with_its_seal(signed: Place) -> None:
    shutil.rmtree(signed.directory)
    found = verify.check(places.find("ocr-1.4.0.tar.zst", signed.directory.parent))
    assert found.manifest is None
    signed.seal.unlink()
    signed.signature.unlink()
    assert "without which nothing is known of the archive" in refusal(signed)


def test_signing_later_adds_the_signature_and_nothing_else(tmp_path: Path, key: Path) -> None:
    place = examples.made(tmp_path / "dist")
    before = verify.check(place).seal
    examples.made(tmp_path / "dist", key=key)
    after = verify.check(place, key).seal
    assert before is not None
    assert after is not None
    same = ("created", "sbom", "manifest", "archive")
    assert {name: before[name] for name in same} == {name: after[name] for name in same}
    examples.made(tmp_path / "dist")
    assert verify.check(place, key).seal == after, "a signature stays"


@pytest.mark.parametrize(
    "named", ["ocr-1.4.0", "dist/ocr-1.4.0", "dist/ocr-1.4.0/", "dist/ocr-1.4.0.tar.zst"]
)
def test_a_release_is_found_by_path_or_name(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = examples.made(tmp_path / "dist")
    assert places.find(named, Path("dist")) == place
    with pytest.raises(ReleaseError, match=r"there is no release 'ocr-9\.9\.9'"):
        places.find("ocr-9.9.9", Path("dist"))
