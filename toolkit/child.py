"""Work in a child process: a crash of a native library is an error of the tool, never its end.

`call` runs `module:function` in a process of its own, with JSON in and JSON out. The child's own output goes to a
log file; progress comes back line by line over a pipe; an error of the toolkit is raised again here. A child and
what it started never outlive the call, nor the process that called.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Optional, cast

from toolkit import errors, process
from toolkit.forkserver import ForkServer, ServerDied

Progress = Callable[[int, int], None]

_TAIL_LINES = 15

_VARIABLES = {"GLOG_minloglevel": "2", "PYTHONUNBUFFERED": "1"}

# What nearly all work needs, and takes long to import.
_IMPORTS = ("paddle.inference",)

# Variables that are looked up when they are needed; all others may count when a library is loaded.
_READ_LATE = ("ONEDNN_", "DNNL_", "TMPDIR")

_servers: dict[tuple[object, ...], ForkServer] = {}
_starting = threading.Lock()


def call(
    function: str,
    arguments: Mapping[str, Any],
    *,
    log: Path,
    progress: Optional[Progress] = None,
    env: Optional[Mapping[str, str]] = None,
) -> Any:
    """Run `function` (`module:name`) with `arguments` in a child process.

    Args:
        arguments: keyword arguments that JSON can carry.
        log: file that takes what the child prints.
        progress: called with (done, total) when the child reports it.
        env: variables added to the child's environment.

    Returns:
        What the function returned, as JSON carries it.

    Raises:
        ToolkitError: the one that the function raised.
        ChildError: the child died, or raised something else.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # Beside the log, so that what a killed process leaves goes with the rest of its build directory.
    with tempfile.TemporaryDirectory(prefix=".child-", dir=log.parent) as scratch:
        request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        request.write_text(json.dumps({"function": function, "arguments": dict(arguments)}))
        begin = log.stat().st_size if log.exists() else 0
        code = _run(request, answer, log, progress, env)
        if not answer.is_file():
            raise _died(function, code, log, begin)
        return _unwrap(json.loads(answer.read_text()), log)


def _run(
    request: Path, answer: Path, log: Path, progress: Optional[Progress], env: Optional[Mapping[str, str]]
) -> int:
    variables = {**os.environ, **_VARIABLES, **(env or {})}
    read_end, write_end = os.pipe()
    try:
        with log.open("ab") as output:
            child = _server(variables, output.fileno()).fork(
                f"{__name__}:main",
                [str(request), str(answer)],
                # Temporary files beside the request: what a killed child leaves goes with the build directory too.
                {**variables, "TMPDIR": str(request.parent)},
                output.fileno(),
                [write_end],
            )
    except ServerDied as error:
        os.close(read_end)
        if error.code == 0:
            # It ends so only when this process lets go of it: on Ctrl-C, in another thread.
            raise KeyboardInterrupt from None
        return error.code
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    with _registered(child.pid) as running:
        try:
            with os.fdopen(read_end, "r") as pipe:
                _follow(pipe, progress)
            code = child.wait()
        finally:
            # Also after its end: what it started may still be there.
            process.stop_group(child.pid, grace=1)
            child.wait()
        if running.stopped:
            raise KeyboardInterrupt
        return code


def _server(variables: Mapping[str, str], output: int) -> ForkServer:
    """The fork server for an environment; one for all that differ only in what is read late."""
    early = {name: value for name, value in variables.items() if not name.startswith(_READ_LATE)}
    key = (str(Path.cwd()), *sorted(early.items()))
    with _starting:
        server = _servers.get(key)
        if server is None or not server.alive:
            server = _servers[key] = ForkServer(_IMPORTS, early, output)
            atexit.register(server.close)
        return server


@contextmanager
def parallel(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads for calls side by side.

    Only the main thread learns of Ctrl-C, and it cannot leave the pool before the other threads are done. So on any
    exception what has not begun is dropped, and what runs is stopped: those calls raise KeyboardInterrupt.
    """
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        except BaseException:
            closing = threading.Thread(target=lambda: pool.shutdown(cancel_futures=True))
            closing.start()
            while closing.is_alive():
                _stop_all()
                closing.join(0.1)
            raise


@dataclass
class _Running:
    """A child at work; `stopped` when it was ended because the whole run ends."""

    group: int
    stopped: bool = False


_running: list[_Running] = []


@contextmanager
def _registered(group: int) -> Iterator[_Running]:
    item = _Running(group)
    _running.append(item)
    try:
        yield item
    finally:
        _running.remove(item)


def _stop_all() -> None:
    for item in list(_running):
        item.stopped = True
        process.stop_group(item.group, grace=0)


def _follow(pipe: IO[str], progress: Optional[Progress]) -> None:
    for line in pipe:
        if progress is not None:
            done, total = json.loads(line)
            progress(done, total)


def _died(function: str, code: int, log: Path, begin: int) -> errors.ChildError:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    error = errors.ChildError(
        f"the child process for {function} {how} without an answer; its last lines:\n{tail(log, begin=begin)}",
        where=str(log),
        remedy="the whole output is in the log file; out of memory is the usual reason for SIGKILL",
    )
    error.ended_from_outside = -code in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    return error


def _unwrap(answer: dict[str, Any], log: Path) -> Any:
    if "result" in answer:
        return answer["result"]
    if "error" in answer:
        raise errors.from_json(answer["error"])
    raise errors.ChildError(
        f"unexpected error in a child process: {answer['unexpected']}",
        where=str(log),
        remedy="the traceback is in the log file; please report it with that file",
    )


def tail(log: Path, lines: int = _TAIL_LINES, begin: int = 0) -> str:
    """The last lines of a log file from byte `begin` on, indented."""
    try:
        text = log.read_bytes()[begin:].decode(errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join("    " + line for line in text.splitlines()[-lines:]) or "    (it printed nothing)"


def main(request: str, answer: str, progress_fd: str) -> None:
    """The child: run what the request names, write the answer whole or not at all."""
    order = json.loads(Path(request).read_text())
    module, _, name = order["function"].partition(":")
    with os.fdopen(int(progress_fd), "w", buffering=1) as pipe:
        outcome = _perform(module, name, order["arguments"], pipe)
    partial = Path(answer + ".partial")
    partial.write_text(json.dumps(outcome))
    partial.replace(answer)


def _perform(module: str, name: str, arguments: dict[str, Any], pipe: IO[str]) -> dict[str, Any]:
    def progress(done: int, total: int) -> None:
        pipe.write(json.dumps([done, total]) + "\n")

    try:
        function = cast(Callable[..., Any], getattr(importlib.import_module(module), name))
        return {"result": function(**arguments, progress=progress)}
    except errors.ToolkitError as error:
        return {"error": error.to_json()}
    except Exception as error:
        import traceback

        traceback.print_exc()
        return {"unexpected": f"{type(error).__name__}: {error}"}
