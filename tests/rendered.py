"""The command line of programs that try a rendered release with real replicas."""

from __future__ import annotations

import argparse
from pathlib import Path

from toolkit.serving.release import RELEASE_FILE


def parser(program: str, description: str | None, replicas: int | None = None) -> argparse.ArgumentParser:
    """With the options that all of them have; `replicas`: the default, where there are any."""
    made = argparse.ArgumentParser(program, description=description)
    made.add_argument("--release", type=Path, help="rendered release; default: the newest of --build")
    made.add_argument("--build", type=Path, default=Path("build"), help="where `make render` has put it")
    made.add_argument("--model", default="ocr")
    if replicas is not None:
        made.add_argument("--replicas", type=int, default=replicas)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument(
        "-v", action="store_true", help="as other commands have it; there is nothing more to say"
    )
    return made


def parsed(made: argparse.ArgumentParser, argv: list[str] | None, *positive: str) -> argparse.Namespace:
    """The options, with the release that is tried; ends the program where one makes no sense.

    Args:
        positive: those that must be above 0.
    """
    options = made.parse_args(argv)
    for name in ("replicas", *positive):
        if getattr(options, name, 1) <= 0:
            made.error(f"--{name.replace('_', '-')} must be above 0")
    options.release = options.release or _newest(options.build, options.model)
    if options.release is None or not (options.release / RELEASE_FILE).is_file():
        made.error("there is no rendered release; `make render` makes one, or give --release")
    return options


def _newest(build: Path, model: str) -> Path | None:
    found = (build / "store" / "render").glob(f"{model}-*/{RELEASE_FILE}")
    return max(found, key=lambda path: path.stat().st_mtime, default=Path()).parent
