"""`toolkit profile`: where the time of a request goes, down to the engine's operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import click

from toolkit.cli import show
from toolkit.cli.options import context_of, stage_options
from toolkit.stages import evaluate, profile, tuned
from toolkit.supervisor import state as states
from toolkit.supervisor.state import State

_NAMED = 44  # characters of what stands before the figures

_TOO_SMALL = (
    "these shapes need more primitives than oneDNN keeps: ONEDNN_PRIMITIVE_CACHE_CAPACITY in the environment of the "
    "service is how many, if set"
)


@click.command("profile")
@stage_options
@click.option(
    "--image",
    "--file",
    "image",
    type=click.Path(path_type=Path),
    help="Ask this, not what the release has.",
)
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Times that each file is asked, after a warm-up.",
)
def profile_command(as_json: bool, image: Optional[Path], rounds: int, **options: Any) -> None:
    """Show where the time of a request goes: by stage, by inference, by operator of the engine.

    Of the release that runs, or, if none does, of the one that `toolkit launch` would start. It is loaded once more,
    in a process of its own, and works as a replica does: one thing after the other.
    """
    image = profile.check_file(image) if image else None
    context = context_of(as_json=as_json, **options)
    running = states.running(context.home)
    if running is not None:
        click.echo(f"warning: {_shared(running)}", err=True)
        directory = running.target.directory
    else:
        directory = tuned.run(context, evaluate.run(context)).path
    found = profile.run(directory, image, rounds, context.logs, context.console)
    if as_json:
        show.as_json({**found, "shared_with": running.pid if running else None})
    else:
        click.echo("\n".join(text(found)))


def _shared(running: State) -> str:
    return (
        f"{running.name} is running (process {running.pid}) and shares the cores: "
        "requests to it meanwhile make these times longer"
    )


def text(found: Mapping[str, Any]) -> Iterator[str]:
    """The profile as people read it, line by line."""
    images = len(found["images"])
    yield (
        f"{found['name']}: {_count(images, 'file')}, each {_count(found['rounds'], 'time')} after a warm-up; "
        f"medians{', the mean over the files' if images > 1 else ''}"
    )
    yield from (f"  {item['milliseconds']:>9.1f} ms  {item['file']}" for item in found["images"])
    yield ""
    yield f"{'stage':<{_NAMED}} {'ms':>9} {'share':>7}"
    yield from _stages(found["request"], 0)
    for name, entry in found["models"].items():
        yield ""
        yield from _model(name, entry)


def _stages(node: Mapping[str, Any], depth: int) -> Iterator[str]:
    yield f"{'  ' * depth + node['name']:<{_NAMED}} {_time(node)}"
    for part in node["parts"]:
        yield from _stages(part, depth + 1)


def _model(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    number = (
        f"{entry['inferences']:.3g} {'inference' if entry['inferences'] == 1 else 'inferences'} a request"
    )
    precision = "native FP32" if entry["precision"] == "native" else entry["precision"].upper()
    yield f"{name} in {precision}: {number}, {entry['milliseconds']:.2f} ms"
    if entry["shapes"]:
        yield f"  {'inputs':<{_NAMED - 2}} {'ms each':>9} {'':>7} {'batch':>6} {'a request':>9}"
    for item in entry["shapes"]:
        inputs = ", ".join(f"{key} {_shape(shape)}" for key, shape in item["inputs"].items())
        yield (
            f"  {inputs:<{_NAMED - 2}} {item['milliseconds']:>9.2f} {'':>7} {item['batch']:>6} "
            f"{item['inferences']:>9.2f}"
        )
    if entry["note"]:
        yield f"  {entry['note']}"
    if entry["operators"]:
        yield from _operators(entry["operators"], entry["milliseconds"])


def _operators(found: Mapping[str, Any], without: float) -> Iterator[str]:
    yield f"\n  {'operators by kind and type':<{_NAMED - 2}} {'ms':>9} {'share':>7} {'calls':>6}"
    for item in found["kinds"]:
        yield _row(f"{item['kind']} {item['dtype']}", item)
    if found["made"]["calls"]:
        yield _row("made anew, since gone from the cache", found["made"])
    yield _row("not in the report: Paddle's own work", found["outside"])
    yield f"  {'all':<{_NAMED - 2}} {found['milliseconds']:>9.2f}  with the report on; {without:.2f} without"
    if found["made"]["calls"]:
        yield f"  {_TOO_SMALL}"
    if found["layers"]:
        yield f"\n  {'layers that take most':<{_NAMED - 2}} {'ms':>9} {'share':>7} {'calls':>6}  shapes"
    for item in found["layers"]:
        name = f"{item['name'] or '(not known)'} {item['kind']} {item['dtype']}"
        yield f"{_row(name, item)}  {_shape(item['source']) or '?'} * {_shape(item['weight']) or '?'}"


def _row(name: str, item: Mapping[str, Any]) -> str:
    calls = f" {item['calls']:>6.1f}" if "calls" in item else ""
    return f"  {name:<{_NAMED - 2}} {_time(item)}{calls}"


def _time(item: Mapping[str, Any]) -> str:
    return f"{item['milliseconds']:>9.2f} {item['share']:>7.1%}"


def _shape(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
