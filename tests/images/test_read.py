from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from toolkit.images import read as images
from toolkit.pipeline import RequestTooLarge, Unprocessable

ROOT = Path(__file__).parents[2]

Array = Any


def picture(height: int = 40, width: int = 60) -> Array:
    """A smooth RGB picture, red to the left, green to the top, so that a turned one is another."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(255, 0, width).astype(np.uint8)
    image[..., 1] = np.linspace(255, 0, height).astype(np.uint8)[:, None]
    image[..., 2] = 60
    return image


GRAY = np.asarray(Image.fromarray(picture()).convert("L"))


def encoded(format: str, image: Any = None, mode: str = "RGB", **options: Any) -> bytes:
    made = Image.fromarray(picture() if image is None else image)
    file = io.BytesIO()
    (made if made.mode == mode else made.convert(mode)).save(file, format, **options)
    return file.getvalue()


def deep(extension: str, image: Array) -> bytes:
    """RGB, RGBA or gray of 16 bits, which Pillow cannot write."""
    channels = image[..., [2, 1, 0, 3][: image.shape[2]]] if image.ndim == 3 else image
    done, data = cv2.imencode(extension, np.ascontiguousarray(channels))
    assert done
    return bytes(data.tobytes())


def decoded(data: bytes) -> Array:
    """The decoded image as RGB."""
    image = images.read_image(data)
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert image.flags.c_contiguous
    return image[..., ::-1]


def difference(first: Array, second: Array) -> float:
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, size: tuple[int, int] = (1, 1), bits: int = 8, color: int = 2) -> bytes:
    """A PNG file of `size` (width, height) with `chunks` after its header."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def pixels(*rows: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))


def moving(format: str, **options: Any) -> bytes:
    """Red, then blue."""
    red, blue = (Image.new("RGB", (30, 20), color) for color in ("red", "blue"))
    file = io.BytesIO()
    red.save(file, format, save_all=True, append_images=[blue, red], duration=100, loop=0, **options)
    return file.getvalue()


# --- What is an image.

