from __future__ import annotations

from typing import Any

from tests.bench.joining import compared


class Reader:
    """Batches of at most three lines; the score of a line tells how many were in its batch."""

    def read(self, crops: list[Any]) -> tuple[float, int, list[tuple[str, float]]]:
        batches = [crops[start : start + 3] for start in range(0, len(crops), 3)]
        texts = [(str(line), float(len(batch))) for batch in batches for line in batch]
        return 4.0 * len(batches) + len(crops), len(batches), texts


def test_lines_of_two_are_compared_with_the_lines_of_each() -> None:
    found = compared(Reader(), ["a", "b"], ["c", "d", "e", "f"], rounds=2)
    assert found.inferences == (1, 2, 2)
    assert found.ratios == [14 / 18, 14 / 18]
    assert (found.other_texts, found.other_scores) == (0, 3)
