from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.bundle import examples
from toolkit.bundle import archive, manifest, write
from toolkit.errors import ReleaseError


def content(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_the_same_content_gives_the_same_bytes_elsewhere_and_later(tmp_path: Path) -> None:
    first = examples.made(tmp_path / "one")
    before = os.umask(0o077)
    try:
        second = examples.made(
            tmp_path / "a" / "longer" / "path", files=dict(reversed(list(examples.FILES.items())))
        )
    finally:
        os.umask(before)
    os.utime(second.directory / "requirements.lock", (1, 1))
    second.archive.unlink()
    archive.pack(second.directory, second.archive)
    assert content(first.directory) == content(second.directory)
    assert first.archive.read_bytes() == second.archive.read_bytes()


def test_the_manifest_lists_every_file_and_whoever_may_read_one_may_read_all(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        place = examples.made(tmp_path)
    finally:
        os.umask(before)
    told = manifest.read(place.manifest)
    assert set(told["files"]) == set(examples.FILES)
    assert (told["name"], told["version"], told["models"]) == ("ocr", "1.4.0", examples.CONTENT["models"])
    modes = {path.stat().st_mode & 0o777 for path in place.directory.rglob("*") if path.is_file()}
    assert modes == {0o644}


def test_times_and_serial_numbers_are_in_the_seal_only(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    seal = json.loads(place.seal.read_text())
    assert seal["sbom"]["serial_number"].startswith("urn:uuid:")
    assert seal["created"][:4] == time.strftime("%Y")
    assert "created" not in place.manifest.read_text()


def test_the_same_version_with_the_same_content_changes_nothing(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    parts = (place.directory, place.archive, place.seal)
    before = [(path.stat().st_mtime_ns, path.stat().st_ino) for path in parts]
    examples.made(tmp_path)
    assert [(path.stat().st_mtime_ns, path.stat().st_ino) for path in parts] == before


def test_the_same_version_with_other_content_is_refused_and_named(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    before = content(place.directory)
    with pytest.raises(ReleaseError, match=r"already with other content \(release/config.yml\)") as caught:
        examples.made(tmp_path, files={**examples.FILES, "release/config.yml": "worker_num: 3\n"})
    assert caught.value.exit_code == 12
    assert content(place.directory) == before


def test_a_version_stays_taken_when_its_directory_is_gone(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    shutil.rmtree(place.directory)
    with pytest.raises(ReleaseError, match="already with other content"):
        examples.made(tmp_path, toolkit="0.2.0")
    assert content(examples.made(tmp_path).directory).keys() == {*examples.FILES, "manifest.json"}


def test_what_was_changed_since_is_not_taken_for_the_same(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    examples.flip(place.directory / "release" / "config.yml")
    with pytest.raises(ReleaseError, match=r"release/config\.yml has been changed"):
        examples.made(tmp_path)


def test_what_a_killed_command_left_is_cleared_and_made_whole(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    place.seal.unlink()
    whole = place.archive.read_bytes()
    place.archive.write_bytes(whole[:10])
    (tmp_path / ".ocr-1.4.0.abc" / "release").mkdir(parents=True)
    (tmp_path / ".ocr-1.4.0.tar.zst.77").write_bytes(b"half")
    examples.made(tmp_path)
    assert place.archive.read_bytes() == whole
    names = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert names == {"ocr-1.4.0", "ocr-1.4.0.tar.zst", "ocr-1.4.0.seal.json"}


def test_a_fill_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill(target: Path) -> dict[str, object]:
        (target / "half").write_text("")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write.write(tmp_path, "ocr", "1.0.0", fill)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
