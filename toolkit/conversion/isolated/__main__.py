"""Converts a model and compares the answers of both. A script, not a module of the toolkit's.

    python -I isolated KIND REQUEST ANSWER

It runs in the environment of `requirements-KIND.lock` and imports nothing of the toolkit. REQUEST is a JSON file with
the arguments of `convert` in `converters/from_KIND.py`. ANSWER, written whole or not at all, has what that returns, or
`refused` (`message`, `remedy`).
"""

from __future__ import annotations

import ctypes
import importlib
import json
import signal
import sys
from pathlib import Path

from converters.refusal import RefusedError

_PR_SET_PDEATHSIG = 1


def main(kind: str, request: str, answer: str) -> None:
    """Do what the file `request` says, and write `answer`."""
    # So that nothing is left when the toolkit is killed.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Each needs packages that the environment of the other lacks.
    converter = importlib.import_module(f"converters.from_{kind}")
    try:
        outcome = converter.convert(**json.loads(Path(request).read_text(encoding="utf-8")))
    except RefusedError as error:
        outcome = {"refused": {"message": str(error), "remedy": error.remedy}}
    partial = Path(f"{answer}.partial")
    partial.write_text(json.dumps(outcome), encoding="utf-8")
    partial.replace(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
