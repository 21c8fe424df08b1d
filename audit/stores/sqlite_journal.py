"""The journal of a log file: a tree's part of a commit in one row, until it is settled.

To put an event into the tables touches a dozen pages; to put it into the journal touches one. So
a commit that an answer waits for writes the journal, and `settle` moves what is there, a few
hundred events at a time, to where readers search it.

1. A commit writes one row for each tree: entries, sealed fields and the signed head. The row is
   evidence as it stands; columns and ids follow from the bytes of the entries.
2. An entry is in the journal or in the tables, never in both and never in neither: settling
   inserts, moves the head and deletes in one transaction. It never has to happen: readers and
   verifiers look at both.
3. What was not written by this connection is read again before it is built upon, inside the
   writing transaction (`PRAGMA data_version`), and is held to its leaf hashes.
4. An id that is in the journal or in the tables is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from audit.errors import DuplicateEvent
from audit.ports import NewEntry, TreeState
from audit.stores.sqlite_rows import (
    head_of,
    insert_entries,
    journaled,
    packed,
    tile_of,
    tree_number,
)

JOURNAL_SCHEMA = """
CREATE TABLE journal (
  n INTEGER PRIMARY KEY, tree INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  size INTEGER NOT NULL, frontier BLOB NOT NULL, note BLOB NOT NULL, leaves BLOB NOT NULL,
  bundle BLOB NOT NULL, sealed BLOB NOT NULL
) STRICT
"""

MAX_ENTRIES = 16_384
"""Entries that the journal holds at most: if it cannot be settled, nothing more is taken."""

CACHED_TREES = 1_024
"""Trees whose head is remembered between transactions: a kilobyte each."""

LOOK_UP_CHUNKS = (64, 8, 1)
"""Ids in one query that looks for duplicates; few sizes, so that statements are reused."""


_LOOK_UP = {
    # Left to itself, SQLite reads the whole tree when it is asked for several ids.
    chunk: "SELECT id, idx, leaf_hash FROM seq INDEXED BY seq_id"  # noqa: S608 - fixed text
    f" WHERE tree = ? AND id IN ({','.join('?' * chunk)})"
    for chunk in LOOK_UP_CHUNKS
}


@dataclass(slots=True)
class Tail:
    """The head of a tree, and its entries that are not settled yet.

    Attributes:
        tree: The number of the tree.
        state: The head; None for a tree that no commit wrote yet.
        entries: In order, the newest last.
        places: Index and leaf hash by event id.
    """

    tree: int
    state: TreeState | None
    entries: list[NewEntry] = field(default_factory=list)
    places: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def extend(self, state: TreeState | None, entries: Sequence[NewEntry]) -> None:
        """Take note of a commit."""
        self.state = state
        self.entries += entries
        self.places |= {entry.event_id: (entry.index, entry.leaf_hash) for entry in entries}


class Journal:
    """Opens the transactions of one file and settles them. Used under the lock of its store."""

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._tails: dict[str, Tail] = {}
        self._entries = 0

    def begin(self, connection: sqlite3.Connection) -> JournalTransaction:
        """Return the transaction that was opened on a connection."""
        self._refresh(connection)
        if self._entries >= MAX_ENTRIES:
            self._settle(connection)
        return JournalTransaction(self, connection)

    def settle(self, connection: sqlite3.Connection) -> None:
        """Move all entries into the tables, inside the transaction that is open."""
        self._refresh(connection)
        self._settle(connection)

    def due(self, entries: int) -> bool:
        """Tell whether at least so many entries may wait to be settled."""
        return self._connection is None or self._entries >= entries

    def tail(self, connection: sqlite3.Connection, tenant: str) -> Tail | None:
        """Return the tail of a tenant's tree inside the transaction, or None."""
        tail = self._tails.get(tenant)
        if tail is None:
            tail = _read_tail(connection, tenant)
            if tail is not None:
                self._tails[tenant] = tail
        return tail

    def wrote(self, parts: Mapping[str, Tail]) -> None:
        """Take note of what a transaction wrote; it is durable."""
        for tenant, part in parts.items():
            known = self._tails.get(tenant)
            if known is None:
                known = self._tails[tenant] = Tail(part.tree, None)
            known.state = part.state
            known.entries += part.entries
            known.places |= part.places
            self._entries += len(part.entries)

    def forget(self) -> None:
        """Read everything again at the next transaction: this one may not have happened."""
        self._connection = None

    def _refresh(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if connection is self._connection and version == self._version:
            if len(self._tails) > CACHED_TREES:
                self._tails.clear()
            return
        self._tails.clear()
        query = "SELECT coalesce(sum(count), 0) FROM journal"
        (self._entries,) = connection.execute(query).fetchone()
        self._connection, self._version = connection, version

    def _settle(self, connection: sqlite3.Connection) -> None:
        query = "SELECT DISTINCT tenant FROM journal JOIN tree ON tree.id = journal.tree"
        tenants = [tenant for (tenant,) in connection.execute(query)]
        tails = [self.tail(connection, tenant) for tenant in tenants]
        connection.execute("DELETE FROM journal")  # first, so that its pages are used again at once
        for tail in tails:
            assert tail is not None, "a tree with a row in the journal has a head"
            insert_entries(connection, tail.tree, tail.entries)
            _put_head(connection, tail)
            tail.entries, tail.places = [], {}
        self._entries = 0


class JournalTransaction:
    """A `LogTransaction` on an open writing transaction; `write` ends it, before the commit.

    Attributes:
        parts: What it wrote, by tenant.
    """

    def __init__(self, journal: Journal, connection: sqlite3.Connection) -> None:
        self._journal = journal
        self._connection = connection
        self.parts: dict[str, Tail] = {}

    def tree(self, tenant: str) -> TreeState | None:
        """Return the head as it is inside this transaction."""
        part = self.parts.get(tenant) or self._journal.tail(self._connection, tenant)
        return None if part is None else part.state

    def tile(self, tenant: str, level: int, number: int) -> bytes:
        """Return the hashes of a tile that are there."""
        tail = self._journal.tail(self._connection, tenant)
        if tail is None:
            return b""
        known = [*tail.entries, *(self.parts[tenant].entries if tenant in self.parts else ())]
        return tile_of(self._connection, tail.tree, level, number, known)

    def existing(self, tenant: str, event_ids: Sequence[str]) -> Mapping[str, tuple[int, bytes]]:
        """Return index and leaf hash of those ids that are in the tree."""
        tail = self._journal.tail(self._connection, tenant)
        if tail is None:
            return {}
        found = {one: tail.places[one] for one in event_ids if one in tail.places}
        for event_id, index, leaf in _settled(self._connection, tail.tree, event_ids):
            found[event_id] = (index, leaf)
        return found

    def insert(self, tenant: str, entries: Sequence[NewEntry]) -> None:
        """Take entries in; `write` writes them."""
        part = self._part(tenant)
        ids = [entry.event_id for entry in entries]
        tail = self._journal.tail(self._connection, tenant)
        if tail is not None:
            if not tail.places.keys().isdisjoint(ids):
                raise DuplicateEvent
            if next(_settled(self._connection, part.tree, ids), None) is not None:
                raise DuplicateEvent
        part.extend(part.state, entries)

    def put_tile(self, tenant: str, level: int, number: int, hashes: bytes) -> None:
        """Insert or replace a tile."""
        self._connection.execute(
            "INSERT INTO tile VALUES (?, ?, ?, ?)"
            " ON CONFLICT (tree, level, n) DO UPDATE SET bytes = excluded.bytes",
            (self._part(tenant).tree, level, number, hashes),
        )

    def put_tree(self, tenant: str, state: TreeState) -> None:
        """Set the head; `write` writes it."""
        self._part(tenant).state = state

    def write(self) -> None:
        """Write a row for each tree."""
        for part in self.parts.values():
            assert part.state is not None, "entries come with a head"
            entries = part.entries
            self._connection.execute(
                "INSERT INTO journal (tree, first, count, size, frontier, note, leaves, bundle,"
                " sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    part.tree,
                    entries[0].index if entries else part.state.size,
                    len(entries),
                    *part.state,
                    *packed(entries),
                ),
            )

    def _part(self, tenant: str) -> Tail:
        part = self.parts.get(tenant)
        if part is None:
            tail = self._journal.tail(self._connection, tenant)
            if tail is None:
                part = Tail(_new_tree(self._connection, tenant), None)
            else:
                part = Tail(tail.tree, tail.state)
            self.parts[tenant] = part
        return part


