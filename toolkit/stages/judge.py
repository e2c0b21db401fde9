"""The verdict on the candidates of one model, on samples that no search has seen, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, Optional

import numpy as np

from toolkit import cpu
from toolkit.data.dataset import VALIDATION
from toolkit.engines import kernels
from toolkit.evaluation import gate
from toolkit.evaluation.gate import Candidate, Option, Policy, Verdict
from toolkit.evaluation.metrics import Counts
from toolkit.evaluation.ratios import METRICS, Metric
from toolkit.stages import measure, variants
from toolkit.stages.context import Context
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.variants import Variant


@dataclass
class Judged:
    """One model's candidates on the way to a choice.

    Attributes:
        everything: the reference, then the candidates in float, then the proposals of the search.
        figures: what was timed.
        searched: the record of the search; None: INT8 is no candidate.
        chosen: what is served; the reference until `decide`.
        failure: why nothing may be served.
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
    fastest: Optional[str] = None

    def __post_init__(self) -> None:
        self.native = self.everything[0]
        self.chosen = self.native
        self.floats = [item for item in self.everything[1:] if item.options.precision != "int8"]
        self.proposals = self._in_order(
            [item for item in self.everything if item.options.precision == "int8"]
        )

    @property
    def name(self) -> str:
        """Of the model."""
        return self.native.model

    @property
    def metric(self) -> Metric:
        """That of the model."""
        return METRICS[self.context.spec.models[self.name].metric]

    @property
    def drop(self) -> float:
        """Points that the chosen variant loses."""
        verdict = self.verdicts.get(self.chosen)
        return verdict.difference.drop if verdict and verdict.difference else 0.0

    @property
    def inconclusive(self) -> bool:
        """Whether a failure is for want of samples: a candidate was not proven to fail, and the policy wants proof."""
        undecided = any(item.status == "inconclusive" for item in self.verdicts.values())
        return self.failure is not None and undecided and self.policy.inconclusive != "accept"

    def measure(self, pool: Executor) -> None:
        """Begin with what is needed in any case, the reference first, since it takes longest."""
        first = [self.native, *self.proposals[:1], *self.floats]
        self._pending = [pool.submit(self._run, item) for item in first]

    def decide(self) -> None:
        """Judge the candidates in float, and proposals until one may be served; choose.

        One verdict more gives luck one chance more, so no proposal is judged that is not needed.
        """
        for future in self._pending:
            future.result()
        for item in self.floats:
            self.verdicts[item] = self._judge(item)
        self._judge_proposals()
        self._choose()

    def step_back(self) -> bool:
        """Choose again, without what is chosen now; False if that is the reference."""
        if self.chosen is self.native:
            return False
        self.rejected.append(self.chosen)
        self._judge_proposals()
        self._choose()
        return True

    def _judge_proposals(self) -> None:
        for item in self.proposals:
            if item in self.rejected:
                continue
            if item not in self.verdicts:
                self.verdicts[item] = self._judge(item)
            if gate.decide(self.verdicts[item], self.policy) != "next":
                return

    def _choose(self) -> None:
        options = [self._option(item) for item in self.verdicts if item not in self.rejected]
        choice = gate.choose(options, self.policy)
        by_label = {item.label: item for item in self.everything}
        self.chosen = by_label[choice.chosen.verdict.label] if choice.chosen else self.native
        self.fastest = choice.fastest.verdict.label if choice.fastest else "native"
        self.failure = self._failure()

    def _failure(self) -> Optional[str]:
        """Only who allows one precision alone can fail: there is always native FP32 otherwise."""
        wanted = self.context.precision
        if wanted not in ("int8", "bf16") or self.chosen.options.precision == wanted:
            return None
        tried = [self.verdicts[item] for item in self.everything if item in self.verdicts]
        if not tried and wanted == "bf16":
            return f"{self.name}: bf16 was asked for, which this CPU has no instructions for"
        if not tried:
            rows = self.searched["rows"] if self.searched else []
            problem = next((row["problem"] for row in rows if row["problem"]), "there is no candidate")
            return f"{self.name}: {wanted} was asked for, but {problem}"
        best = min(tried, key=lambda item: item.difference.drop if item.difference else 100.0)
        why = best.reason if gate.decide(best, self.policy) != "serve" else "it is slower than native FP32"
        return f"{self.name}: {wanted} was asked for, but it {why}"

    def _in_order(self, proposals: Sequence[Variant]) -> list[Variant]:
        """The cheapest first; among those that cost the same within noise, the one that lost least in the search."""
        left, ordered = list(proposals), []
        lost = {row["label"]: row["drop"] for row in (self.searched or {}).get("rows", [])}
        while left:
            least = min(self._cost(item) for item in left)
            same = [item for item in left if self._cost(item) <= least * (1 + gate.NOISE)]
            ordered.append(min(same, key=lambda item: (lost.get(item.label, 0.0), self._cost(item))))
            left.remove(ordered[-1])
        return ordered

    def _cost(self, item: Variant) -> float:
        if self.policy.prefer == "size":
            return float(item.source.info["bytes"])
        return float(self.figures[item]["milliseconds"])

    def _run(self, item: Variant, level: Optional[str] = None) -> Optional[list[Counts]]:
        return measure.counts_of(measure.run_model(self.context, self.data, item, VALIDATION, level=level))

    def _judge(self, item: Variant, level: Optional[str] = None) -> Verdict:
        counts, proof = self._run(item, level), measure.prove(self.context, item, level).info
        problem = proof["problem"] or measure.run_model(
            self.context, self.data, item, VALIDATION, level=level
        ).info.get("problem")
        candidate = Candidate(
            item.label,
            item.options.precision,
            None if problem else counts,
            proof.get("share"),
            f"crashed: {problem}" if problem else None,
        )
        return gate.judge(self._run(self.native) or [], candidate, self.metric, self.policy)

    def _option(self, item: Variant) -> Option:
        milliseconds = float(self.figures[item]["milliseconds"])
        ratio = float(self.figures[self.native]["milliseconds"]) / milliseconds
        return Option(self.verdicts[item], milliseconds, ratio, int(item.source.info["bytes"]))

    def at_lesser_levels(self, pool: Executor) -> dict[str, Any]:
        """For each lesser CPU that the spec names, what would be served there: the choice, else FP32, else native.

        Other instructions give other numbers (INT8 saturates without VNNI), so each is measured by itself.
        """
        levels = [item for item in cpu.levels_below() if item in self.context.spec.gate.levels]
        return dict(zip(levels, pool.map(self._at, levels)))

    def _at(self, level: str) -> dict[str, Any]:
        tried = []
        for item in self._portable():
            verdict = self._judge(item, level)
            tried.append(described(verdict))
            if gate.decide(verdict, self.policy) == "serve":
                return {"label": item.label, "serving": serving(item), "verdict": tried[-1], "tried": tried}
        return {"label": "native", "serving": serving(self.native), "verdict": None, "tried": tried}

    def _portable(self) -> list[Variant]:
        """What may run on lesser CPUs: INT8 that may be served here, without bf16 beside it, and FP32."""
        served = [
            item
            for item in self.proposals
            if item in self.verdicts and gate.decide(self.verdicts[item], self.policy) == "serve"
        ]
        recipes = [replace(item.recipe, rest="fp32") for item in served[:1] if item.recipe]
        found = [variants.int8(self.context, self.name, recipe) for recipe in recipes]
        return [*found, variants.plain(self.context, self.name, "fp32")]

    def to_json(self) -> dict[str, Any]:
        """What the evaluation records of the model."""
        searched = self.searched or {}
        return {
            "metric": self.context.spec.models[self.name].metric,
            "chosen": self.chosen.label,
            "serving": serving(self.chosen),
            "sentence": self._sentence(),
            "would_take": {"latency": self.fastest},
            "candidates": self._rows(),
            "races": searched.get("races", []),
            "fallback": searched.get("fallback"),
        }

    def _sentence(self) -> str:
        if self.failure:
            return self.failure
        title = {"native": "native FP32", "int8": "INT8", "bf16": "bf16", "fp32": "FP32 in oneDNN"}
        served = title[self.chosen.options.label]
        verdict = self.verdicts.get(self.chosen)
        text = f"{self.name} is served in {served}"
        if verdict is not None:
            recipe = f" ({self.chosen.label.partition(' ')[2]})" if self.chosen.recipe else ""
            text += f"{recipe}: it {verdict.reason}"
        else:
            text += ": no candidate is faster and keeps its accuracy"
        if self.fastest != self.chosen.label:
            text += f"; the fastest that passes is {self.fastest}"
        return text

    def _rows(self) -> list[dict[str, Any]]:
        known = {row["label"]: row for row in (self.searched or {}).get("rows", [])}
        rows = [self._row(item, known.get(item.label)) for item in self.everything]
        shown = {item.label for item in self.everything}
        return rows + [_searched_only(row) for label, row in known.items() if label not in shown]

    def _row(self, item: Variant, row: Optional[Mapping[str, Any]]) -> dict[str, Any]:
        figures, verdict = self.figures[item], self.verdicts.get(item)
        native = item is self.native
        proof = {} if native else measure.prove(self.context, item).info
        measured: Mapping[str, Any] = {}
        if native or verdict is not None:
            measured = measure.run_model(self.context, self.data, item, VALIDATION).info
        reference = value_of(self.metric, self._run(item) or []) if native else None
        return {
            "label": item.label,
            "precision": item.options.label,
            "recipe": item.recipe.to_json() if item.recipe else None,
            "search": _search_part(row),
            "verdict": {"value": reference} if native else described(verdict),
            **figures,
            "ratio": round(self.figures[self.native]["milliseconds"] / figures["milliseconds"], 2),
            "bytes": item.source.info["bytes"],
            "memory_mb": measured.get("memory_mb"),
            "kernels": kernels.describe(proof, item.options.precision) if proof.get("macs") else "",
            "share": _shares(proof),
            "problem": proof.get("problem") or measured.get("problem"),
        }


