"""What is aimed at, and whether it was reached: one row for each figure that has a target."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from tests.bench import models, pipelines
from tests.bench.stock import compare

Found = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """A figure: `value` is compared with the target, `text` is read."""

    value: float
    text: str


@dataclass(frozen=True)
class Target:
    """A limit on a figure.

    Attributes:
        figure: of all that was measured; None: that was left out.
        least: whether the figure must be at least `limit`, else at most.
    """

    what: str
    wanted: str
    limit: float
    figure: Callable[[Found], Optional[Measured]]
    least: bool = True

    def row(self, found: Found) -> dict[str, Any]:
        """`what`, `target`, `measured` (None: it was not) and `met`."""
        measured = self.figure(found)
        met = None
        if measured:
            met = measured.value >= self.limit if self.least else measured.value <= self.limit
        return {
            "what": self.what,
            "target": self.wanted,
            "measured": measured.text if measured else None,
            "met": met,
        }


def rows(name: str, found: Found) -> Iterator[dict[str, Any]]:
    """The targets of the pipeline `name`, and those of all."""
    yield from (target.row(found) for target in (*_OWN.get(name, ()), *_ALL))


def _served(step: str, mixed: bool) -> Callable[[Found], Optional[Measured]]:
    """How many times as fast as native FP32 a step's model is as it is served, at its most frequent shape or at all."""

    def figure(found: Found) -> Optional[Measured]:
        entry = (found.get("models") or {}).get(step, {"rows": []})
        row = next((row for row in entry["rows"] if (row["what"] == models.ALL) == mixed), None)
        if row is None:
            return None
        way, figures = next(item for item in row["ways"].items() if item[0].endswith(models.SERVED))
        return Measured(figures["faster"], f"{times(figures, 'faster')} ({way}; {row['what']})")

    return figure


def _size(step: str) -> Callable[[Found], Optional[Measured]]:
    def figure(found: Found) -> Optional[Measured]:
        entry = (found.get("models") or {}).get(step)
        if entry is None:
            return None
        share = entry["weights"]["served"] / entry["weights"]["exported"]
        return Measured(share, f"{share:.1%}")

    return figure


def _rapidocr(found: Found) -> Optional[Measured]:
    """How many times as long RapidOCR on OpenVINO takes: 0 if the release reads less, None if nobody knows that."""
    ways = (found.get("pipelines") or {"ways": {}})["ways"]
    theirs = ways.get("RapidOCR on openvino")
    # Without labels there is no `right`.
    if theirs is None or "right" not in theirs:
        return None
    ours = ways[pipelines.RELEASE]
    text = f"{times(theirs, 'times')}; {ours['right']:.1%} against {theirs['right']:.1%} right"
    return Measured(theirs["times"] if ours["right"] >= theirs["right"] else 0.0, text)


def _stock(found: Found) -> Optional[Measured]:
    entry = (found.get("stock") or {}).get(compare.OFF)
    return entry and Measured(entry["ratio"], times(entry, "ratio"))


def _share(found: Found) -> Optional[Measured]:
    entry = found.get("saturated")
    if not entry:
        return None
    by_round = ", ".join(f"{share:.2f}" for share in entry["shares"])
    return Measured(entry["share"], f"{entry['share']:.2f}x (by round: {by_round})")


def _different(found: Found) -> Optional[Measured]:
    rows_ = found.get("service")
    if not rows_:
        return None
    different, all_ = (sum(row[key] for row in rows_) for key in ("different", "requests"))
    return Measured(different, f"different: {different} of {all_}")


def _deploy(found: Found) -> Optional[Measured]:
    seconds = ((found.get("stages") or {}).get("idle") or {}).get("deploy")
    return seconds and Measured(statistics.median(seconds), f"{statistics.median(seconds):.1f} s")


def _cold(found: Found) -> Optional[Measured]:
    run = (found.get("stages") or {}).get("cold")
    return run and Measured(run["seconds"], f"{run['seconds'] / 60:.1f} min")


def times(figures: Found, key: str) -> str:
    """`2.02x (1.81 to 2.31)`."""
    return f"{figures[key]:.2f}x ({figures['low']:.2f} to {figures['high']:.2f})"


_OWN = {
    "ocr": (
        Target(
            "detector, fixed shape, against native FP32 as exported", ">= 2.5x", 2.5, _served("det", False)
        ),
        Target(
            "recognizer, mixed widths in buckets and batches, against native FP32 one by one",
            ">= 4x",
            4,
            _served("rec", True),
        ),
        Target(
            "in process, one core, against RapidOCR on OpenVINO, no fewer lines right", ">= 2x", 2, _rapidocr
        ),
        Target(
            "service through HTTP, saturated, against the stock Paddle Serving pipeline", ">= 5x", 5, _stock
        ),
        Target("optimize, calibrate, quantize, evaluate, cold", "<= 8 min", 480, _cold, least=False),
    ),
    "resnet50": (
        Target("ResNet-50 as served against native FP32, one core", ">= 3.4x", 3.4, _served("net", False)),
        Target("ResNet-50's weights file against FP32's", "<= 26 %", 0.26, _size("net"), least=False),
    ),
}

_ALL = (
    Target(
        "service through HTTP, saturated, against its pipeline in process on the same cores",
        ">= 0.92x",
        0.92,
        _share,
    ),
    Target(
        "answers at every concurrency, against a single client's", "different: 0", 0, _different, least=False
    ),
    Target("`make deploy` with nothing changed", "<= 5 s", 5, _deploy, least=False),
)
