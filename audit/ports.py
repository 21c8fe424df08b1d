"""What the audit log asks of its stores and of the keeper of keys.

A port states a promise: when a thing is durable, what is atomic, which answer means "absent".
Every method may raise `StoreFault` (log and subject stores); after one, nothing of the call
was applied and the next call is a fresh attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from audit.event import Columns


@dataclass(frozen=True, slots=True)
class SealedField:
    """A ciphertext under a subject's key (`SubjectVault.seal`), to be stored beside an event."""

    subject_ref: str
    ciphertext: bytes


class TreeState(NamedTuple):
    """The head of a tenant's tree.

    Attributes:
        size: Number of entries.
        frontier: Root hashes of the perfect subtrees, largest first, 32 bytes each.
        note: The signed checkpoint of exactly this size.
    """

    size: int
    frontier: bytes
    note: bytes


class NewEntry(msgspec.Struct, frozen=True):
    """An entry to insert: all that the store keeps of one event."""

    index: int
    event_id: str
    leaf_hash: bytes
    body: bytes
    columns: Columns
    subject_refs: tuple[str, ...]
    sealed: tuple[SealedField, ...]


class StoredEntry(msgspec.Struct, frozen=True):
    """An entry as stored, nothing of it verified. A pruned one has neither body nor columns."""

    index: int
    event_id: str
    leaf_hash: bytes
    body: bytes | None
    columns: Columns | None
    subject_refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events to find. Every given condition must hold; times are Unix nanoseconds.

    Attributes:
        since: Events at or after this time.
        until: Events before this time.
    """

    actor_ref: str | None = None
    subject_ref: str | None = None
    action: str | None = None
    outcome: str | None = None
    model_id: str | None = None
    since: int | None = None
    until: int | None = None

    def fits(self, entry: StoredEntry) -> bool:
        """Tell whether an entry has a body and all conditions hold for its columns."""
        found = entry.columns
        return (
            found is not None
            and self.actor_ref in (None, found.actor_ref)
            and self.action in (None, found.action)
            and self.outcome in (None, found.outcome)
            and self.model_id in (None, found.model_id)
            and (self.subject_ref is None or self.subject_ref in entry.subject_refs)
            and (self.since is None or found.ts >= self.since)
            and (self.until is None or found.ts < self.until)
        )


class LogTransaction(Protocol):
    """One atomic change of the log, made while no other writer can be in another."""

    def tree(self, tenant: str) -> TreeState | None:
        """Return the tenant's tree as it is inside this transaction, or None."""
        ...

    def tile(self, tenant: str, level: int, number: int) -> bytes:
        """Return the hashes of a tile that are there, up to 256; b"" means absent."""
        ...

    def existing(self, tenant: str, event_ids: Sequence[str]) -> Mapping[str, tuple[int, bytes]]:
        """Return index and leaf hash of those ids that are in the tree."""
        ...

    def insert(self, tenant: str, entries: Sequence[NewEntry]) -> None:
        """Insert entries.

        Raises:
            DuplicateEvent: An id is in the tree already; the transaction must be given up.
        """
        ...

    def put_tile(self, tenant: str, level: int, number: int, hashes: bytes) -> None:
        """Insert or replace a tile: a full one of level 0, any one above."""
        ...

    def put_tree(self, tenant: str, state: TreeState) -> None:
        """Insert or replace the head of a tree."""
        ...


