"""The payloads of an artifact store, pinned: each is there to be copied, whatever is removed.

1. A payload is opened before it is copied, and what is open stays readable when its name goes. A
   process that is killed leaves nothing behind.
2. `take` opens what is named at that moment and lets go of what is not: called while nothing can
   change, it pins what is referenced then. A first call before makes the second one quick.
3. A payload is read once; what is not what its name says is told, not copied.
"""

from __future__ import annotations

import os
import re
import resource
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.backup.archive import CHUNK, PAYLOADS, Writer
from gateway.backup.errors import BackupRefused
from gateway.backup.manifest import File

SPARE: Final = 256
"""Descriptors that the rest of the process needs at most."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Payloads:
    """Open payloads of one folder; close it.

    Args:
        folder: Where they are, by the SHA-256 of their content.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, int] = {}

    def take(self) -> None:
        """Pin what is there now, and nothing else.

        Raises:
            BackupRefused: There are more than this process can have open.
        """
        with os.scandir(self._folder) as entries:
            named = {entry.name for entry in entries if _DIGEST.fullmatch(entry.name)}
        for gone in self._open.keys() - named:
            os.close(self._open.pop(gone))
        missing = sorted(named - self._open.keys())
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE
        if most < len(named):
            raise BackupRefused(
                f"{len(named)} payloads are more than the files that a process may have open",
                f"allow {len(named) + SPARE}: `ulimit -n`, or LimitNOFILE= of the unit",
            )
        for digest in missing:
            self._pin(digest)

    def total(self) -> int:
        """Return the bytes of all."""
        return sum(os.fstat(descriptor).st_size for descriptor in self._open.values())

    def __len__(self) -> int:
        return len(self._open)

    def digests(self) -> list[str]:
        """Return the names, in order."""
        return sorted(self._open)

    def copy(self, digest: str, out: Writer) -> File | None:
        """Copy a payload into an archive and let go of it; None when it is damaged.

        Raises:
            OSError: The archive cannot be written.
        """
        descriptor = self._open.pop(digest)
        name, size, hashed = PAYLOADS + digest, os.fstat(descriptor).st_size, sha256()
        out.begin(name, size)
        copied = 0
        with os.fdopen(descriptor, "rb", buffering=0) as payload:
            while data := _chunk(payload.fileno(), size - copied):
                copied += len(data)
                hashed.update(data)
                out.write(data)
        if copied != size or hashed.hexdigest() != digest:
            out.take_back()
            return None
        out.end()
        return File(name, size, digest)

    def close(self) -> None:
        """Let go of all."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _pin(self, digest: str) -> None:
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self._folder / digest, flags)
        except FileNotFoundError:
            return  # it was removed meanwhile
        except OSError:
            raise BackupRefused(
                "a payload of the artifact store cannot be opened",
                "run this as the user that the gateway runs as",
            ) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise BackupRefused(
                "something in the artifact store is no file", "see artifacts/payload"
            )
        self._open[digest] = descriptor


def _chunk(descriptor: int, left: int) -> bytes:
    """Read on; what the disk does not give counts as the end: the digest tells."""
    try:
        return os.read(descriptor, min(left, CHUNK)) if left else b""
    except OSError:
        return b""
