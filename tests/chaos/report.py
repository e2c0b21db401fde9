"""The figures of a chaos run, what they prove, and both in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.chaos.load import Load, Outcome
from tests.chaos.watch import Recovery, Watch


def figures(load: Load, watch: Watch, replicas: int, started: float, elapsed: float) -> dict[str, Any]:
    """All that was measured; `passed`, and why not.

    Args:
        started: seconds until the service was ready for the first time.
        elapsed: seconds that the clients asked for.
    """
    unexcused = [item for item in load.failures if not (replicas == 1 and _excused(item, watch.recoveries))]
    answered = [item for item in load.outcomes if not item.failed]
    found = {
        "replicas": replicas,
        "clients": load.clients,
        "seconds": round(elapsed, 1),
        "first_ready_seconds": round(started, 2),
        "requests": len(load.outcomes),
        "answered": len(answered),
        "failures": dict(Counter(item.answer.kind for item in load.failures)),
        "failures_out_of_place": len(unexcused),
        "failure_examples": [_told(item) for item in unexcused[:3]],
        "wrong": len(load.wrong),
        "wrong_examples": [item.wrong for item in load.wrong[:3]],
        "retried": watch.last.retried if watch.last is not None else None,
        "poisoned": watch.last.poisoned if watch.last is not None else None,
        "kills": [_kill(item) for item in watch.recoveries],
        "longest_wait_seconds": round(load.longest, 3),
        "p50_ms": _quantile_ms(answered, 0.5),
        "p99_ms": _quantile_ms(answered, 0.99),
        "requests_per_second": round(len(answered) / elapsed, 2) if elapsed else 0.0,
        "looks": watch.looks,
        "looks_not_ready": len(watch.absent),
        "fewest_ready": watch.fewest,
    }
    problems = list(_problems(found))
    return {**found, "problems": problems, "passed": not problems}


def _excused(outcome: Outcome, recoveries: Sequence[Recovery]) -> bool:
    """Whether the only replica was away at some moment of the request."""
    return any(
        outcome.ended >= item.at and (item.back is None or outcome.began <= item.at + item.back)
        for item in recoveries
    )


def _told(outcome: Outcome) -> str:
    return outcome.answer.body[:300].decode(errors="replace") or outcome.answer.problem


def _kill(recovery: Recovery) -> dict[str, Any]:
    return {
        "replica": recovery.index,
        "out_seconds": _rounded(recovery.out),
        "ready_again_seconds": _rounded(recovery.back),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _quantile_ms(outcomes: Sequence[Outcome], share: float) -> float | None:
    ordered = sorted(item.seconds for item in outcomes)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 1) if ordered else None


def _problems(found: dict[str, Any]) -> Iterator[str]:
    if not found["answered"]:
        yield "no request was answered"
    if found["wrong"]:
        yield f"{found['wrong']} answers were wrong"
    if found["failures_out_of_place"]:
        yield f"{found['failures_out_of_place']} requests failed while there was a replica"
    missed = [item for item in found["kills"] if item["ready_again_seconds"] is None]
    if missed:
        yield f"{len(missed)} killed replicas did not come back"
    if found["replicas"] > 1 and found["looks_not_ready"]:
        yield f"at {found['looks_not_ready']} of {found['looks']} looks nobody was ready"


def text(found: dict[str, Any]) -> Iterator[str]:
    """The figures, in lines for people."""
    yield f"{found['replicas']} replicas, {found['clients']} clients, {found['seconds']} s"
    yield f"  ready after       {found['first_ready_seconds']} s"
    yield f"  requests          {found['requests']}, {found['requests_per_second']} a second"
    failures = ", ".join(f"{count} x {kind}" for kind, count in found["failures"].items()) or "none"
    yield f"  failures          {failures}; out of place: {found['failures_out_of_place']}"
    yield from (f"                    {example}" for example in found["failure_examples"])
    yield f"  wrong answers     {found['wrong']}"
    yield from (f"                    {example}" for example in found["wrong_examples"])
    yield f"  retries           {found['retried']}, poison: {found['poisoned']}"
    yield f"  latency           p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms"
    yield f"  longest wait      {found['longest_wait_seconds']} s"
    for item in found["kills"]:
        yield (
            f"  killed            replica {item['replica']}: out of rotation after {item['out_seconds']} s, "
            f"the next one ready after {item['ready_again_seconds']} s"
        )
    yield (
        f"  ready             at {found['looks'] - found['looks_not_ready']} of {found['looks']} looks, "
        f"at least {found['fewest_ready']} replicas"
    )
    yield "passed" if found["passed"] else "FAILED: " + "; ".join(found["problems"])