def value_of(metric: Metric, counts: Sequence[Counts]) -> float:
    """The figure of all samples."""
    return float(metric.values(counts, np.ones((1, len(counts))))[0])


def of_whole(before: Sequence[Counts], after: Sequence[Counts], metric: Metric, policy: Policy) -> Verdict:
    """The verdict on whole answers; what precision the models run in does not matter here."""
    return gate.judge(before, Candidate("served", "pipeline", after), metric, policy)


def described(verdict: Optional[Verdict]) -> Optional[dict[str, Any]]:
    """A verdict as the evaluation records it, flat."""
    if verdict is None:
        return None
    difference = verdict.difference
    found = {"outcome": verdict.status, "needed": verdict.needed, "reason": verdict.reason}
    if difference is None:
        return found
    return {
        **found,
        "value": difference.candidate,
        "drop": difference.drop,
        "lower": difference.lower,
        "upper": difference.upper,
        "samples": difference.samples,
        "better": difference.better,
        "worse": difference.worse,
    }


def serving(item: Variant) -> dict[str, Any]:
    """What it takes to make this variant again."""
    return {
        "label": item.label,
        "precision": item.options.label,
        "recipe": item.recipe.to_json() if item.recipe else None,
        "options": item.options.to_json(),
        "options_digest": item.options.digest,
    }


def _search_part(row: Optional[Mapping[str, Any]]) -> Optional[dict[str, Any]]:
    return {key: row[key] for key in ("value", "drop", "samples", "dropped")} if row else None


def _searched_only(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": row["label"],
        "precision": "int8",
        "recipe": row["recipe"],
        "search": _search_part(row),
        "verdict": None,
        "milliseconds": None,
        "p99": None,
        "ratio": None,
        "bytes": row.get("bytes"),
        "memory_mb": None,
        "kernels": "",
        "share": None,
        "problem": row["problem"],
    }


def _shares(proof: Mapping[str, Any]) -> Optional[dict[str, float]]:
    macs = proof.get("macs")
    if not macs:
        return None
    whole = max(1, sum(macs.values()))
    return {name: round(number / whole, 4) for name, number in macs.items()}
