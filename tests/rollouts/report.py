"""The figures of many rollouts, what they prove, and both in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from tests.rollouts.load import Load, Outcome
from tests.rollouts.timeline import Step, Timeline

# Seconds until FP32 serves, from the start of the command.
SOON = 2.0


def figures(load: Load, timeline: Timeline, pairs: int, usual: int, left: int) -> dict[str, Any]:
    """All that was measured; `passed`, and why not.

    Args:
        usual: processes of the service before the first rollout; `left`: after the last one.
    """
    failed = [item for item in load.outcomes if item.problem]
    wrong = [item for item in load.outcomes if not item.problem and _is_wrong(item, load, timeline)]
    deployments = [step for step in timeline.steps if step.what == "deploy"]
    rollbacks = [step for step in timeline.steps if step.what == "rollback"]
    to_fp32 = [step for step in rollbacks if step.warm]
    found: dict[str, Any] = {
        "deployments": len(deployments),
        "rollbacks": len(rollbacks) - 2,
        "requests": dict(Counter(item.client for item in load.outcomes)),
        "failed": len(failed),
        "failed_examples": [f"{item.client}: {item.problem}" for item in failed[:3]],
        "wrong": len(wrong),
        "wrong_examples": [f"{item.client}, {item.image}: {item.answer}"[:400] for item in wrong[:3]],
        "leaked_processes": left - usual,
        "longest_wait_seconds": round(max(item.ended - item.began for item in load.outcomes), 2),
        "deployment": _times([step.ended - step.began for step in deployments]),
        "rollback": _times([step.ended - step.began for step in rollbacks[:pairs]]),
        "until_shift": _times([step.service_seconds for step in timeline.steps if not step.warm]),
        "fp32_effect_seconds": [round(step.effect_seconds, 2) for step in to_fp32],
        "fp32_shift_seconds": [round(step.service_seconds, 4) for step in to_fp32],
    }
    problems = list(_problems(found, to_fp32, pairs))
    return {**found, "problems": problems, "passed": not problems}


def _is_wrong(outcome: Outcome, load: Load, timeline: Timeline) -> bool:
    return load.answered_by(outcome) not in timeline.serving(outcome.began, outcome.ended)


def _times(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "min": round(min(seconds), 2),
        "median": round(median(seconds), 2),
        "max": round(max(seconds), 2),
    }


def _problems(found: dict[str, Any], to_fp32: Sequence[Step], pairs: int) -> Iterator[str]:
    if (found["deployments"], found["rollbacks"]) != (pairs, pairs):
        yield "not all rollouts took place"
    if found["failed"]:
        yield f"{found['failed']} requests failed"
    if found["wrong"]:
        yield f"{found['wrong']} answers were wrong"
    if found["leaked_processes"] > 0:
        yield f"{found['leaked_processes']} processes more than before"
    if not to_fp32:
        yield "nothing stood by for FP32"
    if any(step.effect_seconds > SOON for step in to_fp32):
        yield f"FP32 took longer than {SOON:g} s"


def text(found: dict[str, Any]) -> Iterator[str]:
    """The figures, in lines for people."""
    requests = ", ".join(f"{count} by {name}" for name, count in found["requests"].items())
    yield f"{found['deployments']} deployments, {found['rollbacks']} rollbacks"
    yield f"  requests          {requests}"
    yield f"  failed            {found['failed']}"
    yield from (f"                    {example}" for example in found["failed_examples"])
    yield f"  wrong answers     {found['wrong']}"
    yield from (f"                    {example}" for example in found["wrong_examples"])
    yield f"  leaked processes  {found['leaked_processes']}"
    yield f"  longest wait      {found['longest_wait_seconds']} s"
    for name in ("deployment", "rollback", "until_shift"):
        times = found[name]
        yield f"  {name.replace('_', ' '):<17} {times['min']} to {times['max']} s, median {times['median']}"
    for effect, shift in zip(found["fp32_effect_seconds"], found["fp32_shift_seconds"]):
        yield f"  to FP32           {effect} s from the command's start; {1000 * shift:.1f} ms in the service"
    yield "passed" if found["passed"] else "FAILED: " + "; ".join(found["problems"])
