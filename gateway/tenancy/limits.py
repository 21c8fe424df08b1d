"""The rate of one client, counted in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import limits

from gateway.errors import ConfigurationError
from gateway.identity.principal import Principal

KEPT: Final = 10_000
"""Windows after which those that are over are dropped: one a client, a hundred bytes."""


class Throttle:
    """Counts the requests of each client in windows of fixed length.

    The library that reads the rate could count, too: that takes ten times as long, and its memory
    starts a thread every 10 ms. Used on one event loop, so nothing is locked.

    Args:
        rate: Such as `6000/minute` (the notation of the `limits` library).
        clock: Unix seconds.

    Raises:
        ConfigurationError: When the rate cannot be read.
    """

    def __init__(self, rate: str, clock: Callable[[], float] = time.time) -> None:
        try:
            read = limits.parse(rate)
        except ValueError:
            raise ConfigurationError("`rate_limit` must look like `6000/minute`") from None
        self._most, self._seconds = read.amount, read.get_expiry()
        self._clock = clock
        self._windows: dict[tuple[str, str], tuple[int, float]] = {}

    def __len__(self) -> int:
        """How many windows are kept."""
        return len(self._windows)

    def spend(self, principal: Principal) -> float:
        """Count one request.

        Returns:
            0 when it is within the client's rate, else the seconds until the next that would be.
        """
        key, now = (principal.tenant, principal.client_id), self._clock()
        count, until = self._windows.get(key, (0, 0.0))
        if now >= until:
            count, until = 0, now + self._seconds
            self._drop_ended(now)
        self._windows[key] = count + 1, until
        return 0.0 if count < self._most else until - now

    def _drop_ended(self, now: float) -> None:
        if len(self._windows) > KEPT:
            self._windows = {key: kept for key, kept in self._windows.items() if now < kept[1]}
