"""The verdict on the candidates of one model, on samples that no search has seen, and the choice among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Optional

from toolkit.data.dataset import VALIDATION
from toolkit.evaluation import gate
from toolkit.evaluation.gate import Candidate, Decision, Option, Policy, Verdict
from toolkit.evaluation.metrics import Counts
from toolkit.evaluation.paired import Difference
from toolkit.evaluation.ratios import METRICS, Metric
from toolkit.quantization.recipe import Recipe
from toolkit.stages import measure
from toolkit.stages.context import Context
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.variants import Variant

# Of a candidate that no other one is preferred to for what it loses.
_BEST = Difference(
    reference=0.0,
    candidate=1.0,
    drop=-math.inf,
    lower=-math.inf,
    upper=-math.inf,
    samples=0,
    better=0,
    worse=0,
    confidence=1.0,
    relative=False,
)


@dataclass
class Judged:
    """One model's candidates on the way to a choice.

    Attributes:
        everything: the reference, then the candidates in float, then the proposals of the search.
        figures: what was timed.
        searched: the record of the search; None: INT8 is no candidate.
        verdicts: on those that were judged.
        rejected: what may not be served for the sake of the whole pipeline.
        chosen: what is served; the reference until `decide`.
        failure: why nothing may be served.
        fastest: what `prefer: latency` would have taken.
    """

    context: Context
    data: DatasetRef
    policy: Policy
    everything: Sequence[Variant]
    figures: Mapping[Variant, Mapping[str, Any]]
    searched: Optional[Mapping[str, Any]]
    verdicts: dict[Variant, Verdict] = field(default_factory=dict)
    rejected: list[Variant] = field(default_factory=list)
    failure: Optional[str] = None

    def __post_init__(self) -> None:
        self.native = self.chosen = self.fastest = self.everything[0]
        self.floats = [item for item in self.everything[1:] if item.options.precision != "int8"]
        self.proposals = self._in_order(
            [item for item in self.everything if item.options.precision == "int8"]
        )
        self._pending: list[Future[Any]] = []

    @property
    def name(self) -> str:
        """Of the model."""
        return self.native.model

    @property
    def metric(self) -> Metric:
        """That of the model."""
        return METRICS[self.context.spec.models[self.name].metric]

    @property
    def forced(self) -> bool:
        """Whether only one precision may be served, so that there is no other candidate to take."""
        return self.context.forced(self.name) is not None

    @property
    def drop(self) -> float:
        """Points that the chosen variant loses."""
        return _drop(self.verdicts.get(self.chosen))

    @property
    def shown(self) -> Variant:
        """What is served; where nothing may be, what came furthest, to show what it would do."""
        if self.failure is None:
            return self.chosen
        ran = [item for item, verdict in self.verdicts.items() if verdict.difference is not None]
        return min(ran, key=lambda item: _drop(self.verdicts[item]), default=self.native)

    @property
    def inconclusive(self) -> bool:
        """Whether a failure is for want of samples: a candidate was not proven to fail, and the policy wants proof."""
        undecided = any(item.status == "inconclusive" for item in self.verdicts.values())
        return self.failure is not None and undecided and self.policy.inconclusive != "accept"

    def rows_of_search(self) -> dict[Recipe, Mapping[str, Any]]:
        """What the search learnt of each recipe."""
        return {Recipe.from_json(row["recipe"]): row for row in (self.searched or {}).get("rows", ())}

    def measure(self, pool: Executor) -> None:
        """Begin with what is needed in all likelihood, the reference first, since it takes longest."""
        first = [self.native, *self.proposals[:1], *(self._plain if self.proposals else self.floats)]
        self._pending = [pool.submit(self._begin, item) for item in first]

    def decide(self) -> None:
        """Judge FP32, proposals until one may be served, and what else is in float where it would be preferred; choose.

        One verdict more gives luck one chance more, so none is asked for that is not needed.
        """
        for future in self._pending:
            future.result()
        for item in self._plain:
            self.verdicts[item] = self.judge(item)
        self._settle()

    def step_back(self, decision: Decision) -> None:
        """Choose again, without what is chosen now; of a `decision` for `fp32`, without all that is less precise."""
        less = [item for item in self.everything[1:] if item.options.precision != "fp32"]
        self.rejected += [self.chosen, *(less if decision == "fp32" else ())]
        self._settle()

    def narrowed(self, context: Context) -> Judged:
        """The same model with the options of `context`, decided by the measurements that are there.

        What was not measured is no candidate.
        """
        allowed = context.candidates_of(self.name)
        # What one goes back to needs no other engine than Paddle's.
        kept = [item for item in self.floats if item.options.precision in allowed and item.engine == "paddle"]
        verdicts = {item: self.verdicts[item] for item in kept if item in self.verdicts}
        found = Judged(context, self.data, self.policy, [self.native, *kept], self.figures, None, verdicts)
        found._choose()
        return found

    def judge(self, item: Variant, level: Optional[str] = None) -> Verdict:
        """The verdict on a variant, at a level of instruction sets; the reference is always that of this machine."""
        proof = measure.prove(self.context, item, level)
        problem, counts = measure.problem_of(proof), None
        if problem is None:
            if level and measure.runs_alike(self.context, item, level):
                level = None
            measured = measure.run_model(self.context, self.data, item, VALIDATION, level=level)
            problem, counts = measure.problem_of(measured), measure.counts_of(measured)
        precision, share = item.options.precision, proof.info.get("share")
        candidate = Candidate(item.label, precision, None if problem else counts, share, problem)
        return gate.judge(self.counts(), candidate, self.metric, self.policy)

    def same_as(self, item: Variant) -> Optional[Variant]:
        """The variant of `everything` that is the same as `item`."""
        same = (one for one in self.everything if one.source.key == item.source.key)
        return next((one for one in same if one.options == item.options), None)

    def counts(self) -> Sequence[Counts]:
        """Of the reference."""
        measured = measure.run_model(self.context, self.data, self.native, VALIDATION)
        return measure.counts_of(measured) or ()

    def _begin(self, item: Variant) -> None:
        """Measure; what has proven not to run is left alone."""
        if item is self.native or measure.problem_of(measure.prove(self.context, item)) is None:
            measure.run_model(self.context, self.data, item, VALIDATION)

    @property
    def _plain(self) -> list[Variant]:
        """FP32 in Paddle, which is what one goes back to."""
        return [item for item in self.floats if item.options.precision == "fp32" and item.engine == "paddle"]

    def _settle(self) -> None:
        self._judge_proposals()
        self._choose()
        # Each verdict may be what makes another one matter.
        while (item := self._next()) is not None:
            self.verdicts[item] = self.judge(item)
            self._choose()

    def _next(self) -> Optional[Variant]:
        left = (item for item in self.floats if item not in self.verdicts and item not in self.rejected)
        return next((item for item in left if self._matters(item)), None)

    def _matters(self, item: Variant) -> bool:
        """Whether a verdict is asked for, costs nothing, or may change what is chosen or said to be the fastest."""
        if self.forced or self.figures[item]["ratio"] is None:
            return True
        ideal = Verdict(item.label, item.options.precision, "pass", _BEST, None, "")
        options = [self._option(one, verdict) for one, verdict in self._left().items()]
        option = self._option(item, ideal)
        choice = gate.choose([*options, option], self.policy)
        return option in (choice.chosen, choice.fastest)

    def _judge_proposals(self) -> None:
        for item in self.proposals:
            if item in self.rejected:
                continue
            if item not in self.verdicts:
                self.verdicts[item] = self.judge(item)
            if gate.decide(self.verdicts[item], self.policy) != "next":
                return

    def _choose(self) -> None:
        left = self._left()
        options = [self._option(item, verdict) for item, verdict in left.items()]
        choice = gate.choose(options, self.policy)

        def variant(taken: Optional[Option]) -> Variant:
            return next((item for item, option in zip(left, options) if option is taken), self.native)

        self.chosen, self.fastest = variant(choice.chosen), variant(choice.fastest)
        self.failure = self._failure()

    def _left(self) -> dict[Variant, Verdict]:
        """The verdicts on what may still be chosen."""
        return {item: verdict for item, verdict in self.verdicts.items() if item not in self.rejected}

    def _option(self, item: Variant, verdict: Verdict) -> Option:
        figures, size = self.figures[item], int(item.source.info["bytes"])
        return Option(verdict, figures["milliseconds"], figures["ratio"], size, figures["spread"])

    def _failure(self) -> Optional[str]:
        """Only who allows one precision alone can fail: there is always native FP32 otherwise."""
        wanted = self.context.forced(self.name)
        if wanted is None or self.chosen.options.precision == wanted:
            return None
        if not self.verdicts:
            return f"{self.name}: {wanted} was asked for, {self._nothing_tried(wanted)}"
        best = min(self.verdicts, key=lambda item: _drop(self.verdicts[item]))
        why = self.verdicts[best].reason
        if gate.decide(self.verdicts[best], self.policy) == "serve":
            timed = self.figures[best]["ratio"] is not None
            why = "is not faster than native FP32" if timed else "did not run when its time was measured"
        return f"{self.name}: {wanted} was asked for, but it {why}"

    def _nothing_tried(self, wanted: str) -> str:
        if wanted == "bf16":
            return "which this CPU has no instructions for"
        searched = self.searched or {}
        problems = [row["problem"] for row in searched.get("rows", ())]
        ends = (race["stopped"] for race in searched.get("races", ()) if race["stopped"])
        crashed = problems[0] if problems and all(problems) else None
        why = str(searched.get("problem") or crashed or next(ends, "")).partition("\n")[0]
        return "but the search has found no candidate" + (f": {why}" if why else "")

    def _in_order(self, proposals: Sequence[Variant]) -> list[Variant]:
        """The cheapest first; among those that cost the same within noise, the one that lost least in the search."""
        left, ordered = list(proposals), []
        rows = self.rows_of_search()
        lost = {item: rows[item.recipe]["drop"] or 0.0 for item in left if item.recipe in rows}
        while left:
            first = min(left, key=self._cost)
            same = [item for item in left if self._costs_like(item, first)]
            ordered.append(min(same, key=lambda item: (lost.get(item, 0.0), self._cost(item))))
            left.remove(ordered[-1])
        return ordered

    def _costs_like(self, item: Variant, first: Variant) -> bool:
        noise = max(gate.noise(self.figures[one]["spread"]) for one in (item, first))
        return self._cost(item) <= self._cost(first) * (1 + noise)

    def _cost(self, item: Variant) -> float:
        if self.policy.prefer == "size":
            return float(item.source.info["bytes"])
        ratio = self.figures[item]["ratio"]
        return 1 / float(ratio) if ratio else math.inf


def _drop(verdict: Optional[Verdict]) -> float:
    """Points; far more than there are of what did not run."""
    if verdict is None:
        return 0.0
    return verdict.difference.drop if verdict.difference else math.inf