KINDS = {
    "JPEG": encoded("JPEG", quality=95),
    "progressive JPEG": encoded("JPEG", quality=95, progressive=True),
    "PNG": encoded("PNG"),
    "PNG with alpha": encoded("PNG", mode="RGBA"),
    "BMP": encoded("BMP"),
    "BMP with a palette": encoded("BMP", mode="P"),
    "TIFF": encoded("TIFF"),
    "compressed TIFF": encoded("TIFF", compression="tiff_lzw"),
    "TIFF with its directory in front": deep(".tiff", picture()),
    "WebP": encoded("WEBP", quality=95),
    "lossless WebP": encoded("WEBP", lossless=True),
    "WebP with alpha": encoded("WEBP", mode="RGBA"),
    "WebP with EXIF": encoded("WEBP", exif=Image.Exif()),
    "animated WebP": moving("WEBP"),
    "GIF": encoded("GIF"),
    "animated GIF": moving("GIF"),
    "animated PNG": moving("PNG"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_a_file_is_cut_off_it_is_refused_or_its_picture_was_whole(kind: str) -> None:
    data = KINDS[kind]
    whole = images.read_image(data)
    lengths = {*range(0, len(data), 1 + len(data) // 300), *range(max(0, len(data) - 40), len(data))}
    refused = 0
    for length in sorted(lengths):
        try:
            image = images.read_image(data[:length])
        except Unprocessable:
            refused += 1
        else:
            np.testing.assert_array_equal(image, whole, err_msg=f"{length} of {len(data)} bytes")
    assert refused > len(lengths) / 4
    with pytest.raises(Unprocessable):
        images.read_image(data[: len(data) // 3])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "not an image file that can be read: send a JPEG, PNG"),
        (b"", "not an image file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image file"),
        (b"P6 1 1 255 abc", "not an image file"),
        (b"RIFF\x04\0\0\0WAVEfmt " + bytes(40), "not WebP"),
        (b"BM", "cut off"),
        (encoded("JPEG")[:-100] + b"\0" * 100, "cut off"),
        (encoded("JPEG")[:-100] + b"\xff\xd0", "cut off"),
        (b"\xff\xd8\xff\xd9", "without a picture"),
        (encoded("JPEG")[:2] + encoded("JPEG")[2:-2] * 2 + b"\xff\xd9", "damaged"),
        (encoded("TIFF", np.zeros((4, 4), np.float32), mode="F"), "damaged"),
        (png(pixels(b"abc"), size=(0, 1)), "0 x 1 pixels"),
        (png(pixels(b"abc"), size=(1, 0)), "1 x 0 pixels"),
        (png(size=(1, 1)), "damaged"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""), "without a header"),
        (b"GIF89a" + struct.pack("<HHBBB", 5, 5, 0, 0, 0) + b"\x3b", "without a picture"),
        (
            struct.pack("<4sIHHIIHHIIIIIII", b"II*\0", 8, 2, 256, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)[:60],
            "damaged",
        ),
    ],
)
def test_what_is_no_whole_image_is_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        images.read_image(data)


def test_a_truncated_photograph_with_a_thumbnail_is_refused() -> None:
    thumbnail = encoded("JPEG", picture(8, 12))
    whole = encoded("JPEG")
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    data = whole[:2] + segment + whole[2:]
    assert difference(decoded(data), picture()) < 6
    with pytest.raises(Unprocessable, match="cut off"):
        images.read_image(data[:-50])


def test_what_follows_the_end_of_a_jpeg_does_not_matter() -> None:
    assert difference(decoded(encoded("JPEG") + b"appended \xff\xda data"), picture()) < 6


# --- Bombs.


def renamed_size(data: bytes, size: tuple[int, int]) -> bytes:
    """`data` with a header that claims another size (width, height)."""
    if data.startswith(b"\x89PNG"):
        header = chunk(b"IHDR", struct.pack(">II", *size) + data[24:29])
        return data[:8] + header + data[33:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<ii", *size) + data[26:]
    if data.startswith(b"GIF"):
        return data[:6] + struct.pack("<HH", *size) + data[10:]
    if data.startswith(b"\xff\xd8"):
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", *size[::-1]) + data[at + 4 :]
    assert data.startswith(b"RIFF")
    extended = (
        b"VP8X" + struct.pack("<IBxxx", 10, 2) + b"".join((side - 1).to_bytes(3, "little") for side in size)
    )
    return b"RIFF" + struct.pack("<I", len(data) + 10) + b"WEBP" + extended + data[12:]


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("PNG", (60_000, 60_000)),
        ("PNG", (2**31 - 1, 2**31 - 1)),
        ("PNG with alpha", (2**31 - 1, 1)),
        ("BMP", (-(2**31), 2**31 - 1)),
        ("BMP", (50_000, -50_000)),
        ("GIF", (65_535, 65_535)),
        ("JPEG", (65_500, 65_500)),
        ("WebP", (1 << 24, 200)),
        ("animated WebP", (1 << 14, 1 << 14)),
        ("PNG", (40_000, 1)),
    ],
)
def test_a_bomb_is_refused_by_its_header_before_anything_is_decoded(
    kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in ((cv2, "imdecode"), (Image, "open")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("a decoder was asked"))
    with pytest.raises(RequestTooLarge, match=f"{abs(size[0])} x {abs(size[1])} pixels") as caught:
        images.read_image(renamed_size(KINDS[kind], size))
    assert caught.value.code == 52


def test_a_picture_of_a_gif_beyond_its_screen_counts_too() -> None:
    data = encoded("GIF", picture(1, 1))
    at = data.index(b"\x2c", 13 + 3 * 2)
    with pytest.raises(RequestTooLarge, match="60001 x 60000"):
        images.read_image(data[: at + 1] + struct.pack("<HHHH", 1, 0, 60_000, 60_000) + data[at + 9 :])


def test_a_tiff_whose_tags_all_claim_the_whole_file_costs_nothing() -> None:
    # Pillow would copy 60,000 times 1 MB.
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), *((tag, 7, 1 << 20, 8) for tag in range(300, 60_000))]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = b"II*\0" + struct.pack("<I", 8) + directory + bytes(1 << 20)
    started = time.monotonic()
    with pytest.raises(Unprocessable):
        images.read_image(data)
    assert time.monotonic() - started < 2


def test_a_gif_with_a_comment_as_large_as_a_request_costs_nothing() -> None:
    # Pillow would copy the comment anew for each of its 60,000 blocks.
    data = encoded("GIF")
    at = 13 + 3 * 256
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * 60_000 + b"\0"
    started = time.monotonic()
    np.testing.assert_array_equal(decoded(data[:at] + comment + data[at:]), decoded(data))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xe0\0\2" + b"\xff\xfe\0\2" * 4_000_000,
        b"GIF89a" + bytes(7) + b"\x21\xfe\0" * 5_000_000,
        b"GIF89a" + bytes(7) + (b"\x21\xfe" + b"\1a" * 200_000 + b"\0") * 60,
        b"\x89PNG\r\n\x1a\n" + bytes(12) * 1_000_000,
    ],
    ids=["JPEG segments", "GIF extensions", "GIF blocks", "PNG chunks"],
)
def test_a_file_of_millions_of_parts_is_refused_after_a_part_of_them(data: bytes) -> None:
    began = time.process_time()
    with pytest.raises(Unprocessable):
        images.read_image(data)
    # A replica that works for longer without a sign of life is taken for one that hangs.
    assert time.process_time() - began < 2


