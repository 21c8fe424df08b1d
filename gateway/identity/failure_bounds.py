"""How often authentication may fail before the answer is "later", by client and by address.

1. Nobody is locked out. Credentials are looked at however often others failed, and what is right is
   accepted: only failures are counted, and only a failure is told to wait. That is affordable, as
   looking (a hash, or a signature) costs less than reading the request did; and it is safe, as
   secrets of 256 random bits and private keys are not found by trying.
2. A failure is counted for the client that was named, whether it exists or not, and for the address
   that it came from. So it tells nothing about who exists, and one address that tries many names,
   or many addresses that try one, are both slowed.
3. `Retry-After` is true: from then on a failure is answered as one again, unless others failed in
   the same name meanwhile. A failure that was told to wait does not make the wait longer.
4. Memory is bounded: where there is no room the counts that are oldest are forgotten.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Allowance:
    """Failures that are answered as such.

    Attributes:
        burst: So many at once.
        seconds: After which there is room for one more.
    """

    burst: int
    seconds: float


OF_CLIENT: Final = Allowance(20, 3.0)
"""A service with a wrong secret tries again a few times; one that is being attacked more often."""
OF_ADDRESS: Final = Allowance(60, 1.0)
"""Many clients may stand behind one address."""
ROOM: Final = 20_000
"""Clients, and as many addresses, that are counted at a time: some megabytes."""


class FailureBounds(Protocol):
    """Counts failures of authentication. Safe for threads; must not block for long."""

    def failed(self, client_id: str, address: str) -> int:
        """Count a failure and tell how many seconds to wait; 0 where it is within bounds.

        Args:
            client_id: The client that was named; empty where none was.
            address: Where it came from; empty where that is not known.
        """
        ...


class MemoryFailureBounds:
    """Counts in this process.

    Args:
        monotonic: Seconds of a clock that is never set back.
        room: Clients, and addresses, that are counted at a time.
    """

    def __init__(self, monotonic: Callable[[], float], room: int = ROOM) -> None:
        self._now = monotonic
        self._clients = Counts(OF_CLIENT, room)
        self._addresses = Counts(OF_ADDRESS, room)
        self._lock = threading.Lock()

    def failed(self, client_id: str, address: str) -> int:
        """See `FailureBounds.failed`."""
        now = self._now()
        with self._lock:
            waits = [
                counts.wait(name, now)
                for counts, name in ((self._clients, client_id), (self._addresses, address))
                if name
            ]
        return math.ceil(max(waits, default=0.0))


class Counts:
    """The generic cell rate algorithm: of each name, when its allowance would be whole again.

    Args:
        allowance: Of each name.
        room: Names that are counted at a time.
    """

    def __init__(self, allowance: Allowance, room: int) -> None:
        self._allowance = allowance
        self._room = room
        self._whole: dict[str, float] = {}  # the one that failed longest ago first

    def wait(self, name: str, now: float) -> float:
        """Count one and return 0, or return the seconds until there is room for one."""
        each, most = self._allowance.seconds, self._allowance.burst * self._allowance.seconds
        whole = max(now, self._whole.pop(name, now))
        over = whole + each - now - most
        # INVARIANT: one that is over is not added, or the wait that was told would not be true.
        self._whole[name] = whole if over > 0 else whole + each
        if len(self._whole) > self._room:
            del self._whole[next(iter(self._whole))]
        return max(0.0, over)
