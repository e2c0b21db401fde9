from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.report import examples
from toolkit.report import plots


def words(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_each_candidate_that_was_measured_has_its_number_from_the_table() -> None:
    found = words(plots.trade_off(examples.model(), 0.5))
    # The fifth crashed; the fourth loses 30 points, and stands at the edge with its figure.
    assert {"1", "2", "3 served", "4 (−30.00)"} <= set(found)
    assert "limit −0.50" in found
    assert not [word for word in found if word.startswith("5 ")]


def test_without_a_measured_candidate_there_is_no_plot() -> None:
    assert plots.trade_off({"candidates": [examples.candidate("int8", "int8", problem="crashed")]}, 0.5) == ""
    assert plots.by_layer([examples.layer("a", sqnr=None, milliseconds=None)]) == ""
    assert plots.histogram("x", {"counts": [0, 0], "limit": 1.0, "threshold": 1.0}) == ""


@pytest.mark.parametrize(
    "svg", [plots.trade_off(examples.model(), 0.5), plots.by_layer(examples.model()["layers"])]
)
def test_a_plot_has_no_colour_no_font_and_no_address_of_its_own(svg: str) -> None:
    assert svg.startswith("<svg ")
    assert "var(--int8)" in svg
    assert "#0101" not in svg
    assert "http" not in svg
    assert "DejaVu" not in svg
    assert re.search(r'<svg[^>]* (width|height)="', svg) is None


def test_a_histogram_of_thousands_of_bins_stays_small_and_keeps_every_value() -> None:
    counts = np.random.default_rng(0).integers(1, 1000, 8192)
    edges, shares = plots.rebinned(counts.astype(float), 16.0)
    assert len(shares) <= 96
    assert shares.sum() == pytest.approx(1)
    assert edges[0] == -16
    # 8192 bins of 1 / 256: the first of the new ones holds the first 86 of the old, as 8192 / 96 is 85.3.
    assert edges[1] == pytest.approx(-16 + 86 / 256)
    assert shares[0] == pytest.approx(counts[:86].sum() / counts.sum())
    assert len(plots.histogram("x", {"counts": counts.tolist(), "limit": 16.0, "threshold": 8.0})) < 20_000


def test_the_empty_ends_of_a_histogram_are_left_out() -> None:
    # Ten bins of width 2 from -10 to 10; in use are those from -2 to 4, so it is drawn from -4 to 4.
    edges, shares = plots.rebinned(np.array([0, 0, 0, 0, 2, 5, 3, 0, 0, 0], float), 10.0)
    assert edges.tolist() == [-4, -2, 0, 2, 4]
    assert shares.tolist() == [0, 0.2, 0.5, 0.3]


@pytest.mark.parametrize("tensor", ["$x$", "激活", "<b>"])
def test_names_of_any_kind_make_no_trouble(tensor: str, recwarn: Any) -> None:
    found = {"counts": [1, 2, 1], "limit": 1.0, "threshold": None}
    assert plots.histogram(tensor, found).endswith("</svg>\n")
    assert not recwarn.list
