from __future__ import annotations

import random

import pytest

from toolkit.bundle import version

# In the order that semver.org gives.
ORDERED = (
    "0.9.9", "1.0.0-0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
    "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.0+build.7", "1.0.1", "1.2.0", "1.10.0", "2.0.0",
)  # fmt: skip


@pytest.mark.parametrize("text", ORDERED)
def test_what_is_a_semantic_version(text: str) -> None:
    assert version.is_semantic(text)


NONE = (
    "", "1", "1.4", "v1.4.0", "1.4.0.1", "01.4.0", "1.4.0-", "1.4.0-01", "1.4.0+", "../1.4.0", "1.4.0/x", "1.4.0\n",
    "١.٤.٠",
)  # fmt: skip


@pytest.mark.parametrize("text", NONE)
def test_what_is_none(text: str) -> None:
    assert not version.is_semantic(text)
    with pytest.raises(ValueError, match="no semantic version"):
        version.order(text)


def test_versions_are_sorted_as_the_standard_has_it() -> None:
    shuffled = random.Random(0).sample(ORDERED, len(ORDERED))
    assert tuple(sorted(shuffled, key=version.order)) == ORDERED