def _new_tree(connection: sqlite3.Connection, tenant: str) -> int:
    query = "INSERT INTO tree (tenant, size, frontier) VALUES (?, 0, X'') RETURNING id"
    return int(connection.execute(query, (tenant,)).fetchone()[0])


def _read_tail(connection: sqlite3.Connection, tenant: str) -> Tail | None:
    state = head_of(connection, tenant)
    if state is None:
        return None
    tail = Tail(tree_number(connection, tenant), None)
    tail.extend(state, journaled(connection, tail.tree, 0, 2**63 - 1, strict=True))
    return tail


def _settled(
    connection: sqlite3.Connection, tree: int, event_ids: Sequence[str]
) -> Iterator[tuple[str, int, bytes]]:
    """Yield id, index and leaf hash of those ids that are in the table."""
    at = 0
    while at < len(event_ids):
        chunk = next(size for size in LOOK_UP_CHUNKS if size <= len(event_ids) - at)
        yield from connection.execute(_LOOK_UP[chunk], (tree, *event_ids[at : at + chunk]))
        at += chunk


def _put_head(connection: sqlite3.Connection, tail: Tail) -> None:
    assert tail.state is not None
    size, frontier, note = tail.state
    connection.execute(
        "UPDATE tree SET size = ?, frontier = ? WHERE id = ?", (size, frontier, tail.tree)
    )
    connection.execute(
        "INSERT INTO checkpoint VALUES (?, ?, ?)"
        " ON CONFLICT (tree) DO UPDATE SET size = excluded.size, note = excluded.note",
        (tail.tree, size, note),
    )
