"""Things that start side by side, of which all are wanted or none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable


async def all_or_none(starts: Iterable[Awaitable[None]]) -> None:
    """Wait for all; what one of them raises ends the others, so that nothing still starts when this is over."""
    tasks = [asyncio.ensure_future(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
