"""How far the answers of two models to the same arrays are apart, and whether that is too far."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from .refusal import OTHER_SIZES, RefusedError, first_line

# By how much floats of an output may differ, as a share of its largest value, and beside that; see docs/onnx.md.
TOLERANCE, _LEAST = 1e-4, 1e-6

_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}

Trials = Sequence[Mapping[str, Sequence[int]]]


@dataclass(frozen=True)
class Side:
    """One of both models.

    Attributes:
        name: of it, or of what runs it, in words.
        run: its outputs, in their order, for arrays by the names of inputs.
    """

    name: str
    run: Callable[[Mapping[str, Any]], Sequence[Any]]


def compared(expected: Side, found: Side, session: Any, trials: Trials) -> Iterator[dict[str, Any]]:
    """For each trial its `shapes`, and `differences` by output, or why `expected` did not run (`skipped`).

    Args:
        session: of ONNX Runtime, which knows types of inputs, and names of both.

    Raises:
        RefusedError: the answers are too far apart, or `found` does not answer, or `expected` never does.
    """
    generator = np.random.default_rng(0)
    reason = ""
    ran = False
    outputs = [item.name for item in session.get_outputs()]
    for shapes in trials:
        feed = {item.name: _values(generator, item.type, shapes[item.name]) for item in session.get_inputs()}
        tried = ", ".join(f"{name} {list(array.shape)}" for name, array in feed.items())
        try:
            right = expected.run(feed)
        except Exception as error:
            reason = first_line(error)
            yield {"shapes": dict(shapes), "skipped": reason}
            continue
        ran = True
        pairs = zip(outputs, right, _answers(found, expected, feed, tried))
        differences = {name: _Trial(expected, found, tried).difference(name, *pair) for name, *pair in pairs}
        yield {"shapes": dict(shapes), "differences": differences}
    if not ran:
        raise RefusedError(
            f"the answers cannot be compared, since {expected.name} does not take {tried}: {reason}",
            OTHER_SIZES,
        )


def _values(generator: Any, type_: str, shape: Sequence[int]) -> Any:
    """Floats are noise around a mean of its own for each sample and channel, since noise alone is the same to a network
    that averages; integers zeros and ones, which every vocabulary has; bytes anything.
    """
    if type_ in _DTYPES:
        means = generator.standard_normal([*shape[:2], *(1 for _ in shape[2:])])
        return (means + generator.standard_normal(shape)).astype(_DTYPES[type_])
    try:
        dtype = np.dtype(type_[len("tensor(") : -1])
    except TypeError:
        raise RefusedError(
            f"an input is of {type_}, for which no values can be made to compare answers with"
        ) from None
    return generator.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)


def _answers(found: Side, expected: Side, feed: Mapping[str, Any], tried: str) -> Sequence[Any]:
    try:
        return found.run(feed)
    except Exception as error:
        traceback.print_exc()
        raise RefusedError(
            f"{found.name} does not run with {tried}, which {expected.name} does: {first_line(error)}"
        ) from error


@dataclass(frozen=True)
class _Trial:
    expected: Side
    found: Side
    tried: str

    def difference(self, name: str, expected: Any, found: Any) -> float:
        """The largest of the output `name`, as a share of the largest value that is expected.

        Raises:
            RefusedError: it is more than may be.
        """
        if expected.shape != found.shape:
            raise RefusedError(
                f"{self.found.name} gives {name} {list(found.shape)}, {self.expected.name} {list(expected.shape)}, "
                f"with {self.tried}"
            )
        left, right = expected.astype("float64"), found.astype("float64")
        finite = np.isfinite(left)
        if not np.array_equal(left[~finite], right[~finite], equal_nan=True):
            raise RefusedError(
                f"of {name}, other values are infinite or no numbers than in {self.expected.name}, with {self.tried}"
            )
        largest = float(np.max(np.abs(left[finite]), initial=0))
        difference = float(np.max(np.abs(left[finite] - right[finite]), initial=0))
        allowed = TOLERANCE * largest + _LEAST if expected.dtype.kind == "f" else 0
        if not difference <= allowed:
            raise RefusedError(
                f"{name} of {self.found.name} differs from {self.expected.name}'s by up to {difference:.3g}, where the "
                f"largest value is {largest:.3g} and {allowed:.1g} may be, with {self.tried}"
            )
        return difference / largest if largest else 0.0
