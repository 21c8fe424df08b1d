"""Every change of a batch and of its parts goes through here, one after another.

1. A part is stored only while its batch is unfinished, and only over one that has not ended: what
   was cancelled, deleted or erased while a chunk ran does not come back with the chunk.
2. A record names a ciphertext before the store has it, and is forgotten after the ciphertext is
   gone: none is there of which nobody knows, whenever the process ends.
3. One process owns the data folder; its lock is held here for as long as a write takes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from gateway.batch.ports import BatchStore
from gateway.batch.records import UNFINISHED, Batch, BatchState, Part, moved
from gateway.errors import StateConflict
from gateway.pages import PAGE, every

OPEN: Final = ("waiting", "kept")
"""States of a part that is still to be answered."""


class Ledger:
    """Keeps batches. Its methods block; all are safe in any thread.

    Args:
        store: Where they are kept.
        remove_payload: Deletes a stored ciphertext; absent is fine.
        clock: Unix seconds.
        keep_seconds: How long results and record stay after the end.

    Attributes:
        ended: How many ended since the start, by state.
    """

    def __init__(
        self,
        store: BatchStore,
        remove_payload: Callable[[str], None],
        *,
        clock: Callable[[], float],
        keep_seconds: int,
    ) -> None:
        self._store = store
        self._remove_payload = remove_payload
        self._clock = clock
        self.keep_seconds = keep_seconds
        self._lock = threading.RLock()
        self.ended: Counter[str] = Counter()

    @contextmanager
    def going(self, batch: Batch, part: Part | None = None) -> Iterator[BatchStore]:
        """Hold everything else while something is stored for a batch, or for a part, that goes on.

        Raises:
            StateConflict: The batch or the part has ended.
        """
        with self._lock:
            found = self._store.get_batch(batch.tenant, batch.id)
            if found is None or found.state not in UNFINISHED:
                raise StateConflict("the batch has ended")
            if part is not None:
                stored = self._store.get_part(part.tenant, part.batch, part.number)
                if stored is None or stored.state not in OPEN:
                    raise StateConflict("the part has ended")
            yield self._store

    def started(self, batch: Batch) -> Batch:
        """Store that the rows were taken in, and remove the file.

        Raises:
            StateConflict: The batch has ended.
        """
        source = batch.source
        with self.going(batch) as store:
            stored = store.replace_batch(moved(batch, "running"))
            if source is not None:
                self._remove_payload(source.digest)
                stored = store.replace_batch(replace(stored, source=None))
        return stored

    def end(self, batch: Batch, state: BatchState, reason: str = "", **place: Any) -> Batch:
        """End a batch and throw away what was not answered; results stay for a while.

        Args:
            batch: As it was read at some time.
            state: How it ended.
            reason: A stable code.
            **place: `row` and `column` that the reason is about.

        Raises:
            StateConflict: It has ended in another way.
        """
        with self._lock:
            found = self._store.get_batch(batch.tenant, batch.id)
            if found is None:
                raise StateConflict("the batch has ended")
            if found.state != state:
                expires = int(self._clock()) + self.keep_seconds
                ended = replace(moved(found, state, reason), expires=expires, **place)
                found = self._store.replace_batch(ended)
                self.ended[state] += 1
            for part in self._parts(found):
                if part.state in OPEN or part.source is not None:
                    self._clear(part)
            return self._without_source(found)

    def delete(self, batch: Batch) -> None:
        """Throw away results and rows; the record of the size stays, for the day's account."""
        with self._lock:
            found = self._store.get_batch(batch.tenant, batch.id)
            if found is not None:
                if found.state != "deleted":
                    found = self._store.replace_batch(moved(found, "deleted"))
                self.discard(found)
                if found.subject_sealed:
                    found = self._store.replace_batch(replace(found, subject_sealed=b""))
                self._without_source(found)

    def discard(self, batch: Batch) -> None:
        """Remove all parts of a batch and every ciphertext that they name."""
        with self._lock:
            for part in self._parts(batch):
                for digest in _digests(part):
                    self._remove_payload(digest)
            self._store.remove_parts(batch.tenant, batch.id)

    def ready(self, batch: Batch, part: Part) -> None:
        """Make a result readable, then remove the rows that it answers.

        Raises:
            StateConflict: The batch or the part has ended.
        """
        with self.going(batch, part) as store:
            store.put_part(replace(part, state="ready"))
            if part.source is not None:
                self._remove_payload(part.source.digest)
                store.put_part(replace(part, state="ready", source=None))

    def again(self, batch: Batch, part: Part) -> Part:
        """Take back a result that nobody may ever read; its rows wait once more.

        Raises:
            StateConflict: The batch or the part has ended.
        """
        fresh = replace(
            part, state="waiting", event="", digest="", length=0, outcome="", rules=(), refused=0
        )
        with self.going(batch, part) as store:
            if part.digest:
                self._remove_payload(part.digest)
            store.put_part(fresh)
        return fresh

    def forget(self, tenant: str, ref: str) -> None:
        """Remove all parts that are about a person who is erased: rows and results."""
        with self._lock:
            while found := self._store.parts_about(tenant, ref, limit=PAGE):
                for part in found:
                    for digest in _digests(part):
                        self._remove_payload(digest)
                    self._store.put_part(_erased(part))

    def sweep(self) -> int:
        """Remove batches that expired; returns how many."""
        now, count = int(self._clock()), 0

        def page(after: tuple[int, str], limit: int) -> list[Batch]:
            return self._store.expired_batches(now, after=after, limit=limit)

        for batch in list(every(page, lambda one: (one.expires, one.id), (-1, ""))):
            if batch.state not in UNFINISHED:
                with self._lock:
                    self.discard(batch)
                    self._without_source(batch)
                    self._store.remove_batch(batch.tenant, batch.id)
                count += 1
        return count

    def _clear(self, part: Part) -> None:
        """Remove the rows of a part; one that was never answered goes as a whole."""
        unanswered = part.state in OPEN
        if part.source is not None:
            self._remove_payload(part.source.digest)
        if unanswered and part.digest:
            self._remove_payload(part.digest)
        self._store.put_part(_dropped(part) if unanswered else replace(part, source=None))

    def _without_source(self, batch: Batch) -> Batch:
        if batch.source is None:
            return batch
        self._remove_payload(batch.source.digest)
        return self._store.replace_batch(replace(batch, source=None))

    def _parts(self, batch: Batch) -> Iterator[Part]:
        def page(after: int, limit: int) -> list[Part]:
            return self._store.list_parts(batch.tenant, batch.id, after=after, limit=limit)

        return every(page, lambda part: part.number, -1)


def _digests(part: Part) -> list[str]:
    """The ciphertexts that a part names, the rows first."""
    return [*([part.source.digest] if part.source else []), *([part.digest] if part.digest else [])]


def _erased(part: Part) -> Part:
    return replace(_dropped(part), state="erased")


def _dropped(part: Part) -> Part:
    """Return a part without rows and result."""
    bare = replace(part, source=None, refs=(), event="", digest="", length=0, outcome="", rules=())
    return replace(bare, state="dropped", refused=part.rows)