def test_the_number_of_pictures_in_a_file_does_not_matter() -> None:
    frames = [Image.new("L", (8, 8), value) for value in (200, 10, 20)]
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        file = io.BytesIO()
        frames[0].save(file, format, save_all=True, append_images=frames[1:] * 500)
        assert difference(decoded(file.getvalue()), np.full((8, 8, 3), 200)) < 3


def test_a_jpeg_that_makes_a_decoder_go_over_it_again_and_again_is_refused() -> None:
    data = encoded("JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(Unprocessable, match="scans: save it as a baseline JPEG"):
        images.read_image(data[:-2] + last * 200 + data[-2:])


def test_broken_images_leave_no_word_of_pillow_or_opencv_in_the_log() -> None:
    program = """
import sys
from toolkit.images.read import read_image as read
from toolkit.pipeline import RequestError
for size in map(int, sys.argv[1].split(",")):
    data = sys.stdin.buffer.read(size)
    try:
        read(data)
    except RequestError:
        pass
"""
    cut = [data[: len(data) * 2 // 3] for data in KINDS.values()]
    odd = [
        png(chunk(b"iCCP", b"x\0\0garbage"), chunk(b"acTL", bytes(8)), pixels(b"abc")),
        png(chunk(b"iTXt", b"k\0\0\0\0\0" + bytes(2_000_000)), pixels(b"abcd"), color=6),
        renamed_size(KINDS["PNG"], (12_000, 9_000)),
        renamed_size(KINDS["PNG"], (2**31 - 1, 9)),
    ]
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", program, ",".join(str(len(data)) for data in cut + odd)],
        input=b"".join(cut + odd),
        capture_output=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert (done.stdout, done.stderr) == (b"", b"")


# --- Colors.


@pytest.mark.parametrize(
    ("format", "mode", "options", "tolerance"),
    [
        ("PNG", "RGB", {}, 0),
        ("BMP", "RGB", {}, 0),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}, 0),
        ("TIFF", "CMYK", {}, 1),
        ("TIFF", "RGBA", {}, 0),
        ("PNG", "RGBA", {}, 0),
        ("WEBP", "RGBA", {"lossless": True}, 0),
        ("WEBP", "RGB", {"quality": 95}, 4),
        ("JPEG", "RGB", {"quality": 95}, 4),
        ("JPEG", "RGB", {"quality": 95, "progressive": True}, 4),
        ("JPEG", "CMYK", {"quality": 95}, 6),
        ("PNG", "P", {}, 16),
        ("GIF", "RGB", {}, 16),
    ],
)
def test_images_of_many_kinds_are_decoded_to_three_channels(
    format: str, mode: str, options: dict[str, Any], tolerance: float
) -> None:
    assert difference(decoded(encoded(format, mode=mode, **options)), picture()) <= tolerance


@pytest.mark.parametrize(
    ("ink", "paint"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 255, 255, 0), (255, 0, 0)),
        ((255, 0, 255, 0), (0, 255, 0)),
        ((255, 255, 0, 0), (0, 0, 255)),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_print_colors_become_their_screen_colors_and_not_the_opposite(
    format: str, ink: tuple[int, ...], paint: tuple[int, ...]
) -> None:
    file = io.BytesIO()
    Image.new("CMYK", (16, 16), ink).save(file, format)
    assert difference(decoded(file.getvalue()), np.full((16, 16, 3), paint)) < 4


@pytest.mark.parametrize(
    "data",
    [
        encoded("PNG", mode="L"),
        encoded("PNG", mode="LA"),
        encoded("JPEG", mode="L", quality=98),
        encoded("GIF", mode="L"),
        encoded("BMP", mode="L"),
        encoded("TIFF", mode="L"),
        encoded("WEBP", mode="L", lossless=True),
        encoded("PNG", GRAY.astype(np.uint16) * 257, mode="I;16"),
        encoded("TIFF", GRAY.astype(np.uint16) * 257, mode="I;16"),
        deep(".tiff", GRAY.astype(np.uint16) * 257),
    ],
    ids=[
        "PNG",
        "with alpha",
        "JPEG",
        "GIF",
        "BMP",
        "TIFF",
        "WebP",
        "16 bits",
        "TIFF of 16 bits",
        "LZW of 16 bits",
    ],
)
def test_gray_images_of_8_and_16_bits_get_three_equal_channels(data: bytes) -> None:
    image = decoded(data)
    assert difference(image[..., 0], image[..., 2]) == 0
    assert difference(image[..., 0], GRAY) < 2


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bits_are_scaled_to_8_neither_cut_nor_wrapped(extension: str) -> None:
    exact = picture().astype(np.uint16) * 257
    assert difference(decoded(deep(extension, exact)), picture()) == 0
    # The low byte is noise that must not show.
    noisy = exact & 0xFF00 | np.random.default_rng(5).integers(0, 256, exact.shape).astype(np.uint16)
    assert difference(decoded(deep(extension, noisy)), picture()) <= 1
    half = np.dstack([exact, np.full(exact.shape[:2], 0x8080, np.uint16)])
    expected = (picture().astype(int) * 0x80 + 255 * 0x7F) // 255
    assert difference(decoded(deep(extension, half)), expected) <= 1


@pytest.mark.parametrize(
    "data",
    [
        png(
            chunk(b"PLTE", b"\x0a\x14\x1e\x28\x32\x3c"),
            chunk(b"tRNS", b"\0"),
            pixels(b"\0\1"),
            size=(2, 1),
            color=3,
        ),
        png(
            chunk(b"PLTE", b"\x0a\x14\x1e\x28\x32\x3c"),
            chunk(b"tRNS", b"\0"),
            pixels(b"\x40"),
            size=(2, 1),
            color=3,
            bits=1,
        ),
        png(chunk(b"tRNS", b"\0\x0a\0\x14\0\x1e"), pixels(b"\x0a\x14\x1e\x28\x32\x3c"), size=(2, 1)),
        png(
            chunk(b"tRNS", b"\x0a\0\x14\0\x1e\0"),
            pixels(b"\x0a\0\x14\0\x1e\0\x28\0\x32\0\x3c\0"),
            size=(2, 1),
            bits=16,
        ),
        png(pixels(b"\x0a\x14\x1e\0\x28\x32\x3c\xff"), size=(2, 1), color=6),
        encoded("WEBP", np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], np.uint8), "RGBA", lossless=True),
        encoded("TIFF", np.array([[[10, 20, 30, 0], [40, 50, 60, 255]]], np.uint8), "RGBA"),
    ],
    ids=["palette", "palette of 1 bit", "one color", "one color of 16 bits", "RGBA", "WebP", "TIFF"],
)
def test_what_is_transparent_is_white_and_the_rest_keeps_its_color(data: bytes) -> None:
    assert decoded(data).tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize(
    ("bits", "row", "clear", "color"),
    [(8, b"\x0a\x14", b"\0\x0a", 20), (16, b"\x0a\0\x14\0", b"\x0a\0", 20), (2, b"\x60", b"\0\1", 170)],
)
def test_a_gray_that_stands_for_transparency_is_white(
    bits: int, row: bytes, clear: bytes, color: int
) -> None:
    data = png(chunk(b"tRNS", clear), pixels(row), size=(2, 1), bits=bits, color=0)
    assert decoded(data).tolist() == [[[255] * 3, [color] * 3]]


