"""The recorded solo mode: one administrator may act alone at first, and not for long.

INVARIANT: it ends with the second enabled administrator or 30 days after `init`, whichever comes
first, and nothing starts it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from audit.event import PLATFORM_TENANT
from gateway.identity.ports import ClientStore

SOLO_SECONDS: Final = 30 * 24 * 3600
MAX_CLIENTS: Final = 1_000
"""Clients of the platform tenant that are looked at; more of them end the mode as well."""


class SoloMode:
    """Callable that tells whether the mode is on.

    Args:
        clients: Where clients are registered; a new one must raise the epoch.
        since: Unix seconds of the recorded start; None when the mode was never recorded.
        clock: Unix seconds.
        epoch: The revocation epoch, under which the count of administrators is remembered.
    """

    def __init__(
        self,
        clients: ClientStore,
        since: int | None,
        clock: Callable[[], float],
        epoch: Callable[[], int],
    ) -> None:
        self._clients = clients
        self._since = since
        self._clock = clock
        self._epoch = epoch
        self._counted: tuple[int, bool] | None = None

    def __call__(self) -> bool:
        """Tell whether one administrator may act alone now."""
        if self._since is None or self._clock() >= self._since + SOLO_SECONDS:
            return False
        epoch = self._epoch()
        if self._counted is None or self._counted[0] != epoch:
            self._counted = (epoch, self._alone())
        return self._counted[1]

    def _alone(self) -> bool:
        clients = self._clients.list(PLATFORM_TENANT, None, MAX_CLIENTS)
        admins = [c for c in clients if "administrator" in c.roles and not c.disabled]
        return len(admins) <= 1 and len(clients) < MAX_CLIENTS
