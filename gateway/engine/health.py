"""When an engine that ended is started again, and when its model is set aside. Pure.

The first end is answered at once, later ones after pauses that double. A model that ends
`MAX_ENDS` engines within `WINDOW_SECONDS` rests: for `REST_SECONDS`, and twice as long each time it
comes to that again, up to `LONGEST_REST_SECONDS`. It rests at once after what no sound model does:
a load that does not come to its end, an engine that computes with nothing to run. So one input that
is sent again and again costs the others of its tenant this model, for a while, and nobody anything
else.

What is known of a version outlives its engines (`Healths`): one that was given up to make room, or
could not be loaded, gets no fresh chances by being loaded anew.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, deque
from typing import Final

from gateway.engine.errors import SetAside

MAX_ENDS: Final = 5
WINDOW_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.02
REST_SECONDS: Final = 30.0
LONGEST_REST_SECONDS: Final = 1800.0
FORGIVEN_SECONDS: Final = 86_400.0
"""After so long without an end the next rest is as short as the first."""
_DOUBLED: Final = 6
KEPT: Final = 256
"""Versions of one tenant whose health is known; engines of a process are as many at most."""


class Health:
    """The ends of one version's engines. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0.0
        self._ends: deque[float] = deque(maxlen=MAX_ENDS)
        self._rests = 0
        self._rests_until = 0.0

    @property
    def fresh(self) -> bool:
        """Whether no engine has ended."""
        return not self._ends and not self._rests

    def ended(self, now: float, *, grave: bool = False) -> float:
        """Note the end of an engine; returns the seconds until one may be started again.

        Args:
            now: Seconds of a clock that all versions share.
            grave: The model rests at once.
        """
        with self._lock:
            return self._noted(now, grave)

    def _noted(self, now: float, grave: bool) -> float:
        if now - self._last > FORGIVEN_SECONDS:
            self._rests = 0
        self._last = now
        while self._ends and self._ends[0] <= now - WINDOW_SECONDS:
            self._ends.popleft()
        self._ends.append(now)
        if grave or len(self._ends) == MAX_ENDS:
            rest = min(REST_SECONDS * (1 << min(self._rests, _DOUBLED)), LONGEST_REST_SECONDS)
            self._rests += 1
            self._rests_until = now + rest
            self._ends.clear()
            return rest
        again = len(self._ends) - 1
        return 0.0 if again == 0 else FIRST_PAUSE_SECONDS * (1 << (again - 1))

    def rest(self, now: float) -> float:
        """Return for how many seconds the model is set aside yet."""
        return max(0.0, self._rests_until - now)

    def check(self, now: float) -> None:
        """Raise `SetAside` while the model is set aside."""
        if now < self._rests_until:
            raise SetAside().again_in(self._rests_until - now)


class Healths:
    """What is known of versions, by a digest of their names. Used under the lock of its owner.

    A tenant has room for `KEPT` versions; one of which nothing bad is known makes way first, then
    the one that was asked for least lately.
    """

    def __init__(self) -> None:
        self._known: dict[str, OrderedDict[bytes, Health]] = {}

    def of(self, tenant: str, model: str, version: str) -> Health:
        """Return the health of a version."""
        digest = hashlib.sha256("\0".join((tenant, model, version)).encode()).digest()
        known = self._known.setdefault(tenant, OrderedDict())
        found = known.setdefault(digest, Health())
        known.move_to_end(digest)
        if len(known) > KEPT:
            others = (each for each in known if each != digest)
            fresh = next((each for each in others if known[each].fresh), None)
            del known[next(iter(known)) if fresh is None else fresh]
        return found

    def resting(self, now: float) -> int:
        """Return how many versions are set aside."""
        return sum(each.rest(now) > 0 for known in self._known.values() for each in known.values())
