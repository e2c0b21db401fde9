"""Document pages rendered by the project itself: an OCR data set that needs no network and no other files.

Receipts, forms, signs and notices in English and Chinese, in fonts that Python packages ship, with the exact
quadrilateral and text of every line, worn and photographed more or less badly.
"""

from __future__ import annotations

from .dataset import build
from .fonts import FontMissing

__all__ = ["FontMissing", "build"]
