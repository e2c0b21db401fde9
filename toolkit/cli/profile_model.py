"""`toolkit profile-model`: one model's operators, as it was exported and as it is served, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

import click

from toolkit.cli import show
from toolkit.cli.options import context_of, stage_options
from toolkit.stages import evaluate, profile, profile_model, tuned

_NAMED = 36  # characters of what stands before the figures

# A few rounds tell: a layer has the same work in each.
_ROUNDS = 5


@click.command("profile-model")
@stage_options
@click.option("--step", help="Model to profile, one of the pipeline's steps; default: the only one.")
@click.option(
    "--image",
    "--file",
    "image",
    type=click.Path(path_type=Path),
    help="Ask this, not what the release has.",
)
def profile_model_command(as_json: bool, step: Optional[str], image: Optional[Path], **options: Any) -> None:
    """Show the operators of one model before and after: as exported in FP32, and as the newest release serves it.

    By oneDNN's own report of the same inferences, in FP32 and as served. The release is the one that `toolkit
    launch` would start.
    """
    image = profile.check_file(image) if image else None
    context = context_of(as_json=as_json, **options)
    steps = list(context.spec.steps)
    if step is None and len(steps) == 1:
        (step,) = steps
    if step not in steps:
        raise click.UsageError(f"--step (STEP=) takes one of: {', '.join(steps)}")
    directory = tuned.run(context, evaluate.run(context)).path
    found = profile_model.run(context, directory, step, image, _ROUNDS)
    if as_json:
        show.as_json(found)
    else:
        click.echo("\n".join(text(found)))


def text(found: Mapping[str, Any]) -> Iterator[str]:
    """The tables as people read them, line by line."""
    before, after = found["before"], found["after"]
    images, threads = len(found["images"]), found["threads"]
    yield (
        f"{found['step']} of {found['name']}, {images} file{'' if images == 1 else 's'}: "
        f"{threads} thread{'' if threads == 1 else 's'}, milliseconds a request, by oneDNN's report"
    )
    yield ""
    yield f"{'':<{_NAMED}} {'as exported, FP32':^29}   {'as served, ' + found['precision'].upper():^29}"
    yield f"{'operators by kind':<{_NAMED}} {_heads()}   {_heads()}"
    shown = None
    for row in found["rows"]:
        name = row["kind"] if row["kind"] != shown else ""
        shown = row["kind"]
        yield f"{name:<{_NAMED}} {_cell(row['before'])}   {_cell(row['after'])}".rstrip()
    for name, key in (("made anew", "made"), ("not in the report: Paddle's own work", "outside")):
        if before[key]["milliseconds"] or after[key]["milliseconds"]:
            yield f"{name:<{_NAMED}} {_cell(before[key])}   {_cell(after[key])}".rstrip()
    yield f"{'all':<{_NAMED}} {_cell(before)}   {_cell(after)}".rstrip()
    yield f"{before['milliseconds'] / after['milliseconds']:.2f} times as fast, with the report on"


def _heads() -> str:
    return f"{'type':<8} {'ms':>10} {'calls':>8} "


def _cell(item: Optional[Mapping[str, Any]]) -> str:
    if item is None:
        return " " * 28
    calls = f"{item['calls']:8.1f}" if "calls" in item else ""
    return f"{item.get('dtype', ''):<8} {item['milliseconds']:>10.2f} {calls:>8} "
