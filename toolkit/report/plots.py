"""Plots, drawn by matplotlib as SVG that takes the colours and the font of the page around it."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, Optional

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from toolkit.report import candidates, outcomes, svg, text

# Colours that nobody draws with stand for variables of the page, which is light or dark.
_VARIABLES = {
    "#010101": "ink",
    "#010102": "muted",
    "#010103": "line",
    "#010104": "surface",
    "#010105": "int8",
    "#010106": "bf16",
    "#010107": "fp32",
    "#010108": "native",
    "#010109": "bad",
}
_COLOUR = {name: code for code, name in _VARIABLES.items()}

# Inches; a narrow figure, so that its text is still read when a phone shrinks it.
_WIDTH = 4.7
_MARGINS = (0.85, 0.1, 0.5, 0.3)
_BINS = 96
# Times the limit of the gate; what loses more is not drawn to scale.
_FAR = 5

_STYLE = {
    **svg.STYLE,
    "text.parse_math": False,  # a name with two dollars in it is no formula
    "font.size": 10.5,
    "axes.edgecolor": _COLOUR["muted"],
    "axes.labelcolor": _COLOUR["ink"],
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _COLOUR["line"],
    "grid.linewidth": 0.7,
    "text.color": _COLOUR["ink"],
    "xtick.color": _COLOUR["muted"],
    "ytick.color": _COLOUR["muted"],
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "legend.labelcolor": _COLOUR["ink"],
}


def trade_off(model: Mapping[str, Any], limit: Optional[float], taken: str = "served") -> str:
    """Accuracy against latency: one numbered mark for each candidate that was measured, as SVG; empty without any.

    Filled: judged on the verdict split, with the bounds of the drop. Hollow: seen in the search, or inconclusive.
    Those far below the limit stand at the lower edge, with an arrow and their figure.

    Args:
        limit: the drop that the gate allows, in points.
        taken: what the mark of the chosen candidate is called.
    """
    marks = list(_marks(model))
    if not marks:
        return ""
    floor = -_FAR * limit if limit else -math.inf

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, item in marks:
            _draw_mark(axes, number, item, taken if item is outcomes.chosen_of(model) else "", floor)
        if limit is not None:
            _draw_limit(axes, limit)
        axes.margins(0.12, 0.12)
        _latency_axis(axes, [float(item["milliseconds"]) for _, item in marks])
        axes.set_ylabel("points against native FP32")
        _legend(axes, [str(item.get("precision")) for _, item in marks])

    return _render("trade-off", 3.3, draw)


def _marks(model: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, item in enumerate(outcomes.candidates_of(model), 1):
        if (text.finite(item.get("milliseconds")) or 0) > 0 and _height(item) is not None:
            yield number, item


def _height(item: Mapping[str, Any]) -> Optional[float]:
    drop = text.finite(candidates.measured(item).get("drop"))
    return 0.0 if item.get("precision") == "native" else None if drop is None else -drop


def _draw_mark(axes: Axes, number: int, item: Mapping[str, Any], taken: str, floor: float) -> None:
    x, height = float(item["milliseconds"]), _height(item) or 0.0
    y, far = max(height, floor), height < floor
    colour = _COLOUR.get(str(item.get("precision")), _COLOUR["muted"])
    bounds = [text.finite(candidates.measured(item).get(key)) for key in ("lower", "upper")]
    if item.get("verdict") and None not in bounds and not far:
        axes.plot(
            [x, x],
            [max(floor, -float(bound or 0)) for bound in bounds],
            color=colour,
            linewidth=1.4,
            alpha=0.7,
        )
    proven = candidates.status(item) in (outcomes.PASS, outcomes.FAIL, "reference")
    axes.plot(
        x,
        y,
        marker="v" if far else "o",
        markersize=10 if taken else 7,
        color=colour,
        markerfacecolor=colour if proven else _COLOUR["surface"],
        markeredgewidth=1.8,
    )
    unsure = "?" if candidates.status(item) == outcomes.INCONCLUSIVE else ""
    away = f" ({text.points(height)})" if far else ""
    axes.annotate(
        f"{number}{unsure}{away}" + (f" {taken}" if taken else ""),
        (x, y),
        xytext=(-8, -4) if taken else (8, -4),
        textcoords="offset points",
        ha="right" if taken else "left",
        fontsize=10,
        fontweight="bold" if taken else "normal",
    )


def _draw_limit(axes: Axes, limit: float) -> None:
    axes.axhline(-limit, color=_COLOUR["bad"], linewidth=1.2, linestyle="--")
    axes.annotate(
        f"limit {text.points(-limit)}",
        (1, -limit),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        fontsize=9.5,
        color=_COLOUR["bad"],
    )


def _latency_axis(axes: Axes, times: Sequence[float]) -> None:
    """Logarithmic: native FP32 is several times slower than the rest, which it would push together."""
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 1.9, max(times) * 1.35)
    low, high = axes.get_xlim()
    steps = [step * 10.0**power for power in range(-4, 7) for step in (1, 2, 5)]
    ticks = [tick for tick in steps if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("ms for an inference (median); left is faster")


def _legend(axes: Axes, used: Sequence[str]) -> None:
    for name in ("native", "fp32", "bf16", "int8"):
        if name in used:
            axes.plot([], [], marker="o", linestyle="", color=_COLOUR[name], label=outcomes.named(name))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, handletextpad=0.1, columnspacing=1.2
        )


def by_layer(layers: Sequence[Mapping[str, Any]]) -> str:
    """Two panels over the layers in program order: SQNR of the output, and time; as SVG, empty without figures."""
    panels = [
        (key, label)
        for key, label in (("output_sqnr_db", "output SQNR, dB"), ("milliseconds", "time, ms"))
        if any(text.finite(item.get(key)) is not None for item in layers)
    ]
    if not panels:
        return ""

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (key, label) in zip(grid, panels):
            _bars(axes, layers, key)
            axes.set_ylabel(label)
        grid[-1].set_xlabel("layer, in program order")
        _patches(grid[0], [str(item.get("dtype")) for item in layers])

    return _render("layers", 0.6 + 1.6 * len(panels), draw)


def _bars(axes: Axes, layers: Sequence[Mapping[str, Any]], key: str) -> None:
    for name in (*candidates.TYPES, None):
        chosen = [
            (number, text.finite(item.get(key)))
            for number, item in enumerate(layers, 1)
            if (
                str(item.get("dtype")) == name or (name is None and item.get("dtype") not in candidates.TYPES)
            )
        ]
        known = [(number, value) for number, value in chosen if value is not None]
        if known:
            numbers, values = zip(*known)
            axes.bar(numbers, values, width=0.8, color=_COLOUR[name or "muted"])
    axes.set_xlim(0.3, len(layers) + 0.7)
    axes.grid(visible=False, axis="x")


def _patches(axes: Axes, used: Sequence[str]) -> None:
    known = [name for name in candidates.TYPES if name in used]
    handles = [Patch(color=_COLOUR[name], label=outcomes.named(name)) for name in known]
    if handles:
        axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)


def histogram(tensor: str, found: Mapping[str, Any]) -> str:
    """The values of an activation on a logarithmic scale, with what its threshold clips, as SVG; empty without counts.

    Args:
        found: `counts` in bins of equal width from -`limit` to `limit`, and the `threshold`.
    """
    counts, limit = np.asarray(found.get("counts") or [], dtype=float), text.finite(found.get("limit"))
    threshold = text.finite(found.get("threshold"))
    if not limit or not counts.sum() > 0:
        return ""
    edges, shares = rebinned(counts, limit)
    middles = (edges[:-1] + edges[1:]) / 2
    inside = np.abs(middles) <= (threshold if threshold is not None else np.inf)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for mask, colour in ((inside, "int8"), (~inside, "bad")):
            _area(axes, edges, np.where(mask, shares, 0), _COLOUR[colour])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        axes.set_ylim(bottom=shares[shares > 0].min() / 2)
        for side in (-1, 1) if threshold is not None else ():
            axes.axvline(side * float(threshold or 0), color=_COLOUR["bad"], linewidth=1.2, linestyle="--")
        axes.set_xlabel(f"value; dashed: threshold ±{text.significant(threshold)}")
        axes.set_ylabel("share of values")

    return _render(f"histogram {tensor}", 2.1, draw)


def _area(axes: Axes, edges: Any, shares: Any, colour: str) -> None:
    """Bars as one outline: a path for each of them would weigh a hundred times as much."""
    if shares.any():
        axes.stairs(shares, edges, fill=True, color=colour, linewidth=0)


def rebinned(counts: Any, limit: float) -> tuple[Any, Any]:
    """Edges and shares of at most `_BINS` bins over the part of the range that is in use, even around zero."""
    used = np.flatnonzero(counts)
    half = len(counts) / 2
    reach = max(half - used[0], used[-1] + 1 - half)
    first = int(np.floor(half - reach))
    kept = counts[first : len(counts) - first]
    width = max(1, -(-len(kept) // _BINS))
    padded = np.pad(kept, (0, -len(kept) % width)).reshape(-1, width).sum(axis=1)
    step = 2 * limit / len(counts)
    edges = -limit + step * (first + width * np.arange(len(padded) + 1))
    return edges, padded / counts.sum()


def _render(name: str, height: float, draw: Callable[[Figure], None]) -> str:
    """What `draw` makes of a figure `height` inches high, as SVG; `name` keeps its inner names apart from others'."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The page's fonts draw the text; that matplotlib's own lack some script only makes widths a guess.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=(_WIDTH, height))
        # Inches around the axes. A layout that measures the text would draw everything several times.
        left, right, bottom, top = _MARGINS
        figure.subplots_adjust(
            left / _WIDTH, bottom / height, 1 - right / _WIDTH, 1 - top / height, hspace=0.12
        )
        draw(figure)
        for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
            patch.set_alpha(0)
        return _themed(svg.text(figure))


def _themed(drawn: str) -> str:
    """The `<svg>` element alone, in the colours and the font of the page, without names that others could have too."""
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawn, count=1)
    )
    drawn = re.sub(r' (xmlns(:\w+)?|version)="[^"]*"', "", drawn)
    drawn = re.sub(r' id="[a-z]\w*?_\d+"', "", drawn)
    drawn = re.sub(r"font: ([^;\"]*?[\d.]+px) [^;\"]*", r"font: \1 var(--font)", drawn)
    return re.sub("|".join(_VARIABLES), lambda match: f"var(--{_VARIABLES[match[0]]})", drawn)
