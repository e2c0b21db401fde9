"""Questions to replicas that no client can reach yet: all golden ones, and errors that must come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.client import protocol
from toolkit.content.kinds import FIELDS
from toolkit.errors import SmokeError
from toolkit.gateway.endpoint import Endpoint, Gone
from toolkit.gateway.faults import Fault
from toolkit.serving import release
from toolkit.smoke import REFUSED, compare


async def check(directory: Path, plan: release.Release, endpoints: Sequence[Endpoint]) -> None:
    """Ask each replica, one after the other; their answers must be those of the gate, and the same to the last digit.

    Raises:
        SmokeError: something differed; the message lists all that did.
    """
    differences = [] if endpoints else ["there is no replica to ask"]
    first: dict[str, Any] = {}
    for endpoint in endpoints:
        ask = _Asker(endpoint, plan)
        for file, expected in release.goldens(directory):
            found = await ask.golden(file)
            told = _golden_differences(expected, found, first.setdefault(file.name, found))
            differences += [f"replica {endpoint.index}, {file.name}: {item}" for item in told]
        differences += [f"replica {endpoint.index}, {item}" for item in await ask.refusals()]
    if differences:
        raise SmokeError(
            "\n  - ".join(["the new release does not answer as it should:", *differences]),
            where=str(directory),
            remedy="see the logs of its replicas; if the model was meant to change, evaluate it anew",
        )


def _golden_differences(expected: Mapping[str, Any], found: Any, first: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield f"expected a prediction, got {found}"
        return
    told = compare(expected, found)
    yield from told
    if not told and found != first:
        yield f"not what the first replica answered: {'; '.join(compare(first, found)) or json.dumps(found)}"


class _Asker:
    """Asks one replica."""

    def __init__(self, endpoint: Endpoint, plan: release.Release) -> None:
        self._endpoint = endpoint
        self._name = plan.name
        self._kind = plan.accepts
        self._timeout = plan.limits.deadline_seconds

    async def golden(self, path: Path) -> Any:
        """The answer; a text where there is none."""
        response = await self._ask(self._name, path.read_bytes())
        if isinstance(response, str):
            return response
        if response.err_no != protocol.OK:
            return f"error {response.err_no}: {response.err_msg}"
        return json.loads(protocol.first_value(response, protocol.RESULT_KEY) or "null") or "no result"

    async def refusals(self) -> list[str]:
        """What is not refused as it has to be."""
        refused = REFUSED[self._kind]
        wanted = {
            refused.what: (refused.err_no, self._name, refused.content),
            "unknown model": (protocol.NO_SERVICE, "no-such-model", refused.content),
        }
        found = []
        for what, (err_no, name, data) in wanted.items():
            response = await self._ask(name, data)
            got = response if isinstance(response, str) else f"error {response.err_no}"
            if got != f"error {err_no}":
                found.append(f"{what}: expected error {err_no}, got {got}")
        return found

    async def _ask(self, name: str, data: bytes) -> Any:
        request = protocol.pack_file(name, data, FIELDS[self._kind])
        try:
            reply = await self._endpoint.call(protocol.PATH, request, timeout=self._timeout)
        except (Fault, Gone, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"
        return protocol.Response.FromString(reply.body)
