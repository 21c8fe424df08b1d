"""The file of a keystore's document: read when it changed, replaced whole, by one at a time."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.artifacts.errors import KeystoreAbsent
from gateway.artifacts.guarded_file import read_guarded, replace_guarded
from gateway.artifacts.key_document import (
    DOCUMENT_LIMIT,
    KeyDocument,
    decode_document,
    encode_document,
    verify_document,
)

_LOCK: Final = "lock"


class DocumentFile:
    """The file, for one process; others may replace it.

    Args:
        path: Of the file.
        root: Authenticates it.

    Raises:
        KeystoreAbsent: There is none.
        KeystoreCorrupt: Somebody without the root key changed it.
    """

    def __init__(self, path: Path, root: bytes) -> None:
        self._path = path
        self._root = root
        self._mutex = threading.RLock()
        self._seen: tuple[int, ...] = ()
        self._document = self._read()

    def current(self) -> KeyDocument:
        """Return the document, read anew if any process has replaced the file."""
        with self._mutex:
            if self._signature() != self._seen:
                self._document = self._read()
            return self._document

    @contextmanager
    def change(self) -> Iterator[KeyDocument]:
        """Change the newest document; no other process or thread changes it at the same time.

        INVARIANT: what is yielded is a copy; if the block raises, nothing has changed.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with self._mutex:
            lock = os.open(self._path.with_name(_LOCK), flags, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                document = self._read()
                self._seen = ()  # what is remembered is older: read anew, also if the block raises
                yield document
                replace_guarded(self._path, encode_document(document, self._root))
                self._document = self._read()
            finally:
                os.close(lock)

    def _signature(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            raise KeystoreAbsent from None
        return (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)

    def _read(self) -> KeyDocument:
        """Read and authenticate the file, again if it was replaced meanwhile."""
        while True:
            signature = self._signature()
            data = read_guarded(self._path, DOCUMENT_LIMIT)
            if self._signature() != signature:
                continue
            verify_document(data, self._root)
            self._seen = signature
            return decode_document(data)
