"""What runs on this machine on behalf of a test."""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def processes_of(directory: Path) -> list[psutil.Process]:
    """The processes that name `directory` on their command line or run below it."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = str(directory) in " ".join(process.cmdline()) or process.cwd().startswith(str(directory))
        except psutil.Error:
            continue
        if mine and process.pid != os.getpid():
            found.append(process)
    return found
