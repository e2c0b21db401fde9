"""What people read of results: tables, figures, and lines to copy."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from toolkit.serving import release
from toolkit.supervisor.state import State


def as_json(data: Any) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def verdict(result: Mapping[str, Any]) -> str:
    """What is served for each model and why, in one plain line a model."""
    return "\n".join(_verdict_of(name, entry) for name, entry in result["models"].items())


def _verdict_of(name: str, entry: Mapping[str, Any]) -> str:
    rows = {row["label"]: row for row in entry["candidates"]}
    served = rows[entry["chosen"]]
    rejected = [
        f"{label.upper()} {row['reason']}"
        + (f" ({entry['metric']} {row['metric']:.4f})" if row["metric"] else "")
        for label, row in rows.items()
        if label != "native" and not row["passed"]
    ]
    because = f"; rejected: {'; '.join(rejected)}" if rejected else ""
    title = "native FP32" if entry["chosen"] == "native" else entry["chosen"].upper()
    return (
        f"{name} is served in {title}: {entry['metric']} {served['metric']:.4f} against "
        f"{rows['native']['metric']:.4f} of native FP32 ({served['reason']}){because}"
    )


def table(result: Mapping[str, Any]) -> str:
    """All candidates with their figures."""
    lines = []
    for name, entry in result["models"].items():
        lines.append(f"{name:<10} {entry['metric']:>8} {'drop':>7} {'ms':>8} {'speed':>6} {'MB':>6}")
        lines += [_row(row, entry["chosen"]) for row in entry["candidates"]]
    whole, data = result["end_to_end"], result["data"]
    lines.append(
        f"end to end: {whole['served']:.2%} of {whole['lines']} lines read exactly, native FP32 {whole['native']:.2%} "
        f"({data['samples']} validation images of {data['directory']})"
    )
    return "\n".join(lines)


def _row(row: Mapping[str, Any], chosen: str) -> str:
    mark = "*" if row["label"] == chosen else " "
    if row["metric"] is None:
        return f"{mark} {row['label']:<8} {row['reason']}"
    notes = "reference" if row["label"] == "native" else row["reason"]
    notes += (
        f"; better on {row['better']}, worse on {row['worse']} images"
        if row["better"] or row["worse"]
        else ""
    )
    notes += f"; {row['kernels']}" if row["label"] in ("int8", "bf16") else ""
    return (
        f"{mark} {row['label']:<8} {row['metric']:>8.4f} {_points(row['drop'])} {row['milliseconds']:>8.1f} "
        f"{row['ratio']:>5.1f}x {row['bytes'] / 1e6:>6.1f}  {notes}"
    )


def _points(drop: float) -> str:
    """Signed, and zero without a sign."""
    return f"{0:>7.2f}" if abs(drop) < 0.005 else f"{drop:>+7.2f}"


def endpoints(state: State) -> str:
    """Where the service answers, with lines that work as they are printed."""
    image = shlex.quote(_shortest(release.goldens(Path(state.release))[0][0]))
    python = shlex.quote(_shortest(Path(sys.executable)))
    return f"""HTTP  {state.http_url}/predict/{state.name}
gRPC  {state.grpc_target}

(printf '{{"image":"'; base64 -w0 {image}; printf '"}}') | \\
  curl -sS -H 'Content-Type: application/json' --data-binary @- {state.http_url}/predict/{state.name}

{python} - {image} <<'EOF'
import sys
from pathlib import Path
from toolkit.client import GrpcClient
with GrpcClient({state.grpc_target!r}) as client:
    for line in client.predict({state.name!r}, Path(sys.argv[1])).lines:
        print(f"{{line.score:.2f}} {{line.text}}")
EOF"""


def _shortest(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def smoke(report: Mapping[str, Any]) -> str:
    """What the smoke test found."""
    times = ", ".join(
        f"{name} {item['p50_ms']:.0f} ms (max {item['max_ms']:.0f})"
        for name, item in report["latencies"].items()
    )
    times_each = "once" if report["rounds"] == 1 else f"{report['rounds']} times"
    return (
        f"smoke: {len(report['goldens'])} images, each {times_each} over each protocol: all answers equal "
        f"and as evaluated; {len(report['refusals'])} bad requests refused\n       median latency: {times}"
    )
