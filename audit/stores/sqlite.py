"""The stores of one gateway: the log in one SQLite file, the subjects in another."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from audit.event import Columns
from audit.ports import Filter, NewEntry, SealedField, StoredEntry, TreeState
from audit.stores.sqlite_file import SqliteFile
from audit.stores.sqlite_journal import JOURNAL_SCHEMA, Journal, JournalTransaction
from audit.stores.sqlite_rows import head_of, journaled, tile_of, tree_number
from audit.stores.sqlite_subjects import SqliteSubjectStore

__all__ = ["SqliteLogStore", "SqliteSubjectStore"]

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

END = 2**63 - 1
"""Beyond every index."""

PROBE_BYTES = 16_384
"""As much room as a dozen usual events need."""

_ENTRY = (
    "SELECT seq.idx, seq.id, seq.leaf_hash, body.bytes, body.ts, body.actor_ref, body.action,"
    " body.outcome, body.model_id FROM seq LEFT JOIN body USING (tree, idx)"
)


class SqliteLogStore:
    """A `LogStore` in one SQLite file.

    Args:
        path: The file; made if it is missing.
        max_bytes: How far the file may grow; see `SqliteFile`.

    Raises:
        StoreFault: The file cannot be opened.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None) -> None:
        self._file = SqliteFile(path, [SCHEMA, JOURNAL_SCHEMA], max_bytes=max_bytes)
        self._journal = Journal()
        self._lock = threading.RLock()  # around every change, so that the journal knows of it

    def limit(self, max_bytes: int | None) -> None:
        """Let the file grow up to this from now on."""
        self._file.max_bytes = max_bytes

    @contextmanager
    def transaction(self) -> Iterator[JournalTransaction]:
        """Open the one writing transaction (see `LogStore.transaction`)."""
        with self._lock:
            try:
                with self._file.writing() as connection:
                    transaction = self._journal.begin(connection)
                    yield transaction
                    transaction.write()
            except BaseException:
                self._journal.forget()
                raise
            self._journal.wrote(transaction.parts)

    def settle(self, entries: int = 1) -> None:
        """Move what the journal holds into the tables (see `LogStore.settle`)."""
        with self._lock:
            if self._journal.due(entries):
                with self._changing() as connection:
                    self._journal.settle(connection)

    def probe(self) -> None:
        """Write and remove a row; one may be left from a probe that failed half way."""
        with self._changing() as connection:
            connection.execute("REPLACE INTO probe VALUES (1, zeroblob(?))", (PROBE_BYTES,))
        with self._changing() as connection:
            connection.execute("DELETE FROM probe")

    def tenants(self) -> list[str]:
        """Return the tenants that have a tree, sorted."""
        with self._file.reading() as connection:
            return [row[0] for row in connection.execute("SELECT tenant FROM tree ORDER BY tenant")]

    def tree(self, tenant: str) -> TreeState | None:
        """Return the head of the tenant's tree, or None."""
        with self._file.reading() as connection:
            return head_of(connection, tenant)

    def tile(self, tenant: str, level: int, number: int) -> bytes:
        """Return the hashes of a tile that are there; b"" means absent."""
        with self._file.reading() as connection:
            return tile_of(connection, tree_number(connection, tenant), level, number)

    def place(self, tenant: str, event_id: str) -> int | None:
        """Return the index of an event in the tenant's tree, or None."""
        with self._file.reading() as connection:
            row = connection.execute(
                "SELECT idx FROM tree JOIN seq ON seq.tree = tree.id"
                " WHERE tenant = ? AND seq.id = ? AND idx < size",
                (tenant, event_id),
            ).fetchone()
            if row is not None:
                return int(row[0])
            head = head_of(connection, tenant)
            waiting = journaled(connection, tree_number(connection, tenant), 0, END)
        size = 0 if head is None else head.size
        return next((e.index for e in waiting if e.event_id == event_id and e.index < size), None)

    def entries(self, tenant: str, start: int, stop: int) -> list[StoredEntry]:
        """Return the entries of a half-open range of indices, in order."""
        with self._file.reading() as connection:
            tree = tree_number(connection, tenant)
            rows = connection.execute(
                f"{_ENTRY} WHERE seq.tree = ? AND seq.idx >= ? AND seq.idx < ? ORDER BY seq.idx",
                (tree, start, stop),
            ).fetchall()
            waiting = journaled(connection, tree, start, stop)
            return _with_subjects(connection, tree, rows) + [_stored(entry) for entry in waiting]

    def search(
        self, tenant: str, where: Filter, *, after: int, before: int, limit: int, newest: bool
    ) -> list[StoredEntry]:
        """Return entries that fit the filter (see `LogStore.search`)."""
        conditions = ["tree = ?", "idx > ?", "idx < ?"]
        with self._file.reading() as connection:
            tree = tree_number(connection, tenant)
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
            settled = _with_subjects(connection, tree, rows)
            waiting = [_stored(e) for e in journaled(connection, tree, after + 1, before)]
        waiting = [entry for entry in waiting if where.fits(entry)]
        return (waiting[::-1] + settled if newest else settled + waiting)[:limit]

    def sealed(self, tenant: str, index: int) -> list[SealedField]:
        """Return the sealed fields of an entry that are not erased, in order."""
        with self._file.reading() as connection:
            tree = tree_number(connection, tenant)
            rows = connection.execute(
                "SELECT ref, ct FROM sealed WHERE tree = ? AND idx = ? ORDER BY position",
                (tree, index),
            ).fetchall()
            waiting = journaled(connection, tree, index, index + 1)
        return [SealedField(*row) for row in rows] + [f for e in waiting for f in e.sealed]

    def erase_sealed(self, tenant: str, subject_ref: str) -> int:
        """Delete all sealed fields of a subject and return how many there were."""
        with self._settled() as connection:
            tree = tree_number(connection, tenant)
            erased = connection.execute(
                "DELETE FROM sealed WHERE tree = ? AND ref = ?", (tree, subject_ref)
            ).rowcount
        self._file.wipe()
        return erased

    def prune(self, tenant: str, ranges: Sequence[tuple[int, int]]) -> int:
        """Delete bodies, columns and sealed fields in half-open ranges of indices."""
        pruned = 0
        with self._settled() as connection:
            tree = tree_number(connection, tenant)
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
        with self._lock:
            self._journal.forget()
            self._file.close()

    @contextmanager
    def _changing(self, *, bounded: bool = True) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                with self._file.writing(bounded=bounded) as connection:
                    yield connection
            except BaseException:
                self._journal.forget()
                raise

    @contextmanager
    def _settled(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction in which everything is in the tables, to take something away."""
        with self._changing(bounded=False) as connection:
            self._journal.settle(connection)
            yield connection


def _stored(entry: NewEntry) -> StoredEntry:
    known = entry.event_id != ""
    return StoredEntry(
        entry.index,
        entry.event_id,
        entry.leaf_hash,
        entry.body,
        entry.columns if known else None,
        tuple(dict.fromkeys(entry.subject_refs)),
    )


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
