"""Signs of life of a replica: when it must be taken for dead although its process is there."""

from __future__ import annotations

# A look that comes so late was kept waiting itself, by a stopped machine for instance; that time tells nothing.
_LATE_SECONDS = 1.0


class Vitals:
    """For how long a replica that has something to do has done nothing.

    A replica's pulse goes on with every inference. So a request that takes long is no reason to end it, and silence
    is one, whatever the reason: a deadlock, SIGSTOP, a page that does not come in.

    Args:
        now: on the monotonic clock, in seconds.
    """

    def __init__(self, now: float) -> None:
        self._looked = now
        self._sign = now
        self._pulse = -1

    def look(self, now: float, pulse: int, busy: bool) -> float:
        """Seconds of silence up to `now`.

        Args:
            pulse: see `toolkit.serving.pulse`.
            busy: whether a request, or a golden inference, waits for it.
        """
        if now - self._looked > _LATE_SECONDS:
            self._sign += now - self._looked
        if pulse != self._pulse or not busy:
            self._sign = now
        self._pulse = pulse
        self._looked = now
        return max(0.0, now - self._sign)
