"""Stores in memory: for tests, and to show plainly what the ports promise."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from audit.errors import DuplicateEvent
from audit.ports import (
    Filter,
    NewEntry,
    SealedField,
    StoredEntry,
    SubjectRow,
    TreeState,
)
from audit.tiles import WIDTH
from audit.tree import HASH_SIZE


@dataclass(slots=True)
class _Tree:
    state: TreeState
    entries: list[StoredEntry] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)
    sealed: dict[int, list[SealedField]] = field(default_factory=dict)

    def tile(self, level: int, number: int) -> bytes:
        stored = self.tiles.get((level, number))
        if stored is not None or level:
            return stored or b""
        entries = self.entries[number * WIDTH : (number + 1) * WIDTH]
        return b"".join(entry.leaf_hash for entry in entries)

    def copy(self) -> _Tree:
        return _Tree(
            self.state, list(self.entries), dict(self.ids), dict(self.tiles), dict(self.sealed)
        )


class _Transaction:
    """A `LogTransaction` on copies of the trees that it touches."""

    def __init__(self, trees: Mapping[str, _Tree]) -> None:
        self._before = trees
        self.touched: dict[str, _Tree] = {}

    def tree(self, tenant: str) -> TreeState | None:
        tree = self.touched.get(tenant) or self._before.get(tenant)
        return None if tree is None else tree.state

    def tile(self, tenant: str, level: int, number: int) -> bytes:
        tree = self.touched.get(tenant) or self._before.get(tenant)
        return b"" if tree is None else tree.tile(level, number)

    def existing(self, tenant: str, event_ids: Sequence[str]) -> Mapping[str, tuple[int, bytes]]:
        tree = self.touched.get(tenant) or self._before.get(tenant)
        if tree is None:
            return {}
        found = {event_id: tree.ids[event_id] for event_id in event_ids if event_id in tree.ids}
        return {key: (index, tree.entries[index].leaf_hash) for key, index in found.items()}

    def insert(self, tenant: str, entries: Sequence[NewEntry]) -> None:
        tree = self._writable(tenant)
        for new in entries:
            if new.event_id in tree.ids:
                raise DuplicateEvent
            assert new.index == len(tree.entries), "indices have no gap"
            tree.ids[new.event_id] = new.index
            tree.entries.append(
                StoredEntry(
                    new.index, new.event_id, new.leaf_hash, new.body, new.columns, new.subject_refs
                )
            )
            if new.sealed:
                tree.sealed[new.index] = list(new.sealed)

    def put_tile(self, tenant: str, level: int, number: int, hashes: bytes) -> None:
        assert level or len(hashes) == WIDTH * HASH_SIZE, "level 0 is stored when full"
        self._writable(tenant).tiles[level, number] = hashes

    def put_tree(self, tenant: str, state: TreeState) -> None:
        self._writable(tenant).state = state

    def _writable(self, tenant: str) -> _Tree:
        tree = self.touched.get(tenant)
        if tree is None:
            before = self._before.get(tenant)
            tree = _Tree(TreeState(0, b"", b"")) if before is None else before.copy()
            self.touched[tenant] = tree
        return tree


class MemoryLogStore:
    """A `LogStore` that forgets everything with the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._trees: dict[str, _Tree] = {}

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """Open the one writing transaction (see `LogStore.transaction`)."""
        with self._lock:
            transaction = _Transaction(self._trees)
            yield transaction
            self._trees |= transaction.touched

    def settle(self, entries: int = 1) -> None:
        """Do nothing: commits leave nothing for later."""

    def probe(self) -> None:
        """Do nothing: memory works."""

    def tenants(self) -> list[str]:
        """Return the tenants that have a tree, sorted."""
        with self._lock:
            return sorted(self._trees)

    def tree(self, tenant: str) -> TreeState | None:
        """Return the head of the tenant's tree, or None."""
        with self._lock:
            tree = self._trees.get(tenant)
            return None if tree is None else tree.state

    def tile(self, tenant: str, level: int, number: int) -> bytes:
        """Return the hashes of a tile that are there; b"" means absent."""
        with self._lock:
            tree = self._trees.get(tenant)
            return b"" if tree is None else tree.tile(level, number)

    def place(self, tenant: str, event_id: str) -> int | None:
        """Return the index of an event in the tenant's tree, or None."""
        with self._lock:
            tree = self._trees.get(tenant)
            index = None if tree is None else tree.ids.get(event_id)
            return index if tree is not None and index in range(tree.state.size) else None

    def entries(self, tenant: str, start: int, stop: int) -> list[StoredEntry]:
        """Return the entries of a half-open range of indices, in order."""
        with self._lock:
            tree = self._trees.get(tenant)
            return [] if tree is None else tree.entries[start:stop]

    def search(
        self, tenant: str, where: Filter, *, after: int, before: int, limit: int, newest: bool
    ) -> list[StoredEntry]:
        """Return entries that fit the filter (see `LogStore.search`)."""
        found = [
            entry
            for entry in self.entries(tenant, max(0, after + 1), max(0, before))
            if where.fits(entry)
        ]
        return (found[::-1] if newest else found)[:limit]

    def sealed(self, tenant: str, index: int) -> list[SealedField]:
        """Return the sealed fields of an entry that are not erased, in order."""
        with self._lock:
            tree = self._trees.get(tenant)
            return [] if tree is None else list(tree.sealed.get(index, ()))

    def erase_sealed(self, tenant: str, subject_ref: str) -> int:
        """Delete all sealed fields of a subject and return how many there were."""
        erased = 0
        with self._lock:
            tree = self._trees.get(tenant)
            for index, fields in list(tree.sealed.items()) if tree is not None else ():
                assert tree is not None
                tree.sealed[index] = [f for f in fields if f.subject_ref != subject_ref]
                erased += len(fields) - len(tree.sealed[index])
        return erased

    def prune(self, tenant: str, ranges: Sequence[tuple[int, int]]) -> int:
        """Delete bodies, columns and sealed fields in half-open ranges of indices."""
        pruned = 0
        with self._lock:
            tree = self._trees.get(tenant)
            if tree is None:
                return 0
            for low, high in ranges:
                for entry in tree.entries[low:high]:
                    pruned += entry.body is not None
                    tree.sealed.pop(entry.index, None)
                    tree.entries[entry.index] = StoredEntry(
                        entry.index, entry.event_id, entry.leaf_hash, None, None, ()
                    )
        return pruned

    def close(self) -> None:
        """Do nothing: nothing is open."""


