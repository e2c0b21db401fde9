"""The reference pages of the site, from the code: keys of a spec, commands, exit codes, metrics."""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import click
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from toolkit import __version__, errors, templates
from toolkit.cli.main import program
from toolkit.cli.result import INTERRUPTED, UNEXPECTED
from toolkit.gateway.catalog import Catalog, ModelInfo
from toolkit.gateway.exposition import Exposition
from toolkit.gateway.metrics import Metrics
from toolkit.gateway.status import READY, ReplicaStatus
from toolkit.spec.schema import SCHEMA_FILE

TEMPLATES = Path(__file__).with_name("templates")

# What the text format appends to the name of a metric, by its type.
_SUFFIXES = {"counter": "_total", "info": "_info"}
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}


@dataclass(frozen=True)
class Key:
    """A key of the spec: its name, what it may be, its default as JSON, what it means."""

    name: str
    values: str
    default: str
    text: str


@dataclass(frozen=True)
class Section:
    """Keys that are together at a path: `models.NAME.quantize`; the pipeline itself is at the empty one."""

    path: str
    text: str
    keys: tuple[Key, ...]


def pages() -> dict[str, str]:
    """Markdown of the pages, by their place in the site."""
    return {
        "reference/spec.md": _render("spec", sections=list(spec_sections())),
        "reference/commands.md": _render("commands", program=_help(program), commands=commands()),
        "reference/exit-codes.md": _render("exit-codes", codes=exit_codes()),
        "reference/metrics.md": _render("metrics", metrics=metrics()),
    }


def _render(name: str, **variables: Any) -> str:
    return templates.render(f"{name}.md.j2", TEMPLATES, **variables)


# -------------------------------------------------------------------------------------------------------- spec


def spec_sections() -> Iterator[Section]:
    """The sections of pipeline.yml, each before those within it."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    yield from _sections("", schema, schema["$defs"])


def _sections(path: str, schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[Section]:
    keys, within = [], []
    for name, value in schema["properties"].items():
        values, text = _values(value), value.get("description", "")
        inner = _inner(f"{path}.{name}".lstrip("."), value)
        if inner:
            where, definition = inner[0], definitions[inner[1]]
            values, text = f"[section](#{_anchor(where)})", text or definition["description"]
            within.append((where, definition))
        keys.append(Key(name, values, _default(name, schema), _cell(text)))
    yield Section(path, schema["description"], tuple(keys))
    for where, definition in within:
        yield from _sections(where, definition, definitions)


def _inner(path: str, schema: dict[str, Any]) -> Optional[tuple[str, str]]:
    """Path and definition of the section that a key has, or a list or names below it have."""
    below = [(path, schema), *((path, choice) for choice in schema.get("anyOf", ()))]
    below += [(f"{path}[]", schema.get("items", {}))]
    below += [(f"{path}.NAME", value) for value in schema.get("patternProperties", {}).values()]
    return next(((where, item["$ref"].rpartition("/")[2]) for where, item in below if "$ref" in item), None)


def _anchor(path: str) -> str:
    """What the site makes of a heading with this path."""
    return "".join(letter for letter in path.lower() if letter not in ".[]")


def _default(name: str, section: dict[str, Any]) -> str:
    if name in section.get("required", ()):
        return "required"
    value = section["properties"][name].get("default")
    return "" if value is None else f"`{json.dumps(value)}`"


def _values(schema: dict[str, Any]) -> str:
    """What a value may be, in words."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        return ", ".join(_values(choice) for choice in choices)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        kind = f"list of {_values(schema['items'])}" if schema.get("items") else "list"
    else:
        kind = {"object": "mapping", "string": "text"}.get(schema.get("type", ""), schema.get("type", ""))
    bounds = [f"{words} {schema[bound]}" for bound, words in _BOUNDS.items() if bound in schema]
    return ", ".join([kind, *bounds])


# ---------------------------------------------------------------------------------------------------- commands


def commands() -> list[dict[str, Any]]:
    """Name, usage, text and options of each command."""
    context = click.Context(program, info_name="toolkit")
    found = []
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        within = click.Context(command, info_name=name, parent=context)
        records = [option.get_help_record(within) for option in command.params]
        options = [(record[0], _cell(record[1])) for record in records if record]
        usage = " ".join([within.command_path, *command.collect_usage_pieces(within)])
        found.append({"name": name, "usage": usage, "text": _help(command), "options": options})
    return found


def _help(command: click.Command) -> str:
    # \b is click's mark of a paragraph that is not to be wrapped.
    return _plain(inspect.cleandoc(command.help or "").replace("\b\n", ""))


# -------------------------------------------------------------------------------------------------- exit codes


def exit_codes() -> list[tuple[int, str, str]]:
    """Code, name of the error, and what it means."""
    kinds = [kind for kind in errors.ToolkitError.__subclasses__() if kind.__module__ == errors.__name__]
    found = [(kind.exit_code, kind.__name__, (kind.__doc__ or "").splitlines()[0]) for kind in kinds]
    return sorted(
        [
            (0, "", "Done; for `status`: ready."),
            (errors.ToolkitError.exit_code, "", "A check of `doctor` failed; for `status`: not ready."),
            (click.UsageError.exit_code, "", "The command line is wrong; GNU make's code for every failure."),
            *found,
            (UNEXPECTED, "", "A bug of the toolkit; the traceback's file is named."),
            (INTERRUPTED, "", "Interrupted; what was finished is kept."),
        ]
    )


# ----------------------------------------------------------------------------------------------------- metrics


def metrics() -> list[dict[str, Any]]:
    """Name, type, labels and text of all that a service with a model and a replica exports."""
    replica = ReplicaStatus(0, READY, pid=1, memory_bytes=1, memory_limit_bytes=1, golden_age=0.0)
    measured = Metrics(lambda: (replica,), lambda: 0, lambda: 0, lambda: True)
    names = (ModelInfo("pipeline", "pipeline", (), ()), ModelInfo("pipeline.model", "model", (), ()))
    measured.serve(Catalog(names))
    exported = Exposition(__version__)
    exported.add("pipeline", measured)
    text = exported.render("application/openmetrics-text")[0].decode()
    return [
        {
            "name": family.name + _SUFFIXES.get(family.type, ""),
            "type": family.type,
            "labels": sorted({label for sample in family.samples for label in sample.labels} - {"le"}),
            "text": _cell(family.documentation),
        }
        for family in text_string_to_metric_families(text)
    ]


def _cell(text: str) -> str:
    """Text for a cell of a table."""
    return _plain(" ".join(text.split())).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text in which only what stands between backticks is markup: `<model>` is no tag."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else html.escape(part, quote=False) for part in parts)
