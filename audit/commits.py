"""A batch of events into the trees of its tenants: one transaction, or nothing."""

from __future__ import annotations

from audit.errors import DuplicateEvent
from audit.heads import Heads
from audit.ports import LogStore
from audit.sequencing import Pending, sequence
from audit.signers import Signers
from audit.waiters import Answer, Waiter

Item = tuple[Pending, Waiter]
"""An event, and who waits for it."""


class Commits:
    """Commits batches. Used by the one thread that writes.

    Args:
        store: Where the trees are.
        signers: Who signs them.
        heads: Behind which no tree may fall.
    """

    def __init__(self, store: LogStore, signers: Signers, heads: Heads) -> None:
        self._store = store
        self._signers = signers
        self._heads = heads

    def __call__(self, batch: dict[str, list[Item]]) -> list[tuple[Waiter, Answer]]:
        """Commit events by tenant; returns for each its index, or the conflict.

        Raises:
            Exception: Nothing of it is in the trees, as far as anybody knows.
        """
        try:
            return self._attempt(batch, look_up=False)
        except DuplicateEvent:
            return self._attempt(batch, look_up=True)

    def _attempt(
        self, batch: dict[str, list[Item]], *, look_up: bool
    ) -> list[tuple[Waiter, Answer]]:
        answers: list[tuple[Waiter, Answer]] = []
        states = {}
        with self._store.transaction() as transaction:
            for tenant, items in batch.items():
                events = [pending for pending, _ in items]
                ids = (pending.event_id for pending in events)
                outcomes, states[tenant] = sequence(
                    transaction,
                    tenant,
                    events,
                    self._signers.of_batch(transaction, tenant, ids),
                    floor=self._heads.size(tenant),
                    look_up=look_up,
                )
                waiters = [waiter for _, waiter in items]
                answers.extend(zip(waiters, outcomes, strict=True))
        self._heads.advance(states)
        self._signers.committed(states)
        return answers
