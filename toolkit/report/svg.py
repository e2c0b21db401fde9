"""Figures of matplotlib as SVG: what all of them have in common."""

from __future__ import annotations

import io

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

STYLE = {
    "svg.fonttype": "none",  # text stays text, in a font of the reader's machine, so any script is shown
    "axes.spines.top": False,
    "axes.spines.right": False,
}

_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def text(figure: Figure) -> str:
    """The file; the same figure is the same text, where the style it is drawn in has a `svg.hashsalt`."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    return buffer.getvalue()
