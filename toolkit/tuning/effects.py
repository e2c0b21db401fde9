"""A simple model of the results: each value of a parameter makes the service so many times as fast, whatever else.

So the logarithm of the score is a sum of main effects, found by least squares over what was measured; the spread of
what is left says how far the model is off, interactions included.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.tuning.space import Configuration

# The least spread: what a phase of seconds repeats to. Of as many results as effects, nothing would be left.
_NOISE = 0.05


class Effects:
    """
    Args:
        measured: configurations, which have each value that is asked for at least once.
        scores: of each, above 0.

    Attributes:
        spread: standard deviation of the logarithm around the model.
    """

    def __init__(self, measured: Sequence[Configuration], scores: Sequence[float]) -> None:
        names = {pair: None for each in measured for pair in _pairs(each)}
        self._columns = {pair: number for number, pair in enumerate(names)}
        rows = np.stack([self._row(each) for each in measured])
        logs = np.log(np.asarray(scores, dtype=float))
        self._effects, _, rank, _ = np.linalg.lstsq(rows, logs, rcond=None)
        free = len(measured) - int(rank)
        left = float(np.sum((logs - rows @ self._effects) ** 2))
        self.spread = max(_NOISE, math.sqrt(left / free) if free else 0.0)

    def score(self, configuration: Configuration) -> float:
        """What it may be expected to reach."""
        return float(np.exp(self._row(configuration) @ self._effects))

    def hopeful(self, configuration: Configuration) -> float:
        """What it reaches if the model is off by as much as it usually is at most."""
        return self.score(configuration) * math.exp(2 * self.spread)

    def _row(self, configuration: Configuration) -> np.ndarray[Any, Any]:
        row = np.zeros(len(self._columns))
        for pair in _pairs(configuration):
            if pair in self._columns:
                row[self._columns[pair]] = 1.0
        return row


def _pairs(configuration: Configuration) -> list[tuple[str, str]]:
    return [(name, json.dumps(value)) for name, value in configuration.values.items()]
