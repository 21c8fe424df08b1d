"""The file of a backup: a tar archive in one form only, which any `tar` lists and unpacks.

The safety argument of the reader, which takes a file from anybody:
1. A header is read for its name and size, written anew, and must be the same bytes: so a member is
   a plain file of mode 0600; links, devices, sparse files and extensions do not exist.
2. A name is one of those that a backup has, and none occurs twice: so nothing is written outside
   the folder, nor over anything.
3. Nothing is compressed: what comes out is never more than the file's own bytes.
4. It ends with the two blocks of zeros that end an archive, and with the file.
5. A short or foreign file gives `BackupUnsound`, never another exception.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final

from gateway.backup.errors import BackupUnsound

BLOCK: Final = 512
CHUNK: Final = 4 << 20
"""Bytes read at a time: few calls, and little memory."""
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
PAYLOADS: Final = "artifacts/payload/"
KEYS: Final = "keystore/keys"
ADMINISTRATOR: Final = "admin.key.wrapped"
DUMP: Final = "control.pgdump"
FILES: Final = frozenset(
    {
        *("sealgate.toml", "checkpoints.json", "audit.db", "subjects.db", "control.db", KEYS),
        *("admin.json", ADMINISTRATOR, DUMP, MANIFEST, SIGNATURE),
    }
)
_PAYLOAD: Final = re.compile(rf"{PAYLOADS}[0-9a-f]{{64}}")
_NAME_BYTES: Final = 100
_SIZE: Final = slice(124, 136)
_END: Final = bytes(2 * BLOCK)


def is_member(name: str) -> bool:
    """Tell whether a backup may have a member of this name."""
    return name in FILES or _PAYLOAD.fullmatch(name) is not None


def header_of(name: str, size: int) -> bytes:
    """Return the one header that a member of this name and size has (POSIX ustar, GNU sizes)."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT, "ascii")


class Writer:
    """Writes members one after the other.

    Args:
        out: A seekable file, at its beginning.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._begun = 0

    def begin(self, name: str, size: int) -> None:
        """Begin a member; exactly `size` bytes must follow by `write`."""
        assert is_member(name), name
        self._begun = self._out.tell()
        self._out.write(header_of(name, size))

    def write(self, data: bytes) -> None:
        """Append to the member that was begun."""
        self._out.write(data)

    def end(self) -> None:
        """Fill the last block of a member."""
        self._out.write(bytes(-self._out.tell() % BLOCK))

    def take_back(self) -> None:
        """Remove the member that was begun last."""
        self._out.seek(self._begun)
        self._out.truncate()

    def close(self) -> None:
        """End the archive."""
        self._out.write(_END)


class Member:
    """A member while it is read."""

    def __init__(self, source: BinaryIO, name: str, size: int) -> None:
        self._source = source
        self.name = name
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """Yield the content, once.

        Raises:
            BackupUnsound: The file is cut off, or the last block is not filled with zeros.
        """
        left = self.size
        while left:
            data = _read(self._source, min(left, CHUNK))
            left -= len(data)
            yield data
        if any(_read(self._source, -self.size % BLOCK)):
            raise BackupUnsound("there is something behind a member of the backup")


def members(source: BinaryIO) -> Iterator[Member]:
    """Yield the members in order; the content of each must be read before the next.

    Raises:
        BackupUnsound: See the claims.
    """
    seen: set[str] = set()
    while (header := _read(source, BLOCK)) != _END[:BLOCK]:
        name, size = _parsed(header)
        if not is_member(name):
            raise BackupUnsound("the backup has a member that no backup has")
        if name in seen:
            raise BackupUnsound("a member occurs twice in the backup")
        seen.add(name)
        yield Member(source, name, size)
    if _read(source, BLOCK) != _END[:BLOCK] or source.read(1):
        raise BackupUnsound("there is something behind the end of the backup")


def _parsed(header: bytes) -> tuple[str, int]:
    field = header[_SIZE]
    try:
        name = header[:_NAME_BYTES].rstrip(b"\0").decode("ascii")
        if field[0] == 0x80:  # base 256, for what octal cannot tell
            size = int.from_bytes(field[1:], "big")
        else:
            size = int(field.rstrip(b"\0 "), 8)
        if size >= 1 << 63 or header_of(name, size) != header:
            raise ValueError
    except ValueError:
        raise BackupUnsound("the file is no backup, or was changed") from None
    return name, size


def _read(source: BinaryIO, length: int) -> bytes:
    data = source.read(length)
    if len(data) != length:
        raise BackupUnsound("the backup is cut off")
    return data
