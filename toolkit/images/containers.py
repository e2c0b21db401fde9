"""What an image file says about its first picture, and the bytes that belong to it; no pixel is decoded here.

Read from the bytes by hand, in one pass and in bounded time, since the sizes have to be known before a decoder is let
near the file, and the decoders' own readers do more than that: Pillow 11.3 allocates the canvas of an animated WebP
and copies all of a TIFF's tags, which may each claim the whole file, before it tells the size.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.pipeline import Unprocessable

# Within the compressed data of a JPEG file 0xff is followed by 0 or the number of a restart.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_JPEG_END, _JPEG_SCAN, _JPEG_APP1 = 0xD9, 0xDA, 0xE1
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# A decoder goes over the whole image for each scan, and a scan can be ten bytes; encoders write about ten scans.
_MAX_SCANS = 100
_MAX_SCANNED = 1_000_000_000

# Segments of a JPEG, chunks of a PNG, all sub-blocks of a GIF: more than an image of any sensible size has, few enough
# to walk.
_MAX_PARTS = 250_000

_PNG_START = b"\x89PNG\r\n\x1a\n"
# What the pixels depend on. Profiles, texts and animations are left behind: decoders complain about odd ones, or fail.
_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")

_WIDTH, _HEIGHT, _PHOTOMETRIC, _ORIENTATION, _SAMPLES = 256, 257, 262, 274, 277
_TILE_WIDTH, _TILE_HEIGHT, _EXTRA = 322, 323, 338
_RGB = 2
# TIFF's types of whole numbers: BYTE, SHORT, LONG and BigTIFF's LONG8.
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class Still:
    """The first picture of a file.

    Attributes:
        format: JPEG, PNG, BMP, TIFF, WebP or GIF.
        data: a file of that format with nothing but this picture, or more.
        width, height: pixels as stored.
        orientation: EXIF's, 1 to 8: how to turn the picture that a decoder makes of `data`.
        alpha: whether parts may be transparent.
        premultiplied: whether colors are stored as they look on black.
        clear_gray: of a gray PNG, the value that is transparent, 0 to 1.
        moving: whether the file is animated in a way that needs a decoder for animations.
    """

    format: str
    data: bytes
    width: int
    height: int
    orientation: int = 1
    alpha: bool = False
    premultiplied: bool = False
    clear_gray: float | None = None
    moving: bool = False


def read(data: bytes) -> Still:
    """The first picture of the image file `data`.

    Raises:
        Unprocessable: it is of no format that is known, cut off, or damaged.
    """
    try:
        for start, reader in _READERS.items():
            if data.startswith(start):
                return reader(data)
    except (struct.error, IndexError) as error:
        raise cut_off() from error
    raise Unprocessable(
        "`image` is not an image file that can be read: send a JPEG, PNG, BMP, TIFF, WebP or GIF file"
    )


def cut_off(what: str = "the file") -> Unprocessable:
    """The error of a file that ends too early."""
    return Unprocessable(f"`image` is cut off: {what} has no end; send the whole file")


def damaged(what: str) -> Unprocessable:
    """The error of a file that contradicts itself."""
    return Unprocessable(f"`image` cannot be decoded: the file is damaged ({what}); save it again")


def _jpeg(data: bytes) -> Still:
    size: tuple[int, int] | None = None
    orientation = scans = segments = 0
    position = 2
    while (found := _JPEG_MARKER.search(data, position)) is not None:
        marker, start = found.group(1)[0], found.end()
        if marker == _JPEG_END:
            break
        segments += 1
        if segments > _MAX_PARTS:
            raise damaged(f"more than {_MAX_PARTS} segments")
        # A segment says how long it is; a thumbnail in it has an end of its own.
        position = start + max(2, int.from_bytes(data[start : start + 2], "big"))
        if marker in _JPEG_FRAMES:
            if size is not None:
                raise damaged("two frames")
            height, width = struct.unpack_from(">HH", data, start + 3)
            size = width, height
        elif marker == _JPEG_SCAN:
            scans += 1
        elif marker == _JPEG_APP1 and not orientation and data.startswith(b"Exif\0", start + 2):
            orientation = _orientation(data[start + 8 : position])
    else:
        raise cut_off("the JPEG file")
    if size is None or not scans:
        raise damaged("a JPEG file without a picture")
    if scans > _MAX_SCANS or scans * size[0] * size[1] > max(_MAX_SCANNED, size[0] * size[1]):
        raise Unprocessable(f"`image` has its pixels in {scans} scans: save it as a baseline JPEG file")
    return Still("JPEG", data, *size, orientation=orientation or 1)


def _png(data: bytes) -> Still:
    kept = [_PNG_START]
    chunks: dict[bytes, bytes] = {}
    for kind, start, end in _png_chunks(data):
        if kind in _PNG_NEEDED:
            kept.append(data[start - 8 : end + 4])
        chunks.setdefault(kind, data[start:end] if kind in (b"IHDR", b"tRNS", b"eXIf") else b"")
    if len(chunks.get(b"IHDR", b"")) != 13 or kept[1][4:8] != b"IHDR":
        raise damaged("a PNG file without a header")
    width, height, bits, color = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    clear = chunks.get(b"tRNS")
    return Still(
        "PNG",
        b"".join(kept),
        width,
        height,
        orientation=_orientation(chunks.get(b"eXIf", b"")),
        alpha=color in (4, 6) or clear is not None,
        clear_gray=int.from_bytes(clear[:2], "big") / (2**bits - 1)
        if clear and bits and color == 0
        else None,
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each chunk."""
    start = len(_PNG_START) + 8
    for _ in range(_MAX_PARTS):
        size, kind = struct.unpack_from(">I4s", data, start - 8)
        end = start + size
        if end + 4 > len(data):
            break
        yield kind, start, end
        if kind == b"IEND":
            return
        start = end + 12
    raise cut_off("the PNG file")


