"""A log store whose disk stalls or fails on command."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from audit.errors import StoreFault
from audit.ports import LogTransaction
from audit.stores.memory import MemoryLogStore


class StallingStore(MemoryLogStore):
    """A memory store that can be held in the middle of a commit, or made to fail.

    Attributes:
        reached: Set once a transaction waits.
        go: Transactions wait until it is set; it is, at first.
        fault: Raised at the end of every transaction and probe, if given.
        batches: How many entries each committed transaction had, by tenant.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.fault: Exception | None = None
        self.batches: list[dict[str, int]] = []

    @contextmanager
    def transaction(self) -> Iterator[LogTransaction]:  # type: ignore[override]
        with super().transaction() as transaction:
            yield transaction
            if not self.go.is_set():
                self.reached.set()
                assert self.go.wait(30)
            if self.fault is not None:
                raise self.fault
            before = {t: len(tree.entries) for t, tree in self._trees.items()}
            self.batches.append(
                {t: len(tree.entries) - before.get(t, 0) for t, tree in transaction.touched.items()}
            )

    def probe(self) -> None:
        if self.fault is not None:
            raise self.fault

    def fill_disk(self) -> None:
        self.fault = StoreFault()

    def make_room(self) -> None:
        self.fault = None
