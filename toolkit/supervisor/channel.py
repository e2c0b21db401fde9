"""The service's end of the control channel; `conversation.py` has the protocol and the other end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from toolkit.errors import ServiceError, ToolkitError
from toolkit.supervisor import front
from toolkit.supervisor.canary import Analysis
from toolkit.supervisor.conversation import SOCKET, Message
from toolkit.supervisor.deployed import Target
from toolkit.supervisor.member import Member
from toolkit.supervisor.members import Members

logger = logging.getLogger(__name__)

# What is broken off, and undone, when the command that asked for it goes away.
_TAKEN_BACK = ("shift", "canary")


class Channel:
    """The service's end; for one event loop, in a process whose current directory is that of the run.

    Args:
        has: see `front.of`; what wants another front door has to be started anew.
    """

    def __init__(self, members: Members, has: Mapping[str, str]) -> None:
        self._members = members
        self._has = has
        self._other = {"confirm": self._confirm, "revert": self._revert, "leave": self._leave}
        self._conversations: set[asyncio.Task[None]] = set()
        self._work: set[asyncio.Future[Message]] = set()
        self._stopping = False
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Take connections."""
        Path(SOCKET).unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, path=SOCKET)
        Path(SOCKET).chmod(0o600)

    async def stop(self) -> None:
        """End all conversations."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        # Of a command that had gone already it may not be undone yet.
        await asyncio.gather(*self._work, return_exceptions=True)
        Path(SOCKET).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await self._converse(reader, writer)
        except asyncio.CancelledError:
            # By `stop`, which waits for it; asyncio's own callback would take it for an error.
            pass
        except Exception:
            logger.exception("a conversation with a command failed")
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: Path | None = None
        try:
            while line := await reader.readline():
                asked = json.loads(line)
                work = asyncio.ensure_future(self._answer(asked, writer))
                self._work.add(work)
                work.add_done_callback(self._work.discard)
                # One that has gone must not go on changing anything; nothing else comes before the answer.
                gone = asyncio.ensure_future(_gone(reader))
                try:
                    await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    gone.cancel()
                    if not work.done():
                        # What is confirmed is not taken back half-way.
                        if asked["do"] in _TAKEN_BACK or self._stopping:
                            work.cancel()
                        await asyncio.wait({work})
                if work.cancelled():
                    return
                answer = work.result()
                mine = Path(asked["home"]) if "shifted" in answer else None
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        finally:
            # A service that stops need not: it has not recorded what was not confirmed.
            if mine is not None and not self._stopping:
                await self._revert(mine)
                self._members.record()

    async def _answer(self, asked: Message, writer: asyncio.StreamWriter) -> Message:
        try:
            if asked["do"] in _TAKEN_BACK:
                return await self._shift(asked, writer)
            await self._other[asked["do"]](Path(asked["home"]))
            return {"done": True}
        except ToolkitError as error:
            return {"error": error.to_json()}
        finally:
            # Before the answer, so that the command finds in the record what it was told.
            if not self._stopping:
                self._members.record()

    async def _confirm(self, home: Path) -> None:
        await self._known(home).confirm()

    async def _revert(self, home: Path) -> None:
        member = self._known(home)
        await (self._members.leave(member) if member.is_new else member.rollouts.revert())

    async def _leave(self, home: Path) -> None:
        member = self._members.of(home)
        if member is not None:
            await self._members.leave(member)

    def _known(self, home: Path) -> Member:
        member = self._members.of(home)
        if member is None:
            raise ServiceError("the pipeline is not served here", where=str(home))
        return member

    async def _shift(self, asked: Message, writer: asyncio.StreamWriter) -> Message:
        home, target = Path(asked["home"]), Target.from_json(asked["target"])
        member = await self._members.staying(home)
        is_shared = (
            member is None
            or len(self._members) > 1
            or not front.is_for(self._has, member.rollouts.current.plan.limits)
        )
        changed = front.changed(self._has, asked["front"], is_shared)
        if changed:
            return {"changed": changed}
        if member is None:
            return {"shifted": asdict(await self._members.join(home, target))}
        if asked["do"] == "shift":
            return {"shifted": asdict(await member.rollouts.shift(target))}

        def tell(found: Analysis) -> None:
            writer.write(json.dumps({"analysis": {**found.to_json(), "text": found.text}}).encode() + b"\n")

        return {"shifted": asdict(await member.rollouts.canary(target, asked["percent"], tell))}


async def _gone(reader: asyncio.StreamReader) -> None:
    """Returns when the other end has closed, without taking anything that it said."""
    while not reader.at_eof():
        await asyncio.sleep(0.05)
