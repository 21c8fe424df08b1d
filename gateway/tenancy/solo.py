"""The recorded solo mode: one administrator may act alone at first, and not for long.

INVARIANT: it ends with the second administrator who could act, a client that is enabled or a person
who is active and has a passkey, or 30 days after `init`, whichever comes
first, and nothing starts it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Final

from audit.event import PLATFORM_TENANT
from gateway.epoch_memo import EpochMemo
from gateway.identity.ports import ClientStore
from gateway.identity.records import Client
from gateway.pages import every

SOLO_SECONDS: Final = 30 * 24 * 3600


class SoloMode:
    """Callable that tells whether the mode is on.

    Args:
        clients: Where clients are registered; a new one must raise the epoch.
        since: Unix seconds of the recorded start; None when the mode was never recorded.
        clock: Unix seconds.
        people: Ids of the platform's people who could administer.
        epoch: The revocation epoch, under which the count of administrators is remembered.
    """

    def __init__(
        self,
        clients: ClientStore,
        since: int | None,
        clock: Callable[[], float],
        epoch: Callable[[], int],
        people: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._clients = clients
        self._since = since
        self._clock = clock
        self._people = people
        self._remembered: EpochMemo[str, bool] = EpochMemo(epoch)

    def __call__(self) -> bool:
        """Tell whether one administrator may act alone now."""
        if self._since is None or self._clock() >= self._since + SOLO_SECONDS:
            return False
        return bool(self._remembered.look_up(PLATFORM_TENANT, self._is_single))

    def _is_single(self) -> bool:
        """Tell whether there is at most one administrator who could act."""

        def page(after: str, limit: int) -> Sequence[Client]:
            return self._clients.list(PLATFORM_TENANT, after or None, limit)

        clients = every(page, lambda client: client.id, "")
        enabled = (c.id for c in clients if "administrator" in c.roles and not c.disabled)
        admins = chain(enabled, self._people())
        return next(islice(admins, 1, None), None) is None
