"""One-time identifiers: has this `jti` been seen? Bounded, and a full cache says yes.

1. An identifier is remembered for as long as what carries it could be accepted.
2. Nothing is forgotten early to make room: when the cache is full the answer is "seen before", so
   the request is refused.
3. One owner can use a quarter of the room, so that none can shut out the others.
4. Identifiers are kept as hashes of a fixed size, and only those that passed every other check.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

DEFAULT_CAPACITY: Final = 200_000
"""Entries: about 40 MB, and 3,000 proofs a second over a minute."""
_SHARES: Final = 4


class ReplayCache:
    """Remembers one-time identifiers.

    Args:
        seconds: How long something with such an identifier could be accepted after it was first.
        clock: Unix seconds, the same clock that judges the age of what carries the identifier.
        capacity: Most identifiers at a time.
    """

    def __init__(
        self, seconds: float, clock: Callable[[], float], capacity: int = DEFAULT_CAPACITY
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._capacity = capacity
        self._share = max(1, capacity // _SHARES)
        self._seen: dict[bytes, tuple[float, str]] = {}  # in the order of expiry
        self._owned: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._seen)

    def first(self, owner: str, identifier: str) -> bool:
        """Record the identifier of `owner`; True only if it is new and there was room for it."""
        key = hashlib.sha256(f"{owner}\0{identifier}".encode()).digest()
        now = self._clock()
        with self._lock:
            self._expire(now)
            if key in self._seen or len(self._seen) >= self._capacity:
                return False
            if self._owned[owner] >= self._share:
                return False
            self._seen[key] = (now + self._seconds, owner)
            self._owned[owner] += 1
            return True

    def _expire(self, now: float) -> None:
        while self._seen:
            key = next(iter(self._seen))
            expires, owner = self._seen[key]
            if expires >= now:
                return
            del self._seen[key]
            self._owned[owner] -= 1
            if not self._owned[owner]:
                del self._owned[owner]
