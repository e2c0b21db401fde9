"""Packages that cannot live beside the toolkit's: an environment of their own, made on demand from a lock with hashes.

It is an artifact of the store, so it is there whole or not at all, made once for all pipelines of a build directory,
and made anew where the lock, Python, or a file of it is another.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from toolkit import child, lockfile, process
from toolkit.child import Progress
from toolkit.console import Console
from toolkit.errors import ChildError
from toolkit.store import digest
from toolkit.store.artifact import Key, Store

STAGE = "environment"

# What would have an interpreter see other packages than those of its environment.
ISOLATED: dict[str, Any] = {"PYTHONPATH": None, "PYTHONHOME": None, "PYTHONUSERBASE": None}

_SETTINGS = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
# How pip says so, of one from an index and of one from a folder.
_NEXT_PACKAGE = (b"Collecting ", b"Processing ")
_UNREACHABLE = "pip did not reach its package index: check the network, the proxy, or PIP_INDEX_URL"
# By what pip prints, the first that is found.
_REMEDIES = {
    "DO NOT MATCH THE HASHES": "the package index served another file than the one locked: try again with "
    "PIP_NO_CACHE_DIR=1; if that does not help, do not trust that index",
    "No space left on device": "free some disk: the environment takes 1 GB",
    "Connection|Temporary failure|timed out|ProxyError|NameResolutionError": _UNREACHABLE,
    "No matching distribution found": "the package index lacks a locked package, or has none for this machine "
    "(Linux x86_64 with glibc, Python 3.9)",
}


def ensure(store: Store, lock: Path, log: Path, console: Console) -> Path:
    """The interpreter of an environment that holds what `lock` pins, and nothing else.

    Args:
        lock: a requirements file with hashes, `requirements-<name>.lock`.
        log: file that takes what its making prints.

    Raises:
        ChildError: it cannot be made; what was begun is gone again.
        ReleaseError: the lock cannot be read, or pins nothing.
    """
    name = lock.stem.removeprefix("requirements-")
    key = Key(STAGE, name, {"lock": digest.of_file(lock), "python": platform.python_version()})
    found = store.get(key)
    if found is None:
        packages = len(lockfile.read(lock))
        console.say(f"  {name} takes {packages} packages in an environment of its own, which is made once")

        def build(directory: Path) -> Mapping[str, Any]:
            with console.working(STAGE, name, "package") as progress:
                return _make(directory, lock, packages, log, progress)

        found = store.build(key, build)
    return found.path / "bin" / "python"


def _make(directory: Path, lock: Path, packages: int, log: Path, progress: Progress) -> Mapping[str, Any]:
    fetched = 0

    def follow(line: bytes) -> None:
        nonlocal fetched
        if line.startswith(_NEXT_PACKAGE):
            fetched += 1
            progress(fetched, packages)

    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    # Within the environment, so that what a killed pip leaves goes with it.
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=directory) as scratch:
        _run((sys.executable, "-I", "-m", "venv", "--without-pip", str(directory)), scratch, log, follow)
        _run((*_pip(directory / "bin" / "python"), "--requirement", str(lock)), scratch, log, follow)
    return {"packages": packages}


def _pip(python: Path) -> Sequence[str]:
    """The toolkit's own, which installs for another interpreter; wheels only, so that no code of packages is run."""
    options = [
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--no-compile",
        "--progress-bar",
        "off",
    ]
    return (sys.executable, "-I", "-m", "pip", "--python", str(python), "install", *options)


def _run(argv: Sequence[str], scratch: str, log: Path, follow: Callable[[bytes], None]) -> None:
    """Run `argv` to its end; its lines go into the log, and to `follow`.

    Raises:
        ChildError: it failed.
    """
    running = process.start(argv, env={**_SETTINGS, **ISOLATED, "TMPDIR": scratch}, stderr=subprocess.STDOUT)
    try:
        assert running.stdout is not None
        with log.open("ab") as file:
            for line in running.stdout:
                file.write(line)
                follow(line)
        code = running.wait()
    finally:
        # Also on Ctrl-C: pip has processes of its own.
        process.stop_group(running.pid, grace=0)
        running.wait()
    if code != 0:
        raise _failed(argv, code, log)


def _failed(argv: Sequence[str], code: int, log: Path) -> ChildError:
    text = log.read_text(encoding="utf-8", errors="replace")
    remedy = next((told for pattern, told in _REMEDIES.items() if re.search(pattern, text)), None)
    return ChildError(
        f"the environment cannot be made: {' '.join(argv[2:4])} ended with {code}; its last lines:\n{child.tail(log)}",
        where=str(log),
        remedy=f"{remedy or 'read the log from its first error on'}; then run the command again, it starts afresh",
    )
