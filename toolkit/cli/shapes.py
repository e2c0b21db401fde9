"""`toolkit shapes`: which shapes a pipeline's models meet, and to which few sizes their feeds would best be padded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

import click

from toolkit.cli import show
from toolkit.cli.options import context_of, data_option, model_options
from toolkit.stages import shapes

_TOP = 12


@click.command("shapes")
@model_options
@data_option
@click.option(
    "--buckets", type=click.IntRange(1), help="Sizes to pad to; default: as many as the spec has now."
)
def shapes_command(as_json: bool, buckets: Optional[int], **options: Any) -> None:
    """Show which shapes the models meet on the calibration data, and what padding to few sizes costs.

    Nothing is changed: what is to be taken over is written into pipeline.yml, since the gate measures with that.
    """
    context = context_of(as_json=as_json, **options)
    found = {name: shapes.run(context, name, buckets) for name in context.spec.steps}
    capacity = context.spec.serving.cache_capacity
    if as_json:
        show.as_json({"cache_capacity": capacity, "models": found})
    else:
        click.echo("\n".join(text(found, capacity)))


def text(found: Mapping[str, Any], capacity: int) -> Iterator[str]:
    """What was found as people read it, line by line."""
    for name, entry in found.items():
        yield from _model(name, entry)
        yield ""
    listed = sum(entry["listed"] or 0 for entry in found.values())
    if listed > capacity:
        yield (
            f"warning: the steps list {listed} shapes and `serving.cache_capacity` keeps {capacity}: "
            "raise it, or list fewer"
        )


def _model(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    met = entry["met"]
    yield f"{name}: {entry['inferences']} inferences for {entry['samples']} samples, in {len(met)} shapes"
    if entry["listed"] is None:
        yield "  its step lists no shapes, so that replicas are warmed up by golden requests alone"
    else:
        covered = (
            ", ".join(f"{share:.1%} by the first {number}" for number, share in entry["covered"]) or "none"
        )
        yield f"  its step lists {entry['listed']} to warm up with; of the inferences they cover {covered}"
    yield from _met(met, entry["inferences"])
    for option, padded in entry["padded"].items():
        yield from _padded(option, padded)


def _met(met: list[Mapping[str, Any]], inferences: int) -> Iterator[str]:
    yield f"  {'shape':<40} {'share':>7} {'in all':>7}"
    so_far = 0
    for item in met[:_TOP]:
        so_far += item["count"]
        shape = ", ".join(f"{name} {'x'.join(map(str, sides))}" for name, sides in item["shapes"].items())
        mark = "" if item["listed"] else "  not listed"
        yield f"  {shape:<40} {item['count'] / inferences:>7.1%} {so_far / inferences:>7.1%}{mark}"
    if len(met) > _TOP:
        yield f"  and {len(met) - _TOP} more"


def _padded(option: str, padded: Mapping[str, Any]) -> Iterator[str]:
    quantiles = ", ".join(f"{share:.0%} {size}" for share, size in padded["quantiles"])
    yield f"  {option}: {padded['sizes']} sizes, up to: {quantiles}"
    yield f"  {'buckets':>9} {'padding':>8}"
    yield from (f"  {number:>9} {share:>8.1%}" for number, share in padded["table"])
    present, best = padded["present"], padded["best"]
    yield f"  {'':<12} {'buckets':>8} {'padding':>8} {'inferences':>10} {'values fed':>10} {'shapes':>7}"
    for title, cost in (("in the spec", present), ("best of them", best)):
        yield (
            f"  {title:<12} {len(cost['buckets']):>8} {cost['padding']:>8.1%} {cost['inferences']:>10} "
            f"{cost['values'] / present['values']:>10.1%} {cost['shapes']:>7}"
        )
    yield f"  {option}: {best['buckets']}"
