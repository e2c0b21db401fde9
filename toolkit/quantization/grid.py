"""The recipes that a tournament begins with, and how the best of them is varied.

Which layers stay in float matters more than how thresholds are found, and the two hardly depend on each other. So the
first race is about the kinds of layers, the second about the algorithms, the third about what may be added to the
winner: each from where the one before it ended, in place of all combinations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from toolkit.quantization.recipe import PRODUCTS, Recipe

# What a race about kinds is run with: robust, and the cheapest of those that clip.
_FIRST = ("histogram", "mse")


def kinds(allowed: Sequence[str], present: Collection[str], plan: Recipe) -> list[Recipe]:
    """All kinds of layers, and without depthwise convolutions, products, or both, where the model has them.

    Args:
        allowed: kinds that may run in INT8.
        present: kinds of the model's layers.
        plan: what all have in common.
    """
    found: dict[frozenset[str], Recipe] = {}
    for spared in ((), ("depthwise_conv2d",), PRODUCTS, ("depthwise_conv2d", *PRODUCTS)):
        left = tuple(kind for kind in allowed if kind not in spared)
        effect = frozenset(present).intersection(left)
        if effect:
            found.setdefault(effect, replace(plan, kinds=left))
    return list(found.values())


def first(algorithms: Sequence[str]) -> str:
    """The algorithm to choose the kinds of layers with."""
    return next((name for name in _FIRST if name in algorithms), algorithms[0])


def algorithms(best: Recipe, names: Sequence[str], percents: Sequence[float]) -> list[Recipe]:
    """The recipe `best` with each of the algorithms; itself first."""
    found = [
        replace(best, algorithm=name, percent=percent)
        for name in names
        for percent in (percents if name == "histogram" else (best.percent,))
    ]
    return list(dict.fromkeys([best, *found]))


def variations(best: Recipe, granularities: Sequence[str], *, pairs: int, bf16: bool) -> list[Recipe]:
    """The recipe `best`, and each that differs from it in one thing.

    Args:
        pairs: neighbouring layers that can be equalized.
        bf16: whether the processor has instructions for it.
    """
    return list(dict.fromkeys([best, *_varied(best, granularities, pairs, bf16)]))


def _varied(best: Recipe, granularities: Sequence[str], pairs: int, bf16: bool) -> Iterator[Recipe]:
    yield replace(best, bias_correction=not best.bias_correction)
    if pairs:
        yield replace(best, equalize=True)
    for granularity in granularities:
        yield replace(best, weights=granularity)
    if bf16:
        yield replace(best, rest="bf16")
