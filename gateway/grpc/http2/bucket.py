"""How many frames that cost us and not their sender a connection may have. Pure."""

from __future__ import annotations


class Bucket:
    """A leaky bucket.

    Args:
        burst: How many fit at once.
        a_second: How many drain in a second.
    """

    __slots__ = ("_a_second", "_burst", "_level", "_seen")

    def __init__(self, burst: int, a_second: float) -> None:
        self._burst = burst
        self._a_second = a_second
        self._level = 0.0
        self._seen = 0.0

    def pour(self, now: float) -> bool:
        """Add one at `now` (monotonic seconds); tell whether there was room."""
        self._level = max(0.0, self._level - (now - self._seen) * self._a_second) + 1.0
        self._seen = now
        return self._level <= self._burst

    def relieve(self, count: int) -> None:
        """Take some out: their sender also did something useful."""
        self._level = max(0.0, self._level - count)
