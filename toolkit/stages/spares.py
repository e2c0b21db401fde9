"""What a release carries beside what it serves: FP32 to go back to, and what lesser CPUs run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any, Optional

from toolkit.evaluation.gate import Policy
from toolkit.serving.release import FP32, at_level
from toolkit.stages import measure, rows, variants, whole
from toolkit.stages.context import Context
from toolkit.stages.dataset import DatasetRef
from toolkit.stages.judge import Judged
from toolkit.stages.variants import Variant
from toolkit.stages.whole import Whole
from toolkit.store.artifact import Artifact


@dataclass(frozen=True)
class Spare:
    """The models of a whole release in other variants.

    Attributes:
        verdicts: the gate's on each model, `pass` or `inconclusive`; empty for the reference.
        answers: to the golden images, as this very spare gave them.
        end_to_end: the verdict on whole answers; None: they were not judged.
        agreement: of whole answers with native FP32's, see `toolkit.stages.whole.agreement_of`; None: not measured.
    """

    models: Mapping[str, Variant]
    verdicts: Mapping[str, str]
    answers: Sequence[Any]
    end_to_end: Optional[Mapping[str, Any]] = None
    agreement: Optional[Mapping[str, Any]] = None

    def to_json(self) -> dict[str, Any]:
        """As the evaluation records it; the answers lie beside, in golden requests."""
        models = {
            name: {**rows.serving(item), "outcome": self.verdicts[name]} for name, item in self.models.items()
        }
        return {"models": models, "end_to_end": self.end_to_end, "agreement": self.agreement}


def find(
    context: Context,
    data: DatasetRef,
    judged: Mapping[str, Judged],
    kept: Mapping[str, Mapping[str, Any]],
    reference: Artifact,
    answers: Sequence[Any],
    fp32: Future[Spare],
    pool: Executor,
) -> dict[str, Spare]:
    """The spares of what is served, by their place in the release.

    Args:
        kept: what `toolkit.stages.levels` keeps of each model.
        reference: whole answers of native FP32.
        answers: those of what is served.
        fp32: what `of_fp32` finds.
    """
    chosen = {name: item.chosen for name, item in judged.items()}
    if all(item.options.precision == "fp32" and item.engine == "paddle" for item in chosen.values()):
        # It is what one would go back to, and instruction sets change nothing of it but its speed.
        return {}
    levels = sorted({level for entry in kept.values() for level in entry})
    lessers = pool.map(lambda level: _at_level(context, data, level, judged, kept, fp32, reference), levels)
    found = {FP32: fp32.result()}
    for level, lesser in zip(levels, lessers):
        same = all(rows.serving(lesser.models[name]) == rows.serving(item) for name, item in chosen.items())
        if not same or list(lesser.answers) != list(answers[: len(lesser.answers)]):
            found[at_level(level)] = lesser
    return found


def of_fp32(
    context: Context, data: DatasetRef, policy: Policy, judged: Mapping[str, Judged], reference: Artifact
) -> Spare:
    """What `PRECISION=fp32` would serve in Paddle, by the measurements that are there."""
    asked = replace(context, precision="fp32")
    again = {name: item.narrowed(asked) for name, item in judged.items()}
    settled: Whole = whole.settle(asked, data, policy, again, reference)
    verdicts = {name: item.verdicts.get(item.chosen) for name, item in again.items()}
    return Spare(
        {name: item.chosen for name, item in again.items()},
        {name: item.status if item else "" for name, item in verdicts.items()},
        settled.answers.info["answers"][: context.spec.golden],
        rows.described(settled.verdict),
        settled.agreement,
    )


def _at_level(
    context: Context,
    data: DatasetRef,
    level: str,
    judged: Mapping[str, Judged],
    kept: Mapping[str, Mapping[str, Any]],
    fp32: Future[Spare],
    reference: Artifact,
) -> Spare:
    """What was kept of each model for a level, with the answers that it gives there.

    Each model was judged at that level by itself; whole answers are recorded, not judged. They are those to the golden
    images; only where these are all that there are, their agreement with native FP32 is known.
    """
    models: dict[str, Variant] = {}
    verdicts: dict[str, str] = {}
    for name, item in judged.items():
        entry = kept.get(name, {}).get(level)
        if entry is not None:
            models[name] = variants.again(context, name, entry["serving"])
            verdicts[name] = (entry["verdict"] or {}).get("outcome", "")
        else:
            # A model that INT8 is no candidate of was not looked at; bf16 needs instructions that are missing there.
            source = item.chosen if item.chosen.options.precision == "fp32" else fp32.result().models[name]
            models[name], verdicts[name] = source, _outcome(item, source)
    golden = range(min(context.spec.golden, len(data.dataset.validation)))
    told = measure.run_pipeline(context, data, models, golden, level)
    everything = len(golden) == len(data.dataset.validation)
    agreed = whole.agreement_of(context, reference, told) if everything else None
    return Spare(models, verdicts, told.info["answers"][: len(golden)], agreement=agreed)


def _outcome(judged: Judged, item: Variant) -> str:
    verdict = judged.verdicts.get(item)
    return verdict.status if verdict else ""
