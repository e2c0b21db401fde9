"""optimize: exact rewrites of the FP32 program, each checked on real inputs; runs in a child process."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

import numpy as np

from toolkit.child import Progress
from toolkit.engines import graph as graphs
from toolkit.engines import layers, model, signature
from toolkit.engines.graph import Graph
from toolkit.engines.options import PredictorOptions
from toolkit.engines.predictor import Feed, Fetch
from toolkit.engines.rewrites import REWRITES, linear
from toolkit.engines.rewrites import chain as chains
from toolkit.engines.selection import without_selection
from toolkit.errors import DataError, ModelError, ToolkitError

# Largest change of an output value, relative to the largest value of that output.
TOLERANCE = 1e-5
# A network that multiplies rounding errors changes by more than that from one engine to the other, without any rewrite
# (a detector's probabilities by 3e-5, at the edges of letters). Twice as much is then allowed, up to this.
ROUNDING = 1e-4

_ELEMENTWISE = ("elementwise_add", "elementwise_sub", "elementwise_mul", "elementwise_div", "scale")


@dataclass(frozen=True)
class Outcome:
    """What became of one rewrite.

    Attributes:
        count: how often it was taken; 0 where it found nothing, or was refused.
        difference: see `difference`; of the model up to this rewrite, against the original. None where nothing ran.
        refused: why it was dropped.
    """

    name: str
    count: int
    difference: Optional[float] = None
    refused: Optional[str] = None


def optimize(source: str, target: str, feeds: Sequence[str], progress: Progress) -> dict[str, Any]:
    """Rewrite the FP32 model in `source` and write it to `target`, under the same names.

    Args:
        feeds: .npz files with real inputs, arrays by input name. A rewrite after which an output differs by more than
            the tolerance, in Paddle's own kernels, is dropped.

    Returns:
        The size in bytes, operators before and after, what became of each rewrite, and the tolerance.

    Raises:
        DataError: there is no feed.
        ModelError: the model cannot be read or run.
    """
    graph = graphs.read(model.files_in(Path(source)))
    before = count_operators(graph)
    check = Check(Path(source), feeds)
    outcomes = []
    for number, rewrite in enumerate(REWRITES):
        graph, outcome = attempt(graph, rewrite, check)
        outcomes.append(outcome)
        progress(number + 1, len(REWRITES))
    graph.write(Path(target))
    signature.read(Path(source)).write(Path(target))
    return {
        "bytes": model.files_in(Path(target)).size,
        "before": before,
        "after": count_operators(graph),
        "rewrites": [asdict(outcome) for outcome in outcomes],
        "kinds": sorted({layer.kind for layer in layers.layers_of(graph) if layer.weight is not None}),
        "feeds": len(feeds),
        "tolerance": check.tolerance,
    }


class Check:
    """The original model's answers to real inputs, which a rewritten one is compared with.

    Where a program ends in an operator that selects, its answer is what that selects from.

    Attributes:
        tolerance: `TOLERANCE`; more, up to `ROUNDING`, where the original itself differs so from engine to engine.
    """

    def __init__(self, source: Path, feeds: Sequence[str]) -> None:
        """Run the model in `source` with `feeds`, .npz files with arrays by input name.

        Raises:
            DataError: there is no feed.
            ModelError: the model cannot be run.
        """
        if not feeds:
            raise DataError("there is no input to check the rewritten model with", where=str(source))
        self._feeds = [_load(Path(path)) for path in feeds]
        original = graphs.read(model.files_in(source))
        self._references = self._answers(original, PredictorOptions())
        self.tolerance = min(max(TOLERANCE, 2 * self._rounding(original)), ROUNDING)

    def difference(self, graph: Graph) -> float:
        """The largest difference of `graph` to the original over all inputs, in Paddle's own kernels.

        Raises:
            ModelError: it cannot be loaded or run.
        """
        return self._against(graph, PredictorOptions())

    def _rounding(self, original: Graph) -> float:
        """What the original differs by in oneDNN, which sums in another order; 0 where it does not run there."""
        try:
            return self._against(original, PredictorOptions(backend="onednn"))
        except ModelError:
            return 0.0

    def _against(self, graph: Graph, options: PredictorOptions) -> float:
        return max(map(difference, self._references, self._answers(graph, options)))

    def _answers(self, graph: Graph, options: PredictorOptions) -> list[Fetch]:
        with tempfile.TemporaryDirectory() as folder:
            without_selection(graph).write(Path(folder))
            run = model.load(Path(folder), options)
        return [run(feed) for feed in self._feeds]


def attempt(graph: Graph, rewrite: ModuleType, check: Check) -> tuple[Graph, Outcome]:
    """The graph after `rewrite`, or `graph` itself where it finds nothing, fails, or changes what the model answers."""
    name, candidate = str(rewrite.NAME), graph.copy()
    try:
        count = int(rewrite.apply(candidate))
        if count == 0:
            return graph, Outcome(name, 0)
        candidate.prune()
        _check_reads(candidate, graph)
        found = check.difference(candidate)
    except ToolkitError as error:
        return graph, Outcome(name, 0, refused=error.message)
    except Exception as error:
        # Whatever a rewrite trips over, the model before it is whole.
        return graph, Outcome(name, 0, refused=f"{type(error).__name__}: {error}")
    if found > check.tolerance:
        reason = f"an output changes by {found:.1e} of its largest value, {check.tolerance:.1e} is allowed"
        return graph, Outcome(name, 0, found if np.isfinite(found) else None, reason)
    return candidate, Outcome(name, count, found)


def _check_reads(candidate: Graph, original: Graph) -> None:
    """Refuse a program that reads what nothing wrote: loading it crashes the engine.

    Raises:
        ModelError: names the tensors.
    """
    missing = _unwritten(candidate) - _unwritten(original)
    if missing:
        raise ModelError(f"the program reads {', '.join(sorted(missing))} before anything writes it")


def _unwritten(graph: Graph) -> set[str]:
    known, missing = set(graph.weights), set()
    for op in graph.ops:
        missing |= set(graphs.read_by(op)) - known
        known |= set(graphs.written(op))
    return missing


def difference(reference: Fetch, outputs: Fetch) -> float:
    """max |output - reference| / max |reference|, the largest over the outputs; infinite where that says nothing.

    Outputs are compared by their order, since what a selecting operator reads has no name that rewrites keep.
    """
    return max(map(_relative, reference.values(), outputs.values()))


def count_operators(graph: Graph) -> dict[str, int]:
    """Number of operators, and of element-wise ones among them that cost a pass over a tensor.

    Those are additions, multiplications and the like on float32, without the biases of layers, which engines fuse.
    """
    ops = [op for op in graph.ops if op.type not in ("feed", "fetch")]
    linears = [layer for layer in (linear.linear_of(graph, op) for op in ops) if layer is not None]
    biases = {id(linear.bias_of(graph, layer)) for layer in linears}
    costly = [
        op
        for op in ops
        if op.type in _ELEMENTWISE
        and id(op) not in biases
        and chains.is_float32(graph, graphs.output(op, "Out"))
    ]
    return {"operators": len(ops), "elementwise": len(costly)}


def _load(path: Path) -> Feed:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _relative(reference: np.ndarray[Any, Any], output: np.ndarray[Any, Any]) -> float:
    if reference.shape != output.shape or not np.isfinite(output).all() or not np.isfinite(reference).all():
        return float("inf")
    if reference.size == 0:
        return 0.0
    change = np.abs(output.astype(np.float64) - reference.astype(np.float64)).max()
    largest = np.abs(reference.astype(np.float64)).max()
    return float(change / largest) if largest else (0.0 if change == 0 else float("inf"))
