"""When an engine that ended is started again, and when its model is set aside. Pure.

The first end is answered at once, later ones after pauses that double. A model that ends
`MAX_ENDS` engines within `WINDOW_SECONDS` rests: for `REST_SECONDS`, and twice as long each time it
comes to that again, up to `LONGEST_REST_SECONDS`. So one input that is sent again and again costs
the others of its tenant this model, for a while, and nobody anything else.
"""

from __future__ import annotations

from collections import deque
from typing import Final

MAX_ENDS: Final = 5
WINDOW_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.02
REST_SECONDS: Final = 30.0
LONGEST_REST_SECONDS: Final = 1800.0


class Health:
    """The ends of one version's engines."""

    def __init__(self) -> None:
        self._ends: deque[float] = deque(maxlen=MAX_ENDS)
        self._rests = 0
        self._rests_until = 0.0

    def ended(self, now: float) -> float:
        """Note the end of an engine; returns the seconds until one may be started again."""
        while self._ends and self._ends[0] <= now - WINDOW_SECONDS:
            self._ends.popleft()
        self._ends.append(now)
        if len(self._ends) == MAX_ENDS:
            rest = min(REST_SECONDS * (1 << self._rests), LONGEST_REST_SECONDS)
            self._rests += 1
            self._rests_until = now + rest
            self._ends.clear()
            return rest
        again = len(self._ends) - 1
        return 0.0 if again == 0 else FIRST_PAUSE_SECONDS * (1 << (again - 1))

    def resting(self, now: float) -> bool:
        """Whether the model is set aside."""
        return now < self._rests_until
