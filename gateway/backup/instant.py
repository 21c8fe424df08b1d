"""One instant of several SQLite files that another process writes, held while they are copied.

The safety argument:
1. While `Instant.hold` has the locks, nobody else commits to any of the files, so the states that
   the readers take up under the locks are those of one instant, as a loss of power would leave
   them. What else must be of that instant is taken in the same block.
2. The locks are held for milliseconds and in the order in which a gateway takes them (audit log,
   then keystore); when one cannot be had at once, all are given back. A waiting caller is delayed,
   never refused.
3. A reader keeps its state until its copy is whole: a copy is of the instant however long it takes.
   Meanwhile an erasure deletes and cannot wipe: it is told so, and ends when it is repeated.
4. Nothing is written to the files.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from gateway.backup.errors import BackupRefused

HOLD_SECONDS: Final = 0.5
"""For the locks after the first: far below what a writer of the gateway waits (2 s)."""
TRY_SECONDS: Final = 60.0
"""A writer that never pauses leaves gaps between its commits; a stuck one is told."""
PAUSE_SECONDS: Final = 0.001
STEP_PAGES: Final = 1024
_LOOK: Final = "SELECT count(*) FROM sqlite_master"


class Instant:
    """Readers of several files, each at the same instant once `hold` has ended.

    Args:
        files: By name, in the order in which they are locked.
        lock: A file that is locked (`flock`) after them, if it exists.

    Raises:
        BackupRefused: A file cannot be opened.
    """

    def __init__(self, files: Mapping[str, Path], lock: Path) -> None:
        self._files = files
        self._lock = lock
        self._readers: dict[str, sqlite3.Connection] = {}

    @contextmanager
    def hold(self, monotonic: Callable[[], float] = time.monotonic) -> Iterator[None]:
        """Hold everything still while the block runs; what it reads is of the instant.

        Raises:
            BackupRefused: The locks could not be had.
        """
        deadline = monotonic() + TRY_SECONDS
        with ExitStack() as opened:
            writers = {
                path: opened.enter_context(closing(_open(path))) for path in self._files.values()
            }
            self._readers = {name: _open(path) for name, path in self._files.items()}
            with ExitStack() as held:
                while not self._locked(held, writers, monotonic):
                    held.close()
                    if monotonic() > deadline:
                        what = "the databases of the data folder are locked by something else"
                        raise BackupRefused(what, "look what has them open, then try again")
                    time.sleep(PAUSE_SECONDS)
                for reader in self._readers.values():
                    reader.execute("BEGIN")
                    reader.execute(_LOOK).fetchone()
                yield

    def reader(self, name: str) -> sqlite3.Connection:
        """Return the connection that sees a file as it was at the instant."""
        return self._readers[name]

    def size(self, name: str) -> int:
        """Return the bytes that the copy of a file will have."""
        reader = self._readers[name]
        (pages,) = reader.execute("PRAGMA page_count").fetchone()
        (length,) = reader.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(length)

    def copy(self, name: str, to: Path, advance: Callable[[int], None]) -> None:
        """Write a file as it was at the instant, durable or not, and let go of it.

        Args:
            name: Of the file.
            to: Does not exist.
            advance: Told how many bytes were copied since it was last told.

        Raises:
            sqlite3.Error: The disk is full, or a file cannot be read.
        """
        reader = self._readers.pop(name)
        (length,) = reader.execute("PRAGMA page_size").fetchone()
        left = [-1]

        def progress(_: int, remaining: int, total: int) -> None:
            before = total if left[0] < 0 else left[0]
            left[0] = remaining
            advance((before - remaining) * length)

        os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(reader), closing(sqlite3.connect(to, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = OFF")  # it is synced with the archive
            reader.backup(copy, pages=STEP_PAGES, progress=progress)

    def close(self) -> None:
        """Let go of what was not copied."""
        while self._readers:
            self._readers.popitem()[1].close()

    def _locked(
        self,
        held: ExitStack,
        writers: Mapping[Path, sqlite3.Connection],
        monotonic: Callable[[], float],
    ) -> bool:
        """Take all locks, or tell that one cannot be had now."""
        until = monotonic() + TRY_SECONDS
        for path, writer in writers.items():
            while not _begun(writer, path):
                if monotonic() > until:
                    return False
                time.sleep(PAUSE_SECONDS)
            held.callback(writer.execute, "ROLLBACK")
            until = monotonic() + HOLD_SECONDS
        with suppress(FileNotFoundError):
            lock = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            held.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True


def _open(path: Path) -> sqlite3.Connection:
    """Open a file, and read what every statement needs, before anything is locked."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=5, isolation_level=None
        )
        connection.execute(_LOOK).fetchone()
        connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error:
        raise BackupRefused(
            f"`{path.name}` cannot be opened: it is damaged or another user's, or its disk is full",
            "sealgate doctor tells which; run this as the user that the gateway runs as",
        ) from None
    return connection


def _begun(writer: sqlite3.Connection, path: Path) -> bool:
    try:
        writer.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as fault:
        if fault.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        raise BackupRefused(
            f"`{path.name}` cannot be opened: it is damaged or another user's, or its disk is full",
            "sealgate doctor tells which; run this as the user that the gateway runs as",
        ) from None
    return True
