from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.bundle import examples
from toolkit.bundle import archive
from toolkit.errors import ReleaseError


def packed(target: Path, *entries: tarfile.TarInfo) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in entries:
            tar.addfile(entry)
    target.write_bytes(zstandard.compress(buffer.getvalue()))
    return target


def test_what_is_unpacked_is_what_was_packed(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    (tmp_path / "out").mkdir()
    archive.unpack(place.archive, tmp_path / "out")
    for path in place.directory.rglob("*"):
        if path.is_file():
            name = path.relative_to(place.directory)
            assert (tmp_path / "out" / name).read_bytes() == path.read_bytes()


def test_an_archive_bears_no_trace_of_who_packed_it_and_when(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    whole = zstandard.ZstdDecompressor().stream_reader(place.archive.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        entries = tar.getmembers()
    names = [entry.name for entry in entries]
    assert names == sorted(names, key=lambda name: name.split("/"))
    assert {(e.uid, e.gid, e.uname, e.gname, e.mtime) for e in entries} == {(0, 0, "", "", 0)}
    assert {entry.mode for entry in entries} == {0o644, 0o755}


def symlink() -> tarfile.TarInfo:
    entry = tarfile.TarInfo("ocr/link")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
    return entry


@pytest.mark.parametrize("entry", [tarfile.TarInfo("/etc/x"), tarfile.TarInfo("ocr/../../x"), symlink()])
def test_nothing_is_written_outside(entry: tarfile.TarInfo, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ReleaseError, match="none of ours"):
        archive.unpack(packed(tmp_path / "a.tar.zst", entry), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    place = examples.made(tmp_path)
    (tmp_path / "out").mkdir()
    place.archive.write_bytes(place.archive.read_bytes()[:200])
    with pytest.raises(ReleaseError, match="cannot be unpacked"):
        archive.unpack(place.archive, tmp_path / "out")
