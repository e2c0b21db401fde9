"""A directory as one file, `.tar.zst`: the same content gives the same bytes, whenever and wherever it is packed."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import IO

import zstandard

from toolkit.errors import ReleaseError
from toolkit.store import durable

# Beyond this, models hardly get smaller, and packing them takes ever longer.
_LEVEL = 10
_MODE, _DIRECTORY_MODE = 0o644, 0o755


def pack(directory: Path, target: Path) -> None:
    """Write the files of `directory`, below its name, to `target`, whole or not at all.

    Names are sorted; times, owners and modes are the same for all; one thread compresses, since several cut the
    stream as they come.
    """
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    with (
        durable.replacing(target, _MODE) as file,
        compressor.stream_writer(file, closefd=False) as stream,
        _writer(stream) as tar,
    ):
        for path in sorted(directory.rglob("*"), key=lambda item: item.relative_to(directory).parts):
            _add(tar, path, str(PurePosixPath(directory.name, *path.relative_to(directory).parts)))


def _writer(stream: zstandard.ZstdCompressionWriter) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    if path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, _DIRECTORY_MODE
        tar.addfile(entry)
        return
    entry.size, entry.mode = path.stat().st_size, _MODE
    with path.open("rb") as file:
        tar.addfile(entry, file)


def unpack(archive: Path, target: Path) -> None:
    """Write what `pack` packed into the directory `target`, which is empty; the directory's own name is left out.

    Raises:
        ReleaseError: the archive is damaged, or holds what `pack` would not have put there.
    """
    try:
        with archive.open("rb") as file, _decompressed(file) as stream, _reader(stream) as tar:
            for entry in tar:
                _extract(tar, entry, target)
    except (zstandard.ZstdError, tarfile.TarError, OSError) as error:
        raise ReleaseError(f"the archive cannot be unpacked: {error}", where=str(archive)) from error


def _decompressed(file: IO[bytes]) -> zstandard.ZstdDecompressionReader:
    return zstandard.ZstdDecompressor().stream_reader(file)


def _reader(stream: zstandard.ZstdDecompressionReader) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r|")


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    name = PurePosixPath(entry.name)
    if name.is_absolute() or ".." in name.parts or not (entry.isfile() or entry.isdir()):
        raise ReleaseError(f"the archive holds {entry.name!r}, which is none of ours", where=str(tar.name))
    path = target.joinpath(*name.parts[1:])
    if entry.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    data = tar.extractfile(entry)
    assert data is not None, "it is a file"
    with data, path.open("xb") as file:
        while chunk := data.read(1 << 20):
            file.write(chunk)
