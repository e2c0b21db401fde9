"""Work in a child process: a crash of a native library is an error of the tool, never its end.

`call` runs `module:function` in a fresh interpreter, with JSON in and JSON out. The child's own output goes to a
log file; progress comes back line by line over a pipe; an error of the toolkit is raised again here.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Callable, Optional, cast

from toolkit import errors, process

Progress = Callable[[int, int], None]

_TAIL_LINES = 15


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
    with tempfile.TemporaryDirectory(prefix="toolkit-") as scratch:
        request, answer = Path(scratch) / "request.json", Path(scratch) / "answer.json"
        request.write_text(json.dumps({"function": function, "arguments": dict(arguments)}))
        code = _run(request, answer, log, progress, env)
        if not answer.is_file():
            raise _died(function, code, log)
        return _unwrap(json.loads(answer.read_text()), log)


def _run(
    request: Path, answer: Path, log: Path, progress: Optional[Progress], env: Optional[Mapping[str, str]]
) -> int:
    read_end, write_end = os.pipe()
    argv = [
        sys.executable,
        "-m",
        "toolkit.child",
        str(request),
        str(answer),
        str(write_end),
        str(os.getpid()),
    ]
    with log.open("ab") as output:
        child = process.start(
            argv,
            env={"GLOG_minloglevel": "2", "PYTHONUNBUFFERED": "1", **(env or {})},
            stdout=output,
            stderr=output,
            pass_fds=[write_end],
        )
    os.close(write_end)
    try:
        with os.fdopen(read_end, "r") as pipe:
            _follow(pipe, progress)
        return child.wait()
    finally:
        if child.poll() is None:
            process.stop_group(child.pid, grace=1)
            child.wait()


def _follow(pipe: IO[str], progress: Optional[Progress]) -> None:
    for line in pipe:
        if progress is not None:
            done, total = json.loads(line)
            progress(done, total)


def _died(function: str, code: int, log: Path) -> errors.ChildError:
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return errors.ChildError(
        f"the child process for {function} {how} without an answer; its last lines:\n{tail(log)}",
        where=str(log),
        remedy="the whole output is in the log file; out of memory is the usual reason for SIGKILL",
    )


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


def tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log file, indented."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "    (no log)"
    return "\n".join("    " + line for line in text.splitlines()[-lines:])


def main(request: str, answer: str, progress_fd: str, parent: str) -> None:
    """The child: run what the request names, write the answer whole or not at all."""
    process.die_with(int(parent))
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


if __name__ == "__main__":
    main(*sys.argv[1:])
