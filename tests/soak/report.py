"""What a soak found, for programs and for people, and whether it passed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.soak.course import LIMIT, Course, points
from tests.soak.load import Load

_SHOWN = 5


def figures(load: Load, course: Course, told: Mapping[int, Mapping[str, int]]) -> dict[str, Any]:
    """All of it as a JSON object; sizes in bytes, times in milliseconds.

    Args:
        told: by point, what the service's own metrics say of each replica.
    """
    ratio = course.ratio
    complete = load.completed == course.requests
    return {
        "requests": course.requests,
        "completed": load.completed,
        "seconds": round(load.elapsed, 1),
        "per_second": round(load.completed / load.elapsed, 2) if load.elapsed else 0.0,
        "p50": round(load.quantile_ms(0.5), 1),
        "p99": round(load.quantile_ms(0.99), 1),
        "failures": {str(number): text for number, text in sorted(load.failures.items())},
        "points": [
            {
                "request": point,
                "largest": course.largest(point),
                "replicas": {str(pid): size for pid, size in sorted(course.highest.get(point, {}).items())},
                "metrics": dict(told.get(point, {})),
            }
            for point in points(course.requests)
        ],
        "replaced": course.replaced,
        "ratio": None if ratio is None else round(ratio, 4),
        "limit": LIMIT,
        "passed": complete and not load.failures and ratio is not None and ratio <= LIMIT,
    }


def text(found: Mapping[str, Any]) -> Iterator[str]:
    """As people read it, line by line."""
    yield (
        f"{found['completed']} of {found['requests']} requests in {found['seconds']:.0f} s "
        f"({found['per_second']:.1f} a second), median {found['p50']:.0f} ms, p99 {found['p99']:.0f} ms"
    )
    yield f"{'request':>8} {'largest MB':>11} {'to first':>9}  replicas (MB), and what /metrics says"
    first = found["points"][0]["largest"]
    for point in found["points"]:
        yield _point(point, first)
    if found["replaced"]:
        yield f"replicas that were replaced meanwhile: {found['replaced']}"
    for number, failure in list(found["failures"].items())[:_SHOWN]:
        yield f"request {number} failed: {failure}"
    if len(found["failures"]) > _SHOWN:
        yield f"and {len(found['failures']) - _SHOWN} more"
    yield f"{'passed' if found['passed'] else 'FAILED'}: {_verdict(found)}"


def _point(point: Mapping[str, Any], first: Any) -> str:
    largest = point["largest"]
    if largest is None:
        return f"{point['request']:>8} {'no replica':>11}"
    ratio = f"{largest / first:>9.3f}" if first else " " * 9
    replicas = ", ".join(_megabytes(size) for size in point["replicas"].values())
    metrics = ", ".join(_megabytes(size) for size in point["metrics"].values())
    return f"{point['request']:>8} {_megabytes(largest):>11} {ratio}  {replicas}{f' ({metrics})' if metrics else ''}"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f}"


def _verdict(found: Mapping[str, Any]) -> str:
    failed = f"{len(found['failures'])} requests failed"
    if found["ratio"] is None:
        return f"{failed}; the ratio is not known, since there was no replica at the first or the last point"
    ends = found["points"][0]["request"], found["points"][-1]["request"]
    return (
        f"{failed}; resident memory at request {ends[1]} is {found['ratio']:.3f} times that at request {ends[0]}, "
        f"at most {found['limit']} is allowed"
    )
