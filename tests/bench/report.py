"""The benchmark as people read it: tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.targets import times

Found = Mapping[str, Any]


def text(found: Found) -> Iterator[str]:
    """All that was measured, line by line."""
    machine = found["machine"]
    yield (
        f"{machine['cpu']}, {machine['level']}{', bf16' if machine['bf16'] else ''}, {machine['cores']} cores, "
        f"load {machine['load']:.1f} before; {found['images']} images, {found['rounds']} rounds, "
        f"{found['seconds'] / 60:.1f} min"
    )
    for part, lines in (
        ("models", _models),
        ("pipelines", _pipelines),
        ("service", _service),
        ("saturated", _saturated),
        ("stock", _stock),
        ("stages", _stages),
    ):
        if found.get(part):
            yield ""
            yield from lines(found[part])
    yield from ("", *_targets(found["targets"]))
    yield from (f"left out: {reason}" for reason in found["missing"])
    yield from (f"failed: {part}: {reason}" for part, reason in found["failed"].items())


def _table(heads: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)


def _models(found: Found) -> Iterator[str]:
    yield from _table(("model, one core", "input", "way", "ms", "times as fast as native FP32 (95 %)"))
    for name, entry in found.items():
        for row in entry["rows"]:
            for way, figures in row["ways"].items():
                yield (
                    f"| {name} | {row['what']} | {way} | {figures['milliseconds']:.1f} | {times(figures, 'faster')} |"
                )
    yield ""
    for name, entry in found.items():
        exported, served = entry["weights"]["exported"], entry["weights"]["served"]
        yield (
            f"{name}: the weights file has {served / 1e6:.2f} MB as served, {exported / 1e6:.2f} MB as exported: "
            f"{served / exported:.1%}"
        )


def _pipelines(found: Found) -> Iterator[str]:
    right = all("right" in row for row in found["ways"].values())
    heads = ("in process, one core", "ms an image", "times the release's (95 %)")
    yield from _table((*heads, "right") if right else heads)
    for name, row in found["ways"].items():
        share = f" {row['right']:.1%} |" if right else ""
        yield f"| {name} | {row['milliseconds']:.0f} | {times(row, 'times')} |{share}"


def _service(found: Sequence[Found]) -> Iterator[str]:
    heads = (
        "service",
        "clients",
        "images/s (by round)",
        "p50 ms",
        "p99 ms",
        "cores used",
        "different answers",
    )
    yield from _table(heads)
    for row in found:
        yield (
            f"| {row['protocol']} | {row['clients']} | {row['rate']:.2f} ({row['low']:.2f} to {row['high']:.2f}) | "
            f"{row['p50']:.0f} | {row['p99']:.0f} | {row['cores']:.2f} | {row['different']} of {row['requests']} |"
        )


def _saturated(found: Found) -> Iterator[str]:
    rates, spent = found["images_per_second"], found["cpu_seconds"]
    yield (
        f"saturated, {found['cores']} cores: the service answers {rates['service']:.2f} images a second to "
        f"{found['clients']} clients, in process it is {rates['in_process']:.2f}: {found['share']:.3f} of that; "
        f"an image takes {1000 * spent['service']:.0f} and {1000 * spent['in_process']:.0f} ms of processor time"
    )


def _stock(found: Found) -> Iterator[str]:
    heads = (
        "stock Paddle Serving",
        "images/s",
        "ours",
        "ours / stock (by round)",
        "lines an image, stock, ours",
    )
    yield from _table(heads)
    for name, row in found.items():
        rates, lines = row["images_per_second"], row["lines"]
        yield (
            f"| {name} | {rates['stock']:.3f} | {rates['ours']:.2f} | {times(row, 'ratio')} | "
            f"{lines['stock']:.1f}, {lines['ours']:.1f} |"
        )


def _stages(found: Found) -> Iterator[str]:
    if found["cold"]:
        yield from _table(("stage, cold", "artifacts", "s"))
        for name, row in found["cold"]["stages"].items():
            yield f"| {name} | {row['artifacts']} | {row['seconds']:.0f} |"
        yield f"\noptimize to evaluate, cold: {found['cold']['seconds'] / 60:.1f} min"
    for name, seconds in (found["idle"] or {}).items():
        yield f"{name} with nothing to do: {', '.join(f'{one:.1f}' for one in seconds)} s"


def _targets(found: Sequence[Found]) -> Iterator[str]:
    yield from _table(("what", "target", "measured", ""))
    met = {None: "not measured", True: "met", False: "not met"}
    for row in found:
        yield f"| {row['what']} | {row['target']} | {row['measured'] or '-'} | {met[row['met']]} |"
