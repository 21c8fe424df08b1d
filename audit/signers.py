"""Who signs each tree: asked for once, and followed by another with the commit that says so.

1. Which key is in force is read off the newest checkpoint when it is first asked for.
2. It changes when a commit that both keys signed is durable, and at no other moment
   (`audit.succession`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

import msgspec

from audit.errors import EventInvalid
from audit.event import Event, is_tenant
from audit.note import LogSigner
from audit.ports import LogTransaction, TreeState
from audit.succession import ACTION, Handover, endorsement, in_force


class Signers:
    """Remembers the signer of each tenant's tree. Safe for threads: the first answer stays.

    Args:
        ask: Returns the signer of a tenant's tree, with the successor that is being arranged.
        head: Returns the stored head of a tenant's tree, if there is one.
    """

    def __init__(
        self, ask: Callable[[str], LogSigner], head: Callable[[str], TreeState | None]
    ) -> None:
        self._ask = ask
        self._head = head
        self._known: dict[str, LogSigner] = {}
        self._succeeding: dict[str, tuple[str, LogSigner]] = {}
        self._lock = threading.Lock()

    def __call__(self, tenant: str) -> LogSigner:
        """Return the signer of a tenant's tree.

        Raises:
            EventInvalid: This is no name of a tenant.
        """
        signer = self._known.get(tenant)
        if signer is None:
            if not is_tenant(tenant):
                raise EventInvalid
            asked = self._ask(tenant)
            head = self._head(tenant) if asked.successor is not None else None
            # A thread that asked before a rotation, and comes after it, must not undo it.
            signer = self._known.setdefault(tenant, in_force(asked, head))
        return signer

    def arrange(self, event: Event, successor: LogSigner) -> Event | None:
        """Let a successor sign with the commit of an event, and return that with its endorsement.

        Returns:
            None when the successor signs already.

        Raises:
            EventInvalid: It is no `audit.succession.ACTION` event.
            NoteInvalid: The successor is of another log.
        """
        before = self(event.tenant)
        if event.action != ACTION:
            raise EventInvalid
        if before.verifier_key == successor.verifier_key:
            return None
        endorsed = msgspec.structs.replace(event, succession=endorsement(before, successor))
        with self._lock:
            self._succeeding[event.tenant] = event.id, successor
        return endorsed

    def of_batch(
        self, transaction: LogTransaction, tenant: str, event_ids: Iterable[str]
    ) -> LogSigner | Handover:
        """Return what signs a batch: both keys, if it brings the event that was arranged for."""
        signer = self(tenant)
        if tenant not in self._succeeding:
            return signer
        arranged, successor = self._succeeding[tenant]
        if arranged in event_ids and not transaction.existing(tenant, [arranged]):
            return Handover(signer, successor)
        return signer

    def committed(self, states: Mapping[str, TreeState]) -> None:
        """Let the successors sign that have signed what is durable now."""
        for tenant in states.keys() & self._succeeding.keys():
            _, successor = self._succeeding[tenant]
            if successor.verifier.has_signed(states[tenant].note):
                self._known[tenant] = successor
                with self._lock:
                    del self._succeeding[tenant]
