"""How long someone waits before another guess at a password. Pure but for its memory.

1. Five guesses are free; then each wrong one doubles the wait, up to a minute. So nobody is locked
   out for ever: whoever waits a minute may try.
2. Guesses at one account from one address count together. Those from all addresses count too, past
   fifty, but not for an address from which the person has signed in: whoever attacks from elsewhere
   does not keep the person out.
3. Guesses from one address at many accounts count together, past thirty; where no address is told,
   none do.
4. An account is counted whether it exists or not, under a digest: waiting tells nothing.
5. The memory is bounded; what was not touched longest goes first, and a success clears its own.
6. A minute makes up for a guess: so many a guesser has anyway, and people who mistype now and then
   behind one address do not come to wait for one another.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

FREE: Final = 5
"""Wrong guesses without a wait: people mistype."""
FREE_ADDRESS: Final = 30
"""Wrong guesses of an address at any account: an office behind one address mistypes too."""
FREE_ACCOUNT: Final = 50
"""Wrong guesses at an account from anywhere."""
LONGEST: Final = 60.0
"""Seconds: a person who mistyped can wait that long, and a guesser gets 1,440 tries a day."""
CAPACITY: Final = 20_000
"""Things counted at a time: some 4 MB."""


@dataclass(slots=True)
class _Count:
    failures: int = 0
    owed: float = 0.0
    last: float = 0.0
    until: float = 0.0


class Throttle:
    """Counts wrong guesses in this process.

    Args:
        clock: Seconds of a clock that is never set back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()
        self._known: OrderedDict[tuple[bytes, str], None] = OrderedDict()

    def wait(self, account: bytes, address: str) -> float:
        """Return the seconds until another guess may be made; 0.0: now."""
        with self._lock:
            now = self._clock()
            counts = (self._counts.get(key) for key, _ in self._keys(account, address))
            return max(
                (count.until - now for count in counts if count and count.until > now), default=0.0
            )

    def failed(self, account: bytes, address: str) -> None:
        """Count a wrong guess."""
        with self._lock:
            now = self._clock()
            for key, free in self._keys(account, address):
                count = self._counts.setdefault(key, _Count(last=now))
                count.failures += 1
                count.owed = 1 + max(0.0, count.owed - (now - count.last) / LONGEST)
                count.last, over = now, math.ceil(count.owed) - free
                if over >= 0:
                    count.until = now + min(LONGEST, 2.0 ** min(over, 10))
                self._counts.move_to_end(key)
            while len(self._counts) > CAPACITY:
                self._counts.popitem(last=False)

    def succeeded(self, account: bytes, address: str) -> int:
        """Forget the wrong guesses at an account; returns how many there were from anywhere."""
        with self._lock:
            total = self._counts.pop(("account", account), _Count()).failures
            self._counts.pop((account, address), None)
            self._known[account, address] = None
            self._known.move_to_end((account, address))
            while len(self._known) > CAPACITY:
                self._known.popitem(last=False)
            return total

    def _keys(self, account: bytes, address: str) -> list[tuple[Hashable, int]]:
        keys: list[tuple[Hashable, int]] = [((account, address), FREE)]
        if address:
            keys.append((("address", address), FREE_ADDRESS))
        if (account, address) not in self._known:
            keys.append((("account", account), FREE_ACCOUNT))
        return keys