def _bmp(data: bytes) -> Still:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        return Still("BMP", data, width, height)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    # With colors given by masks, and one for alpha among them; otherwise the fourth byte means nothing.
    alpha = size >= 56 and bits == 32 and compression == 3 and data[66:70] != bytes(4)
    return Still("BMP", data, abs(width), abs(height), alpha=alpha)


def _tiff(data: bytes) -> Still:
    fields = _directory(data)
    if not all(fields.get(tag) for tag in (_WIDTH, _HEIGHT)):
        raise damaged("a TIFF file without a size")
    # What one tile takes is allocated before it is read.
    tile = fields.get(_TILE_WIDTH, 1), fields.get(_TILE_HEIGHT, 1)
    if max(tile) > 1 << 16 or tile[0] * tile[1] > 1 << 25:
        raise damaged(f"tiles of {tile[0]} x {tile[1]} pixels")
    alpha = fields.get(_PHOTOMETRIC) == _RGB and fields.get(_SAMPLES, 1) == 4
    # OpenCV turns a TIFF by itself.
    size = fields[_WIDTH], fields[_HEIGHT]
    return Still("TIFF", data, *size, alpha=alpha, premultiplied=fields.get(_EXTRA) == 1)


def _orientation(exif: bytes) -> int:
    """EXIF's orientation of the TIFF structure `exif`; 1, upright, where it says nothing that makes sense."""
    try:
        value = _directory(exif).get(_ORIENTATION, 1)
    except (struct.error, Unprocessable):
        return 1
    return value if 1 <= value <= 8 else 1


def _directory(data: bytes) -> dict[int, int]:
    """The single whole numbers in the first directory of a TIFF structure, by tag; a list counts with its first."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise damaged("a TIFF structure without an order of bytes")
    big = struct.unpack_from(f"{order}H", data, 2) == (43,)
    (place,) = struct.unpack_from(f"{order}Q", data, 8) if big else struct.unpack_from(f"{order}I", data, 4)
    # Tag, type and number of values, before the value or its place.
    counts, entry, value = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    (count,) = _unpack(f"{order}{counts}", data, place)
    start, head = place + struct.calcsize(f"={counts}"), struct.calcsize(f"={entry}")
    fields: dict[int, int] = {}
    for index in range(min(count, 1 << 16)):
        at = start + index * (head + value)
        tag, kind, length = _unpack(f"{order}{entry}", data, at)
        if tag in (_WIDTH, _HEIGHT) and tag in fields:
            raise damaged("a TIFF file with two sizes")
        if kind in _INTEGERS and length == 1:
            (fields[tag],) = _unpack(f"{order}{_INTEGERS[kind]}", data, at + head)
    return fields


def _unpack(form: str, data: bytes, place: int) -> tuple[int, ...]:
    # A place beyond what Python can count to is beyond the end, too.
    return struct.unpack_from(form, data, min(place, len(data)))


def _webp(data: bytes) -> Still:
    size, kind, chunk = struct.unpack_from("<I4x4sI", data, 4)
    if data[8:12] != b"WEBP":
        raise Unprocessable("`image` is not an image file that can be read: it is RIFF, but not WebP")
    if size + 8 > len(data):
        raise cut_off("the WebP file")
    if kind == b"VP8X":
        flags = data[20]
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Still(
            "WebP",
            data,
            width,
            height,
            orientation=_orientation(_webp_exif(data, 20 + chunk + chunk % 2)) if flags & 0x08 else 1,
            alpha=bool(flags & 0x10),
            moving=bool(flags & 0x02),
        )
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 21)
        return Still(
            "WebP", data, (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, alpha=bool(packed >> 28 & 1)
        )
    width, height = struct.unpack_from("<HH", data, 26)
    return Still("WebP", data, width & 0x3FFF, height & 0x3FFF)


def _webp_exif(data: bytes, start: int) -> bytes:
    for _ in range(_MAX_PARTS):
        if start + 8 > len(data):
            break
        kind, size = struct.unpack_from("<4sI", data, start)
        if kind == b"EXIF":
            return data[start + 8 : start + 8 + size].removeprefix(b"Exif\0\0")
        start += 8 + size + size % 2
    return b""


def _gif(data: bytes) -> Still:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    head = position = 13 + _color_table(flags)
    control = b""
    parts = iter(range(_MAX_PARTS))
    while data[position] == 0x21:
        end = _blocks_end(data, position + 2, parts)
        if data[position + 1] == 0xF9:
            control = data[position:end]
        position = end
    if data[position] != 0x2C:
        raise damaged("a GIF file without a picture")
    left, top, inner_width, inner_height, flags = struct.unpack_from("<HHHHB", data, position + 1)
    end = _blocks_end(data, position + 10 + _color_table(flags) + 1, parts)
    # The picture alone: comments and further pictures cost time, and change nothing.
    still = b"".join((data[:head], control, data[position:end], b"\x3b"))
    return Still("GIF", still, max(width, left + inner_width), max(height, top + inner_height), alpha=True)


def _color_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks_end(data: bytes, position: int, parts: Iterator[int]) -> int:
    """Where the sub-blocks end that begin at `position`; each takes one of `parts`."""
    for _ in parts:
        if position >= len(data):
            break
        size = data[position]
        position += 1 + size
        if not size:
            return position
    raise cut_off("the GIF file")


_READERS = {
    b"\xff\xd8\xff": _jpeg,
    _PNG_START: _png,
    b"BM": _bmp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"II+\0": _tiff,
    b"MM\0+": _tiff,
    b"RIFF": _webp,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
}