class MemorySubjectStore:
    """A `SubjectStore` that forgets everything with the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._generations: dict[tuple[str, int], bytes] = {}
        self._rows: dict[tuple[str, bytes], SubjectRow] = {}

    def generation(self, tenant: str, number: int | None = None) -> tuple[int, bytes] | None:
        """Return number and wrapped key of a generation, the newest by default, or None."""
        with self._lock:
            numbers = [n for owner, n in self._generations if owner == tenant]
            chosen = max(numbers, default=0) if number is None else number
            wrapped = self._generations.get((tenant, chosen))
            return None if wrapped is None else (chosen, wrapped)

    def add_generation(self, tenant: str, number: int, wrapped_key: bytes) -> bool:
        """Add a generation; False if that number exists."""
        with self._lock:
            return self._generations.setdefault((tenant, number), wrapped_key) is wrapped_key

    def rewrap_generation(self, tenant: str, number: int, wrapped_key: bytes) -> None:
        """Replace the wrapped key of a generation."""
        with self._lock:
            if (tenant, number) in self._generations:
                self._generations[tenant, number] = wrapped_key

    def wipe(self) -> None:
        """Nothing is left of what was replaced."""

    def drop_generation(self, tenant: str, number: int) -> None:
        """Delete a generation key."""
        with self._lock:
            self._generations.pop((tenant, number), None)

    def by_mac(self, tenant: str, mac: bytes) -> SubjectRow | None:
        """Return the living subject with this look-up code, or None."""
        with self._lock:
            return self._rows.get((tenant, mac))

    def by_ref(self, tenant: str, ref: str) -> SubjectRow | None:
        """Return the living subject with this reference, or None."""
        with self._lock:
            rows = (row for (owner, _), row in self._rows.items() if owner == tenant)
            return next((row for row in rows if row.ref == ref), None)

    def add(self, tenant: str, mac: bytes, row: SubjectRow) -> SubjectRow:
        """Add a subject; if the code is taken, return the row that is there instead."""
        with self._lock:
            return self._rows.setdefault((tenant, mac), row)

    def older(self, tenant: str, generation: int, limit: int) -> list[SubjectRow]:
        """Return up to `limit` subjects whose generation is below this one."""
        with self._lock:
            rows = [row for (owner, _), row in self._rows.items() if owner == tenant]
            return [row for row in rows if row.generation < generation][:limit]

    def rewrap(self, tenant: str, rows: Sequence[SubjectRow]) -> None:
        """Replace generation and wrapped key of subjects that still live."""
        fresh = {row.ref: row for row in rows}
        with self._lock:
            for (owner, mac), row in list(self._rows.items()):
                if owner == tenant:
                    self._rows[owner, mac] = fresh.get(row.ref, row)

    def delete(self, tenant: str, ref: str) -> bool:
        """Delete code, reference and key of a subject; False if there was none."""
        with self._lock:
            for (owner, mac), row in list(self._rows.items()):
                if owner == tenant and row.ref == ref:
                    del self._rows[owner, mac]
                    return True
        return False

    def close(self) -> None:
        """Do nothing: nothing is open."""
