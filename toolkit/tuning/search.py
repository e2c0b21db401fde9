"""Which configuration is measured next.

1. The default, then each other value of each parameter, as alone as it can be had.
2. What they scored gives the effect of each value; see `effects`.
3. Of what is left the most promising is measured, and the effects are found anew.
4. What would not reach the best, even if the model is off by as much as it usually is at most, is hopeless.
5. When all that is left is hopeless, the search is over; it may end before, since each step leaves a best so far.

It is a function of what was measured and nothing else, so a search that was broken off goes on by its results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from toolkit.tuning.effects import Effects
from toolkit.tuning.results import Bounds, Result
from toolkit.tuning.space import Configuration, Space


def following(space: Space, results: Sequence[Result], bounds: Bounds) -> Optional[Configuration]:
    """The next to be measured; None: there is nothing hopeful left.

    Args:
        results: so far, the default's first.
    """
    known = {result.configuration.key for result in results}
    left = [
        each for each in space.configurations if each.key not in known and not _refused(each, space, results)
    ]
    keys = {each.key for each in left}
    alone = next((each for each in space.alone() if each.key in keys), None)
    if alone is not None:
        return alone
    if not left:
        return None
    usable = [result for result in results if result.points]
    effects = Effects(
        [result.configuration for result in usable], [bounds.score(result) for result in usable]
    )
    promising = max(left, key=effects.score)
    return promising if effects.hopeful(promising) > max(map(bounds.score, usable)) else None


def _refused(configuration: Configuration, space: Space, results: Sequence[Result]) -> bool:
    """Whether it has all that is not the default's in one that was refused."""
    mine = configuration.beside(space.default).items()
    return any(
        all(pair in mine for pair in result.configuration.beside(space.default).items())
        for result in results
        if result.refused and result.configuration.key != space.default.key
    )


def best(results: Sequence[Result], bounds: Bounds) -> Optional[Result]:
    """What answers most within the bounds; None: nothing is."""
    within = [(point.throughput, result) for result in results if (point := bounds.best(result)) is not None]
    return max(within, key=lambda item: item[0])[1] if within else None
