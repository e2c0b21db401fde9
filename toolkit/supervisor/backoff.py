"""How long to wait before a replica is started again, and when it is said to be in a crash loop."""

from __future__ import annotations

_FIRST, _IN_CRASH_LOOP = 0.5, 60.0

# A replica that has lived so long did not end for the same reason as the one before.
STABLE_SECONDS = 30.0

CRASHES = 5


class Backoff:
    """Counts the replicas of one place that ended soon, one after the other."""

    def __init__(self) -> None:
        self._crashes = 0

    def ended(self, age: float) -> None:
        """A replica has ended, or could not be started, `age` seconds after it was ready."""
        self._crashes = 0 if age >= STABLE_SECONDS else self._crashes + 1

    @property
    def crash_loop(self) -> bool:
        """Whether it is likely that the next one will end too."""
        return self._crashes >= CRASHES

    @property
    def seconds(self) -> float:
        """The pause before the next start; none after a replica that lived for long."""
        if self.crash_loop:
            return _IN_CRASH_LOOP
        return 0.0 if self._crashes == 0 else _FIRST * 2 ** (self._crashes - 1)
