"""The rate of one client, counted in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import limits
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from gateway.errors import ConfigurationError
from gateway.identity.principal import Principal

NAMESPACE: Final = "infer"
KEPT: Final = 10_000
"""Counters after which those whose window is over are dropped: one a client, a hundred bytes."""


class Throttle:
    """Counts the requests of each client.

    Args:
        rate: Such as `6000/minute` (the notation of the `limits` library).
        clock: Unix seconds.

    Raises:
        ConfigurationError: When the rate cannot be read.
    """

    def __init__(self, rate: str, clock: Callable[[], float] = time.time) -> None:
        try:
            self._rate = limits.parse(rate)
        except ValueError:
            raise ConfigurationError("`rate_limit` must look like `6000/minute`") from None
        self._limiter = FixedWindowRateLimiter(Windows(clock))

    def spend(self, principal: Principal) -> bool:
        """Count one request; `False` when the client's rate is used up."""
        return self._limiter.hit(self._rate, NAMESPACE, principal.tenant, principal.client_id)


class Windows(Storage):
    """The library's port to a store, in memory and without a thread.

    The library's own memory starts a timer thread every 10 ms while it is used. Used on one event
    loop, so nothing is locked.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._counted: dict[str, tuple[int, float]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing here fails."""
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count in the window that is open, or open one of `expiry` seconds."""
        now = self._clock()
        count, until = self._counted.get(key, (0, 0.0))
        if now >= until:
            count, until = 0, now + expiry
            self._drop_ended(now)
        self._counted[key] = count + amount, until
        return count + amount

    def get(self, key: str) -> int:
        """Return the count of the open window."""
        count, until = self._counted.get(key, (0, 0.0))
        return count if self._clock() < until else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends; now where none is open."""
        return max(self._counted.get(key, (0, 0.0))[1], self._clock())

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def clear(self, key: str) -> None:
        """Forget one window."""
        self._counted.pop(key, None)

    def reset(self) -> int:
        """Forget all windows and return how many there were."""
        count = len(self._counted)
        self._counted.clear()
        return count

    def _drop_ended(self, now: float) -> None:
        if len(self._counted) > KEPT:
            self._counted = {key: kept for key, kept in self._counted.items() if now < kept[1]}
