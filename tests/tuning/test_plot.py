from __future__ import annotations

from xml.etree import ElementTree

from tests.tuning.synthetic import measure, spec
from toolkit.tuning import plot, space
from toolkit.tuning.results import Bounds

SPACE = space.of(spec(), 2, ("release",))
RESULTS = [measure(each) for each in SPACE.configurations]


def texts(svg: str) -> str:
    return " ".join(ElementTree.fromstring(svg).itertext())


def test_the_plot_is_an_svg_file_that_says_what_is_what() -> None:
    svg = plot.draw(SPACE, RESULTS, Bounds(1000), SPACE.configurations[3])
    for label in ("answers a second", "p99, ms", "the default", "chosen", "not beaten", "bound of the p99"):
        assert label in texts(svg)


def test_a_default_that_stays_is_both() -> None:
    svg = plot.draw(SPACE, RESULTS, Bounds(1000), SPACE.default)
    assert "the default, chosen" in texts(svg)


def test_the_same_results_are_the_same_file() -> None:
    assert plot.draw(SPACE, RESULTS, Bounds(1000), SPACE.default) == plot.draw(
        SPACE, RESULTS, Bounds(1000), SPACE.default
    )
