"""One SQLite file, opened for evidence and for erasure.

1. A commit is on the disk when it returns: write-ahead log, `synchronous=FULL`.
2. Writers exclude each other: one writing connection behind a lock, `BEGIN IMMEDIATE`, so that
   what a transaction reads cannot change under it. Readers never wait for it.
3. Deleted bytes are overwritten (`secure_delete`), and `wipe` empties the write-ahead log, which
   still holds older copies of pages; temporary data stays in memory.
4. Whatever SQLite raises becomes `StoreFault`. After one the connection is thrown away, so that
   the next attempt starts clean.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from audit.errors import ErasureIncomplete, StoreFault

BUSY_SECONDS = 2.0
"""Well below the log's deadline."""

PAGE_BYTES = 4096
CHECKPOINT_PAGES = 4000
"""Move the write-ahead log into the file every 16 MiB, not in every short burst."""

IDLE_READERS = 4
"""Reading connections kept open: more readers than this open their own."""

INSERT_CHUNKS = (64, 8, 1)
"""Rows in one INSERT. A statement gives up the interpreter lock once, however many rows it has."""


class SqliteFile:
    """A SQLite file with one writer and many readers.

    Args:
        path: The file; made, readable by its owner only, if it is missing.
        versions: Statements that lead from each version of the file to the next, from an empty one
            on. An older file is brought to the newest version when it is opened.
        max_bytes: The file does not grow beyond this, so that the disk keeps a reserve; None
            sets no bound. May be changed at any time.
        busy_seconds: How long to wait for a lock of another connection.

    Raises:
        StoreFault: The file cannot be opened, or is of another version.
    """

    def __init__(
        self,
        path: Path,
        versions: Sequence[str],
        *,
        max_bytes: int | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self.max_bytes = max_bytes
        self._lock = threading.RLock()
        self._writer: sqlite3.Connection | None = None
        self._bound = 0
        self._readers: list[sqlite3.Connection] = []
        with faults():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with self.writing() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(versions):
                raise StoreFault("the file is of another version")
            for step in versions[version:]:
                for statement in filter(str.strip, step.split(";")):
                    connection.execute(statement)
            if version < len(versions):
                connection.execute(f"PRAGMA user_version = {len(versions)}")

    @contextmanager
    def writing(self, *, bounded: bool = True) -> Iterator[sqlite3.Connection]:
        """Open a writing transaction; durable when left normally, else undone.

        Args:
            bounded: Keep within `max_bytes`; what makes room, or moves what is there, need not.

        Raises:
            StoreFault: SQLite refused; nothing was changed.
        """
        with self._lock:
            try:
                if self._writer is None:
                    self._writer, self._bound = self._connect(), 0
                connection = self._writer
                pages = ((bounded and self.max_bytes) or 1 << 44) // PAGE_BYTES
                if pages != self._bound:
                    connection.execute(f"PRAGMA max_page_count = {pages}")
                    self._bound = pages
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as fault:
                self._drop_writer()
                if isinstance(fault, (sqlite3.Error, OSError)):
                    raise StoreFault from fault
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that sees one state of the file throughout.

        Raises:
            StoreFault: SQLite refused.
        """
        with faults():
            with self._lock:
                connection = self._readers.pop() if self._readers else None
            if connection is None:
                connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            with self._lock:
                if len(self._readers) < IDLE_READERS:
                    self._readers.append(connection)
                    return
            connection.close()

    def wipe(self) -> None:
        """Move the write-ahead log into the file and empty it.

        Raises:
            ErasureIncomplete: A reader still uses an old state.
        """
        with self._lock, faults():
            if self._writer is None:
                self._writer, self._bound = self._connect(), 0
            (busy, *_) = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise ErasureIncomplete

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            for connection in (*self._readers, self._writer):
                if connection is not None:
                    connection.close()
            self._readers.clear()
            self._writer = None

    def _drop_writer(self) -> None:
        """Throw the writing connection away, which rolls back."""
        connection, self._writer = self._writer, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            for pragma in (
                f"page_size = {PAGE_BYTES}",
                "journal_mode = WAL",
                "synchronous = FULL",
                "secure_delete = ON",
                "temp_store = MEMORY",
                "trusted_schema = OFF",
                f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def faults() -> Iterator[None]:
    """Turn what SQLite and the file system raise into `StoreFault`."""
    try:
        yield
    except (sqlite3.Error, OSError) as fault:
        raise StoreFault from fault


def insert_rows(
    connection: sqlite3.Connection, table: str, rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert whole rows, many with each statement."""
    at = 0
    while at < len(rows):
        chunk = next(size for size in INSERT_CHUNKS if size <= len(rows) - at)
        row = f"({','.join('?' * len(rows[at]))})"
        values = [value for row_values in rows[at : at + chunk] for value in row_values]
        statement = f"INSERT INTO {table} VALUES {','.join([row] * chunk)}"  # noqa: S608 - fixed
        connection.execute(statement, values)
        at += chunk
