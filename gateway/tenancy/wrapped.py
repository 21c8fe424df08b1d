"""Everything that a tenant's key has wrapped, and the end of a version that was replaced.

Safety argument:
1. All that is stored is known here: sealed payloads in every store that keeps some, and the
   generation keys of data subjects. Only the 16 or 32 bytes of a key are wrapped anew; payloads,
   and what sites and partners hold, stay as they are.
2. A version is destroyed only after its promised time, after a whole look that found nothing that
   it wrapped, and while no job is under way that began before everything was wrapped anew: such a
   job may hold a record with the earlier wrapping, and write it back.
3. The destruction is an intent and told to the tenant in its own log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

import structlog

from audit.event import PLATFORM_TENANT
from audit.sealing import SubjectVault
from gateway.artifacts.errors import KeyUnavailable, KeyUnwrapFailed
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.upload import HoldsWrappedKeys, SealedPayload, Sealer
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, TOLD, UNDONE, Attribution, Kind, Settled
from gateway.authorization.recorder import Details
from gateway.authorization.records import Pending

RETIRE: Final = "retire_tenant_key"
WRAPPING_S: Final = 3600
"""Seconds after a rotation in which work may still begin with what the old version wrapped: the
first look takes its time, and half a millisecond for each key."""


class Rewrapping:
    """Wraps a tenant's stored keys by its newest key. Blocks; may be repeated, and cut off.

    Args:
        keys: Wraps.
        sealer: Wraps the keys of payloads.
        holders: Every store that keeps sealed payloads.
        vault: Keeps the keys of data subjects.
        changed: Raises the epoch under which records are remembered.
    """

    def __init__(
        self,
        keys: KeyProvider,
        sealer: Sealer,
        holders: Sequence[HoldsWrappedKeys],
        vault: SubjectVault,
        changed: Callable[[], object],
    ) -> None:
        self._keys = keys
        self._sealer = sealer
        self._holders = holders
        self._vault = vault
        self._changed = changed

    def __call__(self, tenant: str) -> int:
        """Wrap everything anew that an older version wrapped; returns how many records changed.

        A stored key that no version opens was lost before; it is left, and told of.

        Raises:
            KeyUnavailable: The tenant's key is disabled or destroyed.
            SealgateError: A store failed; the next call goes on.
        """
        anew = partial(self._anew, tenant)
        count = sum(holder.rewrap(tenant, anew) for holder in self._holders)
        with _told(tenant):
            count += self._vault.rewrap(tenant, partial(self._keys.wraps_newest, tenant))
        if count:
            self._changed()
        return count

    def _anew(self, tenant: str, sealed: SealedPayload) -> SealedPayload:
        with _told(tenant):
            return self._sealer.rewrapped(tenant, sealed)
        return sealed


class KeyRetirement:
    """Destroys versions of tenants' keys whose time is up.

    Args:
        keys: The keys of all tenants.
        rewrapping: Looks for what an older version wrapped.
        busy: Tells whether a tenant has work under way that began before a time (Unix seconds).
        intents: Begin and end changes.
        clock: Unix seconds.
    """

    def __init__(
        self,
        keys: KeyProvider,
        rewrapping: Rewrapping,
        busy: Callable[[str, int], bool],
        intents: Intents,
        clock: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._rewrapping = rewrapping
        self._busy = busy
        self._intents = intents
        self._clock = clock
        intents.register(Kind(RETIRE, "administer", _details, self._finish))

    def sweep(self) -> None:
        """Retire what can be retired now; what cannot is looked at again the next time. Blocks."""
        for tenant in self._keys.due(self._clock()):
            try:
                self.retire(tenant)
            except Exception as fault:
                structlog.get_logger().warning(
                    "key_not_retired", tenant=tenant, fault=type(fault).__name__
                )

    def retire(self, tenant: str) -> None:
        """Destroy the older versions of a tenant's key, unless something may need them still.

        Raises:
            KeyUnavailable: The tenant's key is disabled or destroyed.
            SealgateError: A store failed, or it cannot be recorded.
        """
        key = self._keys.tenant_key(tenant)
        # INVARIANT: first who is busy, then the look: who came later read what is wrapped anew.
        if self._busy(tenant, key.made + WRAPPING_S) or self._rewrapping(tenant):
            return
        row = {"tenant": tenant, "version": str(key.version), TOLD: tenant}
        with self._intents.changing(RETIRE, PLATFORM_TENANT, row, Attribution()):
            self._keys.retire(tenant, version=key.version)

    def _finish(self, pending: Pending) -> Settled:
        """It was promised with the rotation, and everything was looked through: it is done again.

        A key that was destroyed or disabled meanwhile has nothing to be retired.
        """
        tenant = pending.facts["tenant"]
        try:
            self._rewrapping(tenant)
            self._keys.retire(tenant, version=int(pending.facts["version"]))
        except KeyUnavailable:
            return UNDONE
        return FINISHED


@contextmanager
def _told(tenant: str) -> Iterator[None]:
    try:
        yield
    except KeyUnwrapFailed:
        structlog.get_logger().warning("wrapped_key_lost", tenant=tenant)


def _details(pending: Pending) -> Details:
    return {"reason": RETIRE, "resource": f"Key::tenant/{pending.facts['tenant']}"}