def test_a_gif_with_a_transparent_color_is_on_white() -> None:
    made = Image.new("P", (2, 1))
    made.putpixel((1, 0), 1)
    made.putpalette([10, 20, 30, 40, 50, 60])
    file = io.BytesIO()
    made.save(file, "GIF", transparency=0)
    assert decoded(file.getvalue()).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_half_transparent_is_half_white() -> None:
    image = np.dstack([picture(), np.full((40, 60), 128, np.uint8)])
    expected = (picture().astype(int) * 128 + 255 * 127) / 255
    for format in ("PNG", "TIFF"):
        assert difference(decoded(encoded(format, image, "RGBA")), expected) < 1


def test_of_an_animation_the_first_picture_is_read() -> None:
    for format in ("GIF", "PNG", "WEBP"):
        assert difference(decoded(moving(format)), np.full((20, 30, 3), (255, 0, 0))) < 3, format
    assert difference(decoded(moving("WEBP", lossless=True)), np.full((20, 30, 3), (255, 0, 0))) == 0


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("profile", [b"", b"garbage", bytes(3_000_000)], ids=["empty", "garbage", "huge"])
def test_an_odd_color_profile_changes_nothing(format: str, profile: bytes) -> None:
    image = decoded(encoded(format, quality=95, icc_profile=profile))
    assert difference(image, picture()) < 4


