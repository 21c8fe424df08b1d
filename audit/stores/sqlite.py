"""The stores of one gateway: the log in one SQLite file, the subjects in another."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.errors import DuplicateEvent
from audit.event import Columns
from audit.ports import Filter, NewEntry, SealedField, StoredEntry, TreeState
from audit.stores.sqlite_file import SqliteFile, insert_rows
from audit.stores.sqlite_subjects import SqliteSubjectStore
from audit.tiles import WIDTH

__all__ = ["SqliteLogStore", "SqliteSubjectStore"]

LOOK_UP_CHUNK = 500
"""Ids in one query that looks for duplicates."""

SCHEMA = """
CREATE TABLE tree (
  id INTEGER PRIMARY KEY, tenant TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, frontier BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoint (
  tree INTEGER PRIMARY KEY, size INTEGER NOT NULL, note BLOB NOT NULL
) STRICT;
CREATE TABLE seq (
  tree INTEGER NOT NULL, idx INTEGER NOT NULL, id TEXT NOT NULL, leaf_hash BLOB NOT NULL,
  PRIMARY KEY (tree, idx)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX seq_id ON seq (tree, id);
CREATE TABLE body (
  tree INTEGER NOT NULL, idx INTEGER NOT NULL, bytes BLOB NOT NULL, ts INTEGER NOT NULL,
  actor_ref TEXT NOT NULL, action TEXT NOT NULL, outcome TEXT NOT NULL, model_id TEXT NOT NULL,
  PRIMARY KEY (tree, idx)
) STRICT;
CREATE INDEX body_ts ON body (tree, ts, idx);
CREATE INDEX body_actor ON body (tree, actor_ref, idx);
CREATE INDEX body_action ON body (tree, action, idx);
CREATE INDEX body_model ON body (tree, model_id, idx);
CREATE INDEX body_refused ON body (tree, outcome, idx) WHERE outcome <> 'allow';
CREATE TABLE subject (
  tree INTEGER NOT NULL, ref TEXT NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (tree, ref, idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX subject_entry ON subject (tree, idx);
CREATE TABLE sealed (
  tree INTEGER NOT NULL, idx INTEGER NOT NULL, position INTEGER NOT NULL, ref TEXT NOT NULL,
  ct BLOB NOT NULL, PRIMARY KEY (tree, idx, position)
) STRICT;
CREATE INDEX sealed_ref ON sealed (tree, ref);
CREATE TABLE tile (
  tree INTEGER NOT NULL, level INTEGER NOT NULL, n INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (tree, level, n)
) STRICT;
CREATE TABLE probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL) STRICT
"""

PROBE_BYTES = 16_384
"""As much room as a dozen usual events need."""

_ENTRY = (
    "SELECT seq.idx, seq.id, seq.leaf_hash, body.bytes, body.ts, body.actor_ref, body.action,"
    " body.outcome, body.model_id FROM seq LEFT JOIN body USING (tree, idx)"
)


class _Transaction:
    """A `LogTransaction` on an open writing transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._trees: dict[str, int] = {}

    def tree(self, tenant: str) -> TreeState | None:
        return _tree(self._connection, tenant)

    def tile(self, tenant: str, level: int, number: int) -> bytes:
        return _tile(self._connection, self._id(tenant), level, number)

    def existing(self, tenant: str, event_ids: Sequence[str]) -> Mapping[str, tuple[int, bytes]]:
        tree = self._id(tenant)
        found: dict[str, tuple[int, bytes]] = {}
        for at in range(0, len(event_ids), LOOK_UP_CHUNK):
            some = event_ids[at : at + LOOK_UP_CHUNK]
            places = ",".join("?" * len(some))
            query = f"SELECT id, idx, leaf_hash FROM seq WHERE tree = ? AND id IN ({places})"  # noqa: S608
            for event_id, index, leaf in self._connection.execute(query, (tree, *some)):
                found[event_id] = (index, leaf)
        return found

    def insert(self, tenant: str, entries: Sequence[NewEntry]) -> None:
        tree, connection = self._id(tenant), self._connection
        try:
            insert_rows(
                connection, "seq", [(tree, e.index, e.event_id, e.leaf_hash) for e in entries]
            )
        except sqlite3.IntegrityError as fault:
            if fault.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise DuplicateEvent from fault
            raise
        insert_rows(connection, "body", [(tree, e.index, e.body, *e.columns) for e in entries])
        insert_rows(
            connection,
            "subject",
            [(tree, ref, e.index) for e in entries for ref in dict.fromkeys(e.subject_refs)],
        )
        insert_rows(
            connection,
            "sealed",
            [
                (tree, entry.index, position, sealed.subject_ref, sealed.ciphertext)
                for entry in entries
                for position, sealed in enumerate(entry.sealed)
            ],
        )

    def put_tile(self, tenant: str, level: int, number: int, hashes: bytes) -> None:
        self._connection.execute(
            "INSERT INTO tile VALUES (?, ?, ?, ?)"
            " ON CONFLICT (tree, level, n) DO UPDATE SET bytes = excluded.bytes",
            (self._id(tenant), level, number, hashes),
        )

    def put_tree(self, tenant: str, state: TreeState) -> None:
        self._connection.execute(
            "INSERT INTO tree (tenant, size, frontier) VALUES (?, ?, ?)"
            " ON CONFLICT (tenant) DO UPDATE"
            " SET size = excluded.size, frontier = excluded.frontier",
            (tenant, state.size, state.frontier),
        )
        self._connection.execute(
            "INSERT INTO checkpoint VALUES (?, ?, ?)"
            " ON CONFLICT (tree) DO UPDATE SET size = excluded.size, note = excluded.note",
            (self._id(tenant), state.size, state.note),
        )

    def _id(self, tenant: str) -> int:
        if tenant not in self._trees:
            number = _tree_id(self._connection, tenant)
            if number < 0:
                return number
            self._trees[tenant] = number
        return self._trees[tenant]


class SqliteLogStore:
    """A `LogStore` in one SQLite file.

    Args:
        path: The file; made if it is missing.
        max_bytes: How far the file may grow; see `SqliteFile`.

    Raises:
        StoreFault: The file cannot be opened.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None) -> None:
        self._file = SqliteFile(path, SCHEMA, max_bytes=max_bytes)

    def limit(self, max_bytes: int | None) -> None:
        """Let the file grow up to this from now on."""
        self._file.max_bytes = max_bytes

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """Open the one writing transaction (see `LogStore.transaction`)."""
        with self._file.writing() as connection:
            yield _Transaction(connection)

    def probe(self) -> None:
        """Write and remove a row; one may be left from a probe that failed half way."""
        with self._file.writing() as connection:
            connection.execute("REPLACE INTO probe VALUES (1, zeroblob(?))", (PROBE_BYTES,))
        with self._file.writing() as connection:
            connection.execute("DELETE FROM probe")

    def tenants(self) -> list[str]:
        """Return the tenants that have a tree, sorted."""
        with self._file.reading() as connection:
            return [row[0] for row in connection.execute("SELECT tenant FROM tree ORDER BY tenant")]

    def tree(self, tenant: str) -> TreeState | None:
        """Return the head of the tenant's tree, or None."""
        with self._file.reading() as connection:
            return _tree(connection, tenant)

    def tile(self, tenant: str, level: int, number: int) -> bytes:
        """Return the hashes of a tile that are there; b"" means absent."""
        with self._file.reading() as connection:
            return _tile(connection, _tree_id(connection, tenant), level, number)

    def place(self, tenant: str, event_id: str) -> int | None:
        """Return the index of an event in the tenant's tree, or None."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT idx FROM tree JOIN seq ON seq.tree = tree.id"
                " WHERE tenant = ? AND seq.id = ? AND idx < size",
                (tenant, event_id),
            ).fetchone()
        return None if row is None else int(row[0])

    def entries(self, tenant: str, start: int, stop: int) -> list[StoredEntry]:
        """Return the entries of a half-open range of indices, in order."""
        with self._file.reading() as connection:
            tree = _tree_id(connection, tenant)
            rows = connection.execute(
                f"{_ENTRY} WHERE seq.tree = ? AND seq.idx >= ? AND seq.idx < ? ORDER BY seq.idx",
                (tree, start, stop),
            ).fetchall()
            return _with_subjects(connection, tree, rows)

    def search(
        self, tenant: str, where: Filter, *, after: int, before: int, limit: int, newest: bool
    ) -> list[StoredEntry]:
        """Return entries that fit the filter (see `LogStore.search`)."""
        conditions = ["tree = ?", "idx > ?", "idx < ?"]
        with self._file.reading() as connection:
            tree = _tree_id(connection, tenant)
            values: list[object] = [tree, after, before]
            for condition, value in _conditions(where):
                conditions.append(condition)
                values.append(value)
            if where.subject_ref is not None:
                conditions.append("idx IN (SELECT idx FROM subject WHERE tree = ? AND ref = ?)")
                values += [tree, where.subject_ref]
            order = "DESC" if newest else "ASC"
            chosen = (
                f"SELECT idx FROM body WHERE {' AND '.join(conditions)}"  # noqa: S608 - fixed text
                f" ORDER BY idx {order} LIMIT ?"
            )
            rows = connection.execute(
                f"{_ENTRY} WHERE seq.tree = ? AND seq.idx IN ({chosen}) ORDER BY seq.idx {order}",
                (tree, *values, limit),
            ).fetchall()
            return _with_subjects(connection, tree, rows)

    def sealed(self, tenant: str, index: int) -> list[SealedField]:
        """Return the sealed fields of an entry that are not erased, in order."""
        with self._file.reading() as connection:
            rows = connection.execute(
                "SELECT ref, ct FROM sealed WHERE tree = ? AND idx = ? ORDER BY position",
                (_tree_id(connection, tenant), index),
            )
            return [SealedField(ref, ciphertext) for ref, ciphertext in rows]

    def erase_sealed(self, tenant: str, subject_ref: str) -> int:
        """Delete all sealed fields of a subject and return how many there were."""
        with self._file.writing() as connection:
            tree = _tree_id(connection, tenant)
            erased = connection.execute(
                "DELETE FROM sealed WHERE tree = ? AND ref = ?", (tree, subject_ref)
            ).rowcount
        self._file.wipe()
        return erased

    def prune(self, tenant: str, ranges: Sequence[tuple[int, int]]) -> int:
        """Delete bodies, columns and sealed fields in half-open ranges of indices."""
        pruned = 0
        with self._file.writing() as connection:
            tree = _tree_id(connection, tenant)
            for low, high in ranges:
                for table in ("sealed", "subject", "body"):
                    deleted = connection.execute(
                        f"DELETE FROM {table} WHERE tree = ? AND idx >= ? AND idx < ?",  # noqa: S608
                        (tree, low, high),
                    )
                pruned += deleted.rowcount
        self._file.wipe()
        return pruned

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _tree_id(connection: sqlite3.Connection, tenant: str) -> int:
    """Return the number of a tenant's tree; -1, which no tree has, if there is none."""
    row = connection.execute("SELECT id FROM tree WHERE tenant = ?", (tenant,)).fetchone()
    return -1 if row is None else int(row[0])


def _tree(connection: sqlite3.Connection, tenant: str) -> TreeState | None:
    row = connection.execute(
        "SELECT tree.size, frontier, note FROM tree JOIN checkpoint ON tree = id WHERE tenant = ?",
        (tenant,),
    ).fetchone()
    return None if row is None else TreeState(*row)


def _tile(connection: sqlite3.Connection, tree: int, level: int, number: int) -> bytes:
    row = connection.execute(
        "SELECT bytes FROM tile WHERE tree = ? AND level = ? AND n = ?", (tree, level, number)
    ).fetchone()
    if row is not None:
        return bytes(row[0])
    if level:
        return b""
    first = number * WIDTH
    rows = connection.execute(
        "SELECT leaf_hash FROM seq WHERE tree = ? AND idx >= ? AND idx < ? ORDER BY idx",
        (tree, first, first + WIDTH),
    )
    return b"".join(leaf for (leaf,) in rows)


def _with_subjects(
    connection: sqlite3.Connection, tree: int, rows: Sequence[tuple[Any, ...]]
) -> list[StoredEntry]:
    """Make entries of rows, each with the subjects that the index has for it."""
    if not rows:
        return []
    refs: dict[object, list[str]] = {row[0]: [] for row in rows}
    for index in refs:
        found = connection.execute(
            "SELECT ref FROM subject WHERE tree = ? AND idx = ? ORDER BY ref", (tree, index)
        )
        refs[index] = [ref for (ref,) in found]
    return [
        StoredEntry(
            index,
            event_id,
            leaf,
            body,
            None if body is None else Columns(*found),
            tuple(refs[index]),
        )
        for index, event_id, leaf, body, *found in rows
    ]


def _conditions(where: Filter) -> Iterator[tuple[str, object]]:
    if where.actor_ref is not None:
        yield "actor_ref = ?", where.actor_ref
    if where.action is not None:
        yield "action = ?", where.action
    if where.model_id is not None:
        yield "model_id = ?", where.model_id
    if where.since is not None:
        yield "ts >= ?", where.since
    if where.until is not None:
        yield "ts < ?", where.until
    if where.outcome == "allow":
        yield "outcome = ?", where.outcome
    elif where.outcome is not None:  # the second term lets the partial index serve
        yield "outcome = ? AND outcome <> 'allow'", where.outcome
