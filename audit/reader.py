"""Reading the log: what it hands out as events is verified up to the signed checkpoint.

1. An event is decoded from stored bytes whose leaf hash was computed anew and proved, by
   inclusion, to be under the checkpoint that the log's key signed. Stored hashes, tiles and
   columns are hints that this proof checks.
2. Index columns find events and are never shown: they are derived again from the bytes, and one
   that differs stops the reading (`EntryTampered` names the entry).
3. An unfiltered reading has no gaps: a missing entry stops it, and a missing body needs an event
   that authorised its pruning. A filtered search cannot see what an edited column hides from it;
   `audit.verify` does.
4. `tile` and the rows for an export are raw: whoever takes them verifies them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from audit.errors import (
    EntryTampered,
    EntryUnknown,
    EventInvalid,
    LogEmpty,
    NoteInvalid,
    ProofInvalid,
)
from audit.event import PRUNE_ACTION, Event, columns, decode
from audit.note import Checkpoint, NoteVerifier
from audit.ports import Filter, LogStore, SealedField, StoredEntry
from audit.sequencing import NO_TREE
from audit.tiles import HEIGHT, WIDTH, Prover, TileAddress
from audit.tree import HASH_SIZE, leaf_hash, verify_inclusion

MAX_PAGE = 1_000
"""Entries that one call returns at most; each costs up to half a millisecond of hashing."""

END = 2**63 - 1
"""Beyond every index."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified event and where it is. Its text is `origin/index`."""

    origin: str
    index: int
    event: Event
    body: bytes

    def __str__(self) -> str:
        return f"{self.origin}/{self.index}"


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """That an entry is in the log (RFC 6962, section 2.1.1), and the checkpoint it is under."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def to_bytes(self) -> bytes:
        """Return the content of a `.tlog-proof` file (C2SP tlog-proof)."""
        lines = ["c2sp.org/tlog-proof@v1", f"index {self.index}"]
        lines += [base64.b64encode(h).decode() for h in self.hashes]
        return "\n".join(lines).encode() + b"\n\n" + self.checkpoint


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """That the log grew out of an older size (RFC 6962, section 2.1.2)."""

    old_size: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes


@dataclass(frozen=True, slots=True)
class _View:
    """A tree at one signed checkpoint."""

    tenant: str
    checkpoint: Checkpoint
    note: bytes
    prover: Prover


class LogReader:
    """Reads the trees of tenants. Every call blocks on the store and may raise `StoreFault`.

    Args:
        store: Where the trees are.
        verifier: Returns what verifies a tenant's checkpoints, as `AuditLog.verifier` does.
    """

    def __init__(self, store: LogStore, verifier: Callable[[str], NoteVerifier]) -> None:
        self._store = store
        self._verifier = verifier

    def events(
        self,
        tenant: str,
        *,
        after: int = -1,
        before: int = END,
        limit: int = 100,
        newest: bool = False,
    ) -> list[Entry]:
        """Return events in the order of the log, or newest first; pruned ones are left out.

        The cursor is the index: go on with `after` (or, newest first, `before`) set to the
        index of the last entry.

        Raises:
            EntryTampered: An entry is missing or does not match the signed tree.
        """
        view = self._view(tenant)
        if view is None:
            return []
        low, high = max(0, after + 1), min(before, view.checkpoint.size)
        limit = min(limit, MAX_PAGE)
        found: list[Entry] = []
        while low < high and len(found) < limit:
            start = max(low, high - limit) if newest else low
            stop = high if newest else min(high, low + limit)
            rows = self._store.entries(tenant, start, stop)
            self._check_gaps(view, rows, start, stop)
            chosen = [row for row in (reversed(rows) if newest else rows) if row.body is not None]
            found += [self._verified(view, row) for row in chosen[: limit - len(found)]]
            low, high = (low, start) if newest else (stop, high)
        return found

    def search(
        self,
        tenant: str,
        where: Filter,
        *,
        after: int = -1,
        before: int = END,
        limit: int = 100,
        newest: bool = False,
    ) -> list[Entry]:
        """Return events that fit the filter; order and cursor are those of `events`.

        Raises:
            EntryTampered: An entry does not match the signed tree.
        """
        view = self._view(tenant)
        if view is None or not _possible(where):
            return []
        return self._search(view, where, after, before, limit, newest=newest)

    def entry(self, tenant: str, index: int) -> Entry:
        """Return one event.

        Raises:
            EntryUnknown: There is none, or its body was pruned.
            EntryTampered: It does not match the signed tree.
        """
        entries = self.events(tenant, after=index - 1, before=index + 1, limit=1)
        if index < 0 or not entries:
            raise EntryUnknown
        return entries[0]

    def find(self, tenant: str, event_id: str) -> Entry | None:
        """Return the event of an id in the tenant's own tree, or None, as of a pruned one.

        Raises:
            EntryTampered: It does not match the signed tree.
        """
        index = self._store.place(tenant, event_id)
        if index is None:
            return None
        entries = self.events(tenant, after=index - 1, before=index + 1, limit=1)
        return next((entry for entry in entries if entry.event.id == event_id), None)

    def sealed(self, tenant: str, index: int) -> list[SealedField]:
        """Return the sealed fields of an event that are not erased.

        Raises:
            EntryUnknown: As for `entry`.
            EntryTampered: A ciphertext is not the one that the event commits to.
        """
        entry = self.entry(tenant, index)
        promised = {(commit.subject_ref, commit.sha256) for commit in entry.event.sealed_commit}
        fields = self._store.sealed(tenant, index)
        for field in fields:
            if (field.subject_ref, sha256(field.ciphertext).hexdigest()) not in promised:
                raise EntryTampered(entry.origin, index, "sealed field")
        return fields

    def checkpoint(self, tenant: str) -> bytes:
        """Return the newest signed checkpoint, its signature checked.

        Raises:
            LogEmpty: The tenant has no entry yet.
            EntryTampered: The checkpoint is not signed by the log's key.
        """
        return self._known(tenant).note

    def proof(self, tenant: str, index: int) -> InclusionProof:
        """Return the proof that an entry is in the log.

        Raises:
            LogEmpty: The tenant has no entry yet.
            EntryUnknown: There is no such entry.
            EntryTampered: The stored tree does not prove it.
        """
        view = self._known(tenant)
        if not 0 <= index < view.checkpoint.size:
            raise EntryUnknown
        try:
            hashes = view.prover.inclusion(index, view.checkpoint.size)
            leaf = view.prover.node(0, index)
            verify_inclusion(leaf, index, view.checkpoint.size, hashes, view.checkpoint.root)
        except ProofInvalid as fault:
            raise EntryTampered(view.checkpoint.origin, index, "tile") from fault
        return InclusionProof(index, tuple(hashes), view.note)

    def consistency(self, tenant: str, old_size: int) -> ConsistencyProof:
        """Return the proof that the log grew out of its first `old_size` entries.

        Raises:
            LogEmpty: The tenant has no entry yet.
            EntryUnknown: The log is smaller than that.
            EntryTampered: The stored tree lacks a hash.
        """
        view = self._known(tenant)
        try:
            hashes = view.prover.consistency(old_size, view.checkpoint.size)
        except ProofInvalid as fault:
            raise EntryTampered(view.checkpoint.origin, old_size, "tile") from fault
        return ConsistencyProof(old_size, tuple(hashes), view.note)

    def tile(self, tenant: str, address: TileAddress) -> bytes:
        """Return a tile, or for level None a bundle of entries, as C2SP tlog-tiles has it.

        A pruned entry is an empty one in its bundle.

        Raises:
            LogEmpty: The tenant has no entry yet.
            EntryUnknown: The tree has no such tile, or not that wide.
        """
        size = self._known(tenant).checkpoint.size
        first = address.number * WIDTH
        if first + address.width > size >> (HEIGHT * (address.level or 0)):
            raise EntryUnknown
        if address.level is not None:
            tile = self._store.tile(tenant, address.level, address.number)
            return tile[: address.width * HASH_SIZE]
        bodies = [row.body or b"" for row in self.rows(tenant, first, first + address.width)]
        return b"".join(len(body).to_bytes(2, "big") + body for body in bodies)

    def rows(self, tenant: str, start: int, stop: int) -> list[StoredEntry]:
        """Return entries as stored, unverified, for an export."""
        return self._store.entries(tenant, start, stop)

    def _known(self, tenant: str) -> _View:
        view = self._view(tenant)
        if view is None:
            raise LogEmpty
        return view

    def _view(self, tenant: str) -> _View | None:
        try:
            return self._opened(tenant)
        except EntryTampered:
            # The log's key may have changed between reading note and key: the next pair fits.
            return self._opened(tenant)

    def _opened(self, tenant: str) -> _View | None:
        state = self._store.tree(tenant) or NO_TREE
        if state is NO_TREE:
            return None
        verifier = self._verifier(tenant)
        try:
            checkpoint = verifier.open_checkpoint(state.note)
        except NoteInvalid as fault:
            raise EntryTampered(verifier.name, state.size - 1, "checkpoint") from fault
        prover = Prover(lambda level, number: self._store.tile(tenant, level, number))
        return _View(tenant, checkpoint, state.note, prover)

    def _search(
        self, view: _View, where: Filter, after: int, before: int, limit: int, *, newest: bool
    ) -> list[Entry]:
        low, high = max(-1, after), min(before, view.checkpoint.size)
        if low + 1 >= high or limit < 1:
            return []
        rows = self._store.search(
            view.tenant, where, after=low, before=high, limit=min(limit, MAX_PAGE), newest=newest
        )
        return [self._verified(view, row) for row in rows]

    def _verified(self, view: _View, row: StoredEntry) -> Entry:
        origin, size = view.checkpoint.origin, view.checkpoint.size
        assert row.body is not None, "callers leave pruned entries out"
        leaf = leaf_hash(row.body)
        if leaf != row.leaf_hash:
            raise EntryTampered(origin, row.index, "leaf hash")
        try:
            proof = view.prover.inclusion(row.index, size)
            verify_inclusion(leaf, row.index, size, proof, view.checkpoint.root)
            event = decode(row.body)
        except (ProofInvalid, EventInvalid) as fault:
            raise EntryTampered(origin, row.index, "inclusion proof") from fault
        if (event.tenant, event.id, columns(event)) != (view.tenant, row.event_id, row.columns):
            raise EntryTampered(origin, row.index, "index column")
        if set(event.subject_refs) != set(row.subject_refs):
            raise EntryTampered(origin, row.index, "index of subjects")
        return Entry(origin, row.index, event, row.body)

    def _check_gaps(self, view: _View, rows: list[StoredEntry], start: int, stop: int) -> None:
        origin = view.checkpoint.origin
        present = {row.index for row in rows}
        absent = next((index for index in range(start, stop) if index not in present), None)
        if absent is not None:
            raise EntryTampered(origin, absent, "missing entry")
        bare = [row.index for row in rows if row.body is None]
        if not bare:
            return
        ranges = self._pruned_ranges(self._known(view.tenant))  # as of now, not of the view
        for index in bare:
            if not any(low <= index < high for low, high in ranges):
                raise EntryTampered(origin, index, "missing body")

    def _pruned_ranges(self, view: _View) -> list[tuple[int, int]]:
        """Return what the prune events of the tree authorise."""
        ranges: list[tuple[int, int]] = []
        after = -1
        prunes = Filter(action=PRUNE_ACTION)
        while page := self._search(view, prunes, after, END, MAX_PAGE, newest=False):
            for entry in page:
                if entry.event.outcome in ("allow", "done"):
                    ranges += [(low, min(high, entry.index)) for low, high in entry.event.pruned]
            after = page[-1].index
        return ranges


def _possible(where: Filter) -> bool:
    """Tell whether any event can fit: no text or time is stored that a store cannot hold."""
    texts = (where.actor_ref, where.subject_ref, where.action, where.outcome, where.model_id)
    try:
        "".join(filter(None, texts)).encode()
    except UnicodeEncodeError:
        return False
    return all(time is None or abs(time) <= END for time in (where.since, where.until))
