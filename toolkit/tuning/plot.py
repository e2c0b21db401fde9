"""What was measured as a picture: throughput against p99, drawn by matplotlib as an SVG file of its own."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolkit.report import svg
from toolkit.tuning import results as tried
from toolkit.tuning.results import Bounds, Result
from toolkit.tuning.space import Configuration, Space

_SIZE = (7.0, 4.2)  # inches
_GREY, _BLUE, _ORANGE, _RED = "#8a8f98", "#2563eb", "#d97706", "#b91c1c"


def draw(space: Space, results: Sequence[Result], bounds: Bounds, chosen: Configuration) -> str:
    """One line for each configuration, a mark for each number of clients; the best of all joined by a thick line."""
    with matplotlib.rc_context({**svg.STYLE, "svg.hashsalt": "tuning"}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        _lines(axes, space, results, chosen)
        _front(axes, results)
        axes.axhline(bounds.p99, color=_RED, linewidth=1, linestyle="--", label="bound of the p99")
        axes.set_xlabel("answers a second")
        axes.set_ylabel("p99, ms")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=9)
        return svg.text(figure)


def _lines(axes: Axes, space: Space, results: Sequence[Result], chosen: Configuration) -> None:
    names = {space.default.key: ("the default", _BLUE), chosen.key: ("chosen", _ORANGE)}
    if chosen.key == space.default.key:
        names[chosen.key] = ("the default, chosen", _BLUE)
    for result in results:
        label, colour = names.get(result.configuration.key, (None, _GREY))
        across, up = _coordinates([(point.throughput, point.p99) for point in result.points])
        axes.plot(
            across,
            up,
            marker="o",
            markersize=7 if label else 4,
            linewidth=1.4 if label else 0.6,
            color=colour,
            label=label,
            zorder=3 if label else 2,
        )


def _front(axes: Axes, results: Sequence[Result]) -> None:
    across, up = _coordinates([(point.throughput, point.p99) for _, point in tried.pareto(results)])
    axes.plot(across, up, color=_GREY, linewidth=5, alpha=0.3, label="not beaten", zorder=1)


def _coordinates(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [across for across, _ in pairs], [up for _, up in pairs]
