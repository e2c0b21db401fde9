"""python -m tests.containers --base IMAGE [--release DIR] [--json] [-- OPTIONS of podman build]

Builds images of two versions of a release, runs the rendered Deployment with `podman kube play`, waits for what its
probes ask, asks it all that `make smoke` asks, puts the second version in its place, asks again, goes to FP32 by a
command within the container where the release has that variant, asks once more, and stops it.
Without --release it takes that of --model, and renders it where it has to.

Exits with 0 and says so where podman is missing; with 1 if something was not as it should be.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.containers.pod import ROOT, Failed, Pod, run, toolkit
from toolkit import spec
from toolkit.errors import ToolkitError
from toolkit.serving import release as releases
from toolkit.store.artifact import MANIFEST

VERSIONS = ("0.0.1-test", "0.0.2-test")


def main(argv: list[str] | None = None) -> int:
    """Run it; the exit code."""
    options = _options(argv)
    if shutil.which("podman") is None:
        print("skipped: podman is missing; Debian's: apt-get install podman runc")
        return 0
    try:
        if options.release is None:
            options.release = _rendered(options)
        with tempfile.TemporaryDirectory(prefix="containers-") as folder:
            found = containers(options, Path(folder))
    except (Failed, ToolkitError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2) if options.json else _text(found))
    return 0


def _rendered(options: argparse.Namespace) -> Path:
    told = toolkit("render", "--json", "--model", options.model, "--build", str(options.build.resolve()))
    return Path(json.loads(told)["artifacts"][options.model]["path"])


def containers(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Build, run, ask, upgrade, stop; the figures."""
    plan = spec.load(ROOT / "pipelines", releases.read(options.release).name)
    images = [_build(options, folder, version) for version in VERSIONS]
    try:
        first, second = (json.loads(run("podman", "image", "inspect", image))[0] for image in images)
        new = set(second["RootFS"]["Layers"]) - set(first["RootFS"]["Layers"])
        pod = Pod.of(plan, options.release, folder, options.replicas)
        runs = []
        with pod:
            for version in VERSIONS:
                seconds = pod.play(version)
                runs.append({"version": version, "ready_seconds": seconds, "smoke": pod.ask()})
            fp32 = None
            if (options.release / releases.FP32).is_dir():
                fp32 = {"seconds": pod.rollback(), "smoke": pod.ask(releases.FP32)}
            stopped = pod.stop()
    finally:
        run("podman", "image", "rm", *images)
    return {
        "megabytes": first["Size"] / 1e6,
        "new_layers": len(new),
        "runs": runs,
        "fp32": fp32,
        "stop_seconds": stopped,
    }


def _build(options: argparse.Namespace, folder: Path, version: str) -> str:
    """The image of the release as a version; what was there before is built into no layer again."""
    release = folder / version
    shutil.copytree(options.release, release)
    # With one file more it is no artifact any more; a release of a version goes without that manifest, too.
    (release / MANIFEST).unlink(missing_ok=True)
    (release / "version").write_text(version, encoding="utf-8")
    arguments = [
        "--release",
        str(release),
        "--base",
        options.base,
        "--version",
        version,
        "--builder",
        "podman",
    ]
    told = toolkit("image", "--json", "--build", str(folder), *arguments, "--", *options.further)
    image: str = json.loads(told)["image"]
    return image


def _text(found: dict[str, Any]) -> str:
    lines = [f"image: {found['megabytes']:.0f} MB; layers that a new version ships: {found['new_layers']}"]
    for item in found["runs"]:
        lines.append(f"{item['version']}: ready after {item['ready_seconds']:.1f} s; {_asked(item['smoke'])}")
    if found["fp32"] is not None:
        lines.append(f"in FP32 after {found['fp32']['seconds']:.1f} s; {_asked(found['fp32']['smoke'])}")
    return "\n".join([*lines, f"stopped in {found['stop_seconds']:.1f} s"])


def _asked(told: Mapping[str, Any]) -> str:
    times = ", ".join(f"{name} {entry['p50_ms']:.0f} ms" for name, entry in told["latencies"].items())
    return f"{len(told['goldens'])} images answered rightly over each protocol: {times}"


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.containers")
    parser.add_argument("--base", required=True, help="image to begin with, by its digest")
    parser.add_argument("--release", type=Path, help="directory of a release")
    parser.add_argument("--model", default="ocr")
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-v", action="store_true", help="as other commands have it; nothing more is said")
    parser.add_argument("further", nargs="*", help="for podman build, after `--`")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
