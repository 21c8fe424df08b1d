"""The rate of one client, counted in this process."""

from __future__ import annotations

from typing import Final

import limits
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from gateway.errors import ConfigurationError
from gateway.identity.principal import Principal

NAMESPACE: Final = "infer"


class Throttle:
    """Counts the requests of each client.

    Args:
        rate: Such as `6000/minute` (the notation of the `limits` library).

    Raises:
        ConfigurationError: When the rate cannot be read.
    """

    def __init__(self, rate: str) -> None:
        try:
            self._rate = limits.parse(rate)
        except ValueError:
            raise ConfigurationError("`rate_limit` must look like `6000/minute`") from None
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def spend(self, principal: Principal) -> bool:
        """Count one request; `False` when the client's rate is used up."""
        return self._limiter.hit(self._rate, NAMESPACE, principal.tenant, principal.client_id)