# --- EXIF.


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


UPRIGHT: dict[int, Callable[[Array], Array]] = {
    1: lambda it: it,
    2: np.fliplr,
    3: lambda it: np.rot90(it, 2),
    4: np.flipud,
    5: lambda it: it.transpose(1, 0, 2),
    6: lambda it: np.rot90(it, -1),
    7: lambda it: np.rot90(it, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "PNG with alpha", "WEBP with alpha"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_picture_is_turned_as_its_exif_orientation_says(format: str, orientation: int) -> None:
    kind, mode = format.split()[0], "RGBA" if "alpha" in format else "RGB"
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    image = decoded(encoded(kind, mode=mode, exif=exif(orientation), **options))
    expected = UPRIGHT[orientation](picture())
    assert image.shape == expected.shape
    assert difference(image, expected) < 4


def test_orientations_that_make_no_sense_turn_nothing() -> None:
    for value in (0, 9, 65_535):
        assert difference(decoded(encoded("PNG", exif=exif(value))), picture()) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II",
        b"XX*\0\x08\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0+\0\x08\0\0" + b"\xff" * 40,
        b"II*\0\x08\0\0\0\xff\xff" + bytes(30),
        bytes(500_000),
    ],
)
def test_exif_that_cannot_be_read_turns_nothing(data: bytes) -> None:
    whole = encoded("PNG")
    assert difference(decoded(whole[:33] + chunk(b"eXIf", data) + whole[33:]), picture()) == 0
    jpeg = encoded("JPEG", quality=95)
    segment = b"Exif\0\0" + data[:60_000]
    marked = jpeg[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + jpeg[2:]
    assert difference(decoded(marked), picture()) < 4


# --- Sizes.


@pytest.mark.parametrize(
    ("format", "size"),
    [
        (format, size)
        for format in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
        for size in ((1, 1), (1, 9), (9, 1), (1, 30_000), (30_000, 1))
        # WebP has no longer sides.
        if format != "WEBP" or max(size) <= 16_383
    ],
)
def test_images_of_one_pixel_or_one_row_are_images(format: str, size: tuple[int, int]) -> None:
    assert decoded(encoded(format, np.full((*size, 3), 255, np.uint8))).shape == (*size, 3)


def test_a_side_longer_than_a_line_can_be_cut_from_is_refused() -> None:
    assert decoded(encoded("PNG", np.zeros((1, 32_766), np.uint8), "L")).shape == (1, 32_766, 3)
    with pytest.raises(RequestTooLarge, match="a side at most 32,766: cut it into parts"):
        images.read_image(encoded("PNG", np.zeros((1, 32_767), np.uint8), "L"))
