from __future__ import annotations

import pytest

from toolkit.gateway import poison
from toolkit.gateway.poison import Poisons


def test_what_was_poison_once_is_found_and_nothing_else() -> None:
    known = Poisons()
    assert known.find(b"a") is None
    digest = known.add(b"a")
    assert known.find(b"a") == digest == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert known.find(b"b") is None


def test_it_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Poisons()
    known.add(b"a")
    now = poison.time.monotonic()
    monkeypatch.setattr(poison.time, "monotonic", lambda: now + 601)
    assert known.find(b"a") is None


def test_only_so_many_are_kept() -> None:
    known = Poisons()
    for number in range(1001):
        known.add(str(number).encode())
    assert known.find(b"0") is None
    assert known.find(b"1") is not None
