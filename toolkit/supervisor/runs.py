"""The run directories of services: made, tidied, and looked through for logs."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Optional

from toolkit.supervisor import state as states
from toolkit.supervisor.conversation import SOCKET
from toolkit.supervisor.replica import clean, folder_of
from toolkit.supervisor.state import STATE_FILE

_KEPT_RUNS = 5


def make(home: Path) -> Path:
    """A new directory for this run; those of the last runs are kept for their logs."""
    runs = home / "run"
    runs.mkdir(parents=True, exist_ok=True)
    # A service may go on in it, with other pipelines than this one.
    used = {state.run_dir for state in states.all_running(home.parent).values()}
    unused = [path for path in sorted(runs.iterdir()) if str(path) not in used]
    for old in unused[:-_KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    for old in unused[-_KEPT_RUNS:]:
        # What a service that was killed could not take with it.
        (old / SOCKET).unlink(missing_ok=True)
        for folder in old.glob(str(folder_of("*"))):
            clean(folder)
    path = runs / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
    path.mkdir(mode=0o700)
    return path


def logs(home: Path) -> list[Path]:
    """The log files of the newest run: of the service, of its requests, and of this pipeline's replicas."""
    newest = _newest_run(home)
    if newest is None:
        return []
    theirs = _replicas_of_others(home, newest)
    return sorted(path for path in newest.rglob("*.log") if path.parent.name not in theirs)


def _newest_run(home: Path) -> Optional[Path]:
    last = states.read(home)
    if last is not None and last.alive:
        # Another pipeline's, where that was there first; this one may have had later ones of its own before.
        return Path(last.run_dir)
    runs = [*(home / "run").glob("*"), *([Path(last.run_dir)] if last is not None else [])]
    return max(runs, key=lambda path: path.name, default=None)


def _replicas_of_others(home: Path, run_dir: Path) -> set[str]:
    """The folders of replicas, in a run, that are not this pipeline's."""
    known = (states.read(file.parent) for file in home.parent.glob(f"*/{STATE_FILE}") if file.parent != home)
    others = (state for state in known if state is not None and Path(state.run_dir) == run_dir)
    return {folder_of(told["index"]).name for state in others for told in state.replicas}
