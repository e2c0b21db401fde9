"""The commands of docs/tutorial.md: what its blocks in `sh` say, in order."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"


def blocks() -> list[str]:
    """Each of them a shell script."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def instead(block: str, other: dict[str, str]) -> str:
    """The block with places and ports of a test instead of those that it names."""
    for named, place in other.items():
        block = block.replace(named, place)
    return block
