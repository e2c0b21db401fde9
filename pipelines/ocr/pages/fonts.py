"""Finds the font files that Python packages ship, and opens each at each size once per process.

A package is located, never imported: mplfonts writes to the user's configuration when it is imported.
Its SimHei file is not free and is never opened.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from PIL import ImageFont

LATIN: dict[str, tuple[str, str]] = {
    "dejavu": ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    "dejavu-bold": ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans-Bold.ttf"),
    "dejavu-mono": ("matplotlib", "mpl-data/fonts/ttf/DejaVuSansMono.ttf"),
    "dejavu-mono-bold": ("matplotlib", "mpl-data/fonts/ttf/DejaVuSansMono-Bold.ttf"),
    "dejavu-serif": ("matplotlib", "mpl-data/fonts/ttf/DejaVuSerif.ttf"),
    "dejavu-serif-italic": ("matplotlib", "mpl-data/fonts/ttf/DejaVuSerif-Italic.ttf"),
    "roboto": ("font_roboto", "files/Roboto-Regular.ttf"),
    "roboto-light": ("font_roboto", "files/Roboto-Light.ttf"),
    "roboto-thin": ("font_roboto", "files/Roboto-Thin.ttf"),
    "roboto-black": ("font_roboto", "files/Roboto-Black.ttf"),
    "roboto-italic": ("font_roboto", "files/Roboto-Italic.ttf"),
    "caladea": ("font_caladea", "files/Caladea-Regular.ttf"),
    "caladea-bold": ("font_caladea", "files/Caladea-Bold.ttf"),
    "caladea-italic": ("font_caladea", "files/Caladea-Italic.ttf"),
    "lato": ("font_lato", "files/Lato-Regular.ttf"),
    "lato-light": ("font_lato", "files/Lato-Light.ttf"),
    "lato-black": ("font_lato", "files/Lato-Black.ttf"),
    "amatic": ("font_amatic_sc", "files/AmaticSC-Bold.ttf"),
    "source-sans": ("font_source_sans_pro", "files/SourceSansPro-Regular.ttf"),
    "source-sans-light": ("font_source_sans_pro", "files/SourceSansPro-ExtraLight.ttf"),
    "source-sans-semibold": ("font_source_sans_pro", "files/SourceSansPro-Semibold.ttf"),
}

CHINESE: dict[str, tuple[str, str]] = {
    "noto-sans": ("mplfonts", "fonts/NotoSansCJKsc-Regular.otf"),
    "noto-mono": ("mplfonts", "fonts/NotoSansMonoCJKsc-Regular.otf"),
    "noto-serif": ("mplfonts", "fonts/NotoSerifCJKsc-Regular.otf"),
    "source-han-mono": ("mplfonts", "fonts/SourceHanMonoSC-Regular.otf"),
    "source-han-serif": ("mplfonts", "fonts/SourceHanSerifSC-Regular.otf"),
}

FACES: dict[str, tuple[str, str]] = {**LATIN, **CHINESE}

CAPITALS_ONLY = frozenset({"amatic"})
"""Faces whose small letters are drawn as capitals: text in them is written, and labelled, in capitals."""


class FontMissing(RuntimeError):
    """A Python package that ships a font is not installed, or lacks the file."""


def file_of(face: str) -> Path:
    """The font file of a face, or FontMissing with the package to install."""
    package, inside = FACES[face]
    spec = importlib.util.find_spec(package)
    distribution = package.replace("_", "-")
    if spec is None or spec.origin is None:
        raise FontMissing(
            f"font '{face}' comes with the Python package '{distribution}', which is not installed: "
            f"install the toolkit's lock, or run `pip install {distribution}`"
        )
    path = Path(spec.origin).parent / inside
    if not path.is_file():
        raise FontMissing(
            f"the Python package '{distribution}' has no file '{inside}': install the locked version"
        )
    return path


def check() -> None:
    """Raises FontMissing for the first face that cannot be found, before any page is drawn."""
    for face in FACES:
        file_of(face)


@cache
def opened(face: str, size: int) -> ImageFont.FreeTypeFont:
    """The face at a size in pixels per em. Basic layout, because raqm is not in every build of Pillow."""
    return ImageFont.truetype(str(file_of(face)), size, layout_engine=ImageFont.Layout.BASIC)
