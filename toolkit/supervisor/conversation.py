"""The control channel: a unix socket in the run directory, over which a command has the service put a release in front.

Each names the pipeline by its folder, `home`. A shift of one that is not served yet has it join.

A conversation is one connection, a JSON object a line, each answered by one; a canary says more meanwhile:

    {"do": "shift", "target": {...}, "front": {...}}   -> {"shifted": {...}}, {"changed": [names]}, or {"error": {...}}
    {"do": "canary", "target": {...}, "front": {...}, "percent": 10}     the same, with {"analysis": {...}} before it
    {"do": "confirm"}, {"do": "revert"} or {"do": "leave"}               -> {"done": true}, or {"error": {...}}

Who goes away before `confirm` has said `revert`: a command that is killed leaves what served before. Only the user of
the service can connect. `channel.py` is the service's end.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from toolkit.errors import ServiceError, from_json

SOCKET = "control.sock"

Message = dict[str, Any]


class Conversation:
    """A command's end.

    Args:
        home: of the pipeline that it is about.
    """

    def __init__(self, connection: socket.socket, home: Path) -> None:
        self._file = connection.makefile("rwb")
        self._home = str(home.resolve())

    def close(self) -> None:
        """Leave, which is what the service sees once this and the socket are closed."""
        # Of a service that has ended nothing is to be said any more.
        with suppress(OSError):
            self._file.close()

    def ask(
        self, do: str, told: Callable[[Mapping[str, Any]], None] = lambda analysis: None, **fields: Any
    ) -> Message:
        """What the service answers.

        Args:
            told: called with each analysis of a canary.

        Raises:
            ToolkitError: the service's own, or it ended.
            TimeoutError: it did not answer in time.
        """
        try:
            self._file.write(json.dumps({"do": do, "home": self._home, **fields}).encode() + b"\n")
            self._file.flush()
            answer = self._read()
            while "analysis" in answer:
                told(answer["analysis"])
                answer = self._read()
        except socket.timeout as error:
            raise TimeoutError("it does not answer") from error
        except OSError as error:
            raise ServiceError(
                f"the service ended meanwhile: {error}", remedy="`make logs` shows why"
            ) from error
        if "error" in answer:
            raise from_json(answer["error"])
        return answer

    def _read(self) -> Message:
        line = self._file.readline()
        if not line:
            raise ServiceError("the service ended meanwhile", remedy="`make logs` shows why")
        message: Message = json.loads(line)
        return message


@contextmanager
def conversation(run_dir: Path, home: Path, timeout: float | None = None) -> Iterator[Conversation]:
    """Talk to the service that runs in `run_dir`; leaving before `confirm` takes back what was begun.

    Args:
        home: of the pipeline that it is about.
        timeout: seconds that each answer may take.

    Raises:
        OSError: nobody listens there.
    """
    handle = os.open(run_dir, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            # The address of a unix socket has 107 bytes at most, and paths of run directories may be longer.
            connection.connect(f"/proc/self/fd/{handle}/{SOCKET}")
            connection.settimeout(timeout)
            with closing(Conversation(connection, home)) as talk:
                yield talk
    finally:
        os.close(handle)
