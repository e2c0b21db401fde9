"""What people read of results: tables, figures, and lines to copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Optional

import click

from toolkit.evaluation import agreement
from toolkit.supervisor.switch import Switched


def as_json(data: Any) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def verdict(result: Mapping[str, Any]) -> str:
    """What is served for each model and why, in one line a model."""
    return "\n".join(entry["sentence"] for entry in result["models"].values())


def table(result: Mapping[str, Any]) -> str:
    """All candidates with their figures; those that only the search saw with what it saw."""
    lines = []
    for name, entry in result["models"].items():
        width = max(len(row["label"]) for row in entry["candidates"])
        title = f"{name}, {entry['metric']}"
        lines.append(
            f"{title:<{width + 2}} {'value':>8} {'drop':>7} {'ms':>7} {'speed':>6} {'INT8':>5} {'MB':>5}"
        )
        lines += [_row(row, entry["chosen"], width) for row in entry["candidates"]]
        lines += [_level(level, found) for level, found in entry["levels"].items()]
        lines.append("")
    lines.append(_whole(result["end_to_end"], result["data"]))
    lines += _agreement(result["end_to_end"]["agreement"])
    lines += _labelled(result["end_to_end"].get("labelled"))
    lines += [f"note: {item}" for item in result["data"].get("limits", ())]
    return "\n".join(lines + [f"warning: {item}" for item in result["data"]["warnings"]])


def _whole(whole: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    results = (
        f"{_unit(whole)} those of native FP32, {whole['native']:.2%} of its own"
        if whole.get("by") == "agreement"
        else f"results right, native FP32 {whole['native']:.2%}"
    )
    return (
        f"end to end{', if it were served' if whole['hypothetical'] else ''}: {whole['served']:.2%} of "
        f"{whole['lines']} {results} "
        f"({data['splits']['verdict']} validation samples of {data['directory']}); {whole['verdict']['reason']}"
    )


def _unit(whole: Mapping[str, Any]) -> str:
    return agreement.UNITS[whole["agreement"]["kind"]]


def _agreement(found: Optional[Mapping[str, Any]]) -> list[str]:
    if found is None:
        return []
    return [
        f"whole answers: {found['rate']:.2%} of {found['kind']} at {found['path']} differs from native FP32's, "
        f"at most {found['high']:.2%} with 95 % confidence"
    ]


def _labelled(found: Optional[Mapping[str, Any]]) -> list[str]:
    if found is None:
        return []
    told = (
        f"top-1 {found[name]['top1']:.2%} and top-5 {found[name]['top5']:.2%} in {title}"
        for name, title in (("served", "what is served"), ("native", "native FP32"))
    )
    return [f"of the {found['served']['samples']} samples with labels: {', '.join(told)}"]


def _row(row: Mapping[str, Any], chosen: Optional[str], width: int) -> str:
    mark = "*" if row["label"] == chosen else " "
    title = f"{mark} {row['label']:<{width}}"
    if row["problem"]:
        return f"{title} {row['problem'].splitlines()[0]}"
    if row["label"] == "native":
        figures, note = f"{row['verdict']['value']:>8.4f} {'':>7}", "reference"
    elif row["verdict"]:
        figures = f"{row['verdict'].get('value', 0.0):>8.4f} {_points(row['verdict'].get('drop', 0.0))}"
        note = f"{row['verdict']['outcome']}: {row['verdict']['reason']}"
    elif row["search"]:
        figures = f"{row['search']['value']:>8.4f} {_points(row['search']['drop'])}"
        note = f"search, {row['search']['samples']} samples: {row['search']['dropped'] or 'not judged'}"
    else:
        figures, note = " " * 16, "not judged: what may be served is preferred to it"
    return f"{title} {figures} {_costs(row)}  {note}"


def _costs(row: Mapping[str, Any]) -> str:
    milliseconds = f"{row['milliseconds']:>7.1f} {row['ratio']:>5.1f}x" if row["milliseconds"] else " " * 14
    share = f"{row['share']['int8']:>5.0%}" if row["share"] else " " * 5
    size = f"{row['bytes'] / 1e6:>5.1f}" if row["bytes"] else ""
    return f"{milliseconds} {share} {size:>5}"


def _level(level: str, found: Mapping[str, Any]) -> str:
    times = f", {found['ratio']:.1f}x" if found["verdict"] and found["ratio"] else ""
    reason = f", it {found['verdict']['reason']}" if found["verdict"] else ""
    return f"  kept for {level}: {found['label']}{times}{reason}"


def _points(drop: float) -> str:
    """Signed, and zero without a sign."""
    return f"{0:>7.2f}" if abs(drop) < 0.005 else f"{drop:>+7.2f}"


def rollout_json(switched: Switched[Any]) -> dict[str, Any]:
    """How a release came to serve, for programs."""
    kept = ("seconds", "warm", "why_stopped")
    return {name: value for name, value in vars(switched).items() if name in kept}


def rollout(switched: Switched[Any]) -> str:
    """How a release came to serve; empty where it did already."""
    if switched.why_stopped:
        return f"; the service was stopped and started for it, since {switched.why_stopped}"
    if not switched.seconds:
        return ""
    how = " by a replica that stood by" if switched.warm else ""
    return f"; it served after {switched.seconds:.1f} s{how}"


def smoke(report: Mapping[str, Any]) -> str:
    """What the smoke test found."""
    times = ", ".join(
        f"{name} {item['p50_ms']:.0f} ms (max {item['max_ms']:.0f})"
        for name, item in report["latencies"].items()
    )
    times_each = "once" if report["rounds"] == 1 else f"{report['rounds']} times"
    return (
        f"smoke: {len(report['goldens'])} golden requests, each {times_each} over each protocol: all answers equal "
        f"and as evaluated; {len(report['refusals'])} bad requests refused\n       median latency: {times}"
    )