class LogStore(Protocol):
    """Keeps the trees of all tenants.

    Entries are never changed, nor indices used twice. Reads see whole transactions only.
    """

    def transaction(self) -> AbstractContextManager[LogTransaction]:
        """Open the one writing transaction.

        Leaving it normally makes it durable: it survives a crash of process or machine.
        Leaving it by an exception, or failing to make it durable, undoes all of it.
        """
        ...

    def settle(self, entries: int = 1) -> None:
        """Do what commits left for later, if they left at least so many entries.

        It makes reads and later commits cheaper and changes nothing that they see. Whether it is
        called, fails or is interrupted, everything that was committed stays committed.
        """
        ...

    def probe(self) -> None:
        """Make a durable change outside every tree, to learn whether the store works again."""
        ...

    def tenants(self) -> list[str]:
        """Return the tenants that have a tree, sorted."""
        ...

    def tree(self, tenant: str) -> TreeState | None:
        """Return the head of the tenant's tree, or None."""
        ...

    def tile(self, tenant: str, level: int, number: int) -> bytes:
        """Return the hashes of a tile that are there, up to 256; b"" means absent.

        The last tile of level 0 counts the entries that fill no tile yet.
        """
        ...

    def place(self, tenant: str, event_id: str) -> int | None:
        """Return the index of an event in the tenant's tree, or None.

        An index means that the event is durable and under the tree's signed checkpoint, whoever
        wrote it. Pruning changes nothing here. Ids and tenants are compared exactly.
        """
        ...

    def entries(self, tenant: str, start: int, stop: int) -> list[StoredEntry]:
        """Return the entries of a half-open range of indices, in order."""
        ...

    def search(
        self, tenant: str, where: Filter, *, after: int, before: int, limit: int, newest: bool
    ) -> list[StoredEntry]:
        """Return up to `limit` entries with a body, after < index < before, that fit the filter.

        Ordered by index; `newest` reverses the order.
        """
        ...

    def sealed(self, tenant: str, index: int) -> list[SealedField]:
        """Return the sealed fields of an entry that are not erased, in order."""
        ...

    def erase_sealed(self, tenant: str, subject_ref: str) -> int:
        """Delete all sealed fields of a subject and return how many there were.

        When it returns, their bytes are in no file of the store. Repeating it is safe.

        Raises:
            ErasureIncomplete: Deleted, but a reader kept old bytes alive; repeat the call.
        """
        ...

    def prune(self, tenant: str, ranges: Sequence[tuple[int, int]]) -> int:
        """Delete bodies, columns and sealed fields in half-open ranges; leaf hashes stay.

        Promises and errors are those of `erase_sealed`.
        """
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...


class SubjectRow(NamedTuple):
    """A living subject: random reference and key, wrapped under a generation key."""

    ref: str
    generation: int
    wrapped_key: bytes


class SubjectStore(Protocol):
    """Keeps the mapping from subjects to references, and their wrapped keys, by tenant.

    Kept apart from the log, so that its copies can live shorter.
    """

    def generation(self, tenant: str, number: int | None = None) -> tuple[int, bytes] | None:
        """Return number and wrapped key of a generation, the newest by default, or None."""
        ...

    def add_generation(self, tenant: str, number: int, wrapped_key: bytes) -> bool:
        """Durably add a generation; False if that number exists."""
        ...

    def rewrap_generation(self, tenant: str, number: int, wrapped_key: bytes) -> None:
        """Durably replace the wrapped key of a generation; nothing happens when it is absent.

        Its bytes before are in no file of the store after the next `wipe`.
        """
        ...

    def wipe(self) -> None:
        """Take all bytes out of the files that were replaced or deleted.

        Raises:
            ErasureIncomplete: A reader keeps old bytes alive; repeat the call.
        """
        ...

    def drop_generation(self, tenant: str, number: int) -> None:
        """Delete a generation key that no subject uses any more, with `delete`'s promises."""
        ...

    def by_mac(self, tenant: str, mac: bytes) -> SubjectRow | None:
        """Return the living subject with this look-up code, or None."""
        ...

    def by_ref(self, tenant: str, ref: str) -> SubjectRow | None:
        """Return the living subject with this reference, or None."""
        ...

    def add(self, tenant: str, mac: bytes, row: SubjectRow) -> SubjectRow:
        """Durably add a subject; if the code is taken, return the row that is there instead."""
        ...

    def older(self, tenant: str, generation: int, limit: int) -> list[SubjectRow]:
        """Return up to `limit` subjects whose generation is below this one."""
        ...

    def rewrap(self, tenant: str, rows: Sequence[SubjectRow]) -> None:
        """Durably replace generation and wrapped key of subjects that still live."""
        ...

    def delete(self, tenant: str, ref: str) -> bool:
        """Delete code, reference and key of a subject; False if there was none.

        When it returns, the bytes of wrapped key and code are in no file of the store.

        Raises:
            ErasureIncomplete: Deleted, but a reader kept old bytes alive; repeat the call.
        """
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...


class KeyWrapper(Protocol):
    """Keeps one key for each tenant, wrapped under a root key that never leaves the keeper."""

    def wrap(self, tenant: str, key: bytes, aad: bytes) -> bytes:
        """Wrap a key under the tenant's key, bound to `aad`.

        Raises:
            KeyUnavailable: The tenant's key is destroyed, disabled or unknown.
        """
        ...

    def unwrap(self, tenant: str, wrapped: bytes, aad: bytes) -> bytes:
        """Undo `wrap`.

        Raises:
            KeyUnavailable: As for `wrap`, or the bytes were not wrapped by this tenant's key.
        """
        ...

    def mac_key(self, tenant: str) -> bytes:
        """Return the tenant's 32-byte key for looking subjects up.

        Raises:
            KeyUnavailable: As for `wrap`.
        """
        ...


Clock = Callable[[], float]
"""Returns Unix seconds, UTC."""

RandomBytes = Callable[[int], bytes]
"""Returns that many bytes that nobody can guess."""
