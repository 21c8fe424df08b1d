"""The file that a download grows in: one download's at a time, and nobody else's.

The safety argument:

1. A part is opened without following a symbolic link, must be a regular file of ours with one name,
   and is locked (`flock`) for as long as it is written: a second download of the same name is
   refused. The lock ends with its process, however that ends.
2. After locking, the name must still be the file that was opened: another download may have
   finished and renamed it in between.
3. What a part is of stands in a note beside it. A part without a note that fits, or that is longer
   than it can be, starts again.
4. The finished file gets its name at once and whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import check_writable, note
from gateway.cli.reading import appearing, cannot

BLOCK: Final = 1 << 20
NOTE_LIMIT: Final = 16 << 10
"""Bytes: a post-quantum recipient takes 2 kB."""


class Part:
    """A part that is open and locked.

    Args:
        out: What it becomes.
        stream: The part.
    """

    def __init__(self, out: Path, stream: BinaryIO) -> None:
        self.out = out
        self.stream = stream
        self.path, self._note = part_of(out), note_of(out)

    def length(self) -> int:
        """Return its bytes so far."""
        return os.fstat(self.stream.fileno()).st_size

    def resumable(self, digest: str, recipient: str, payload_length: int) -> int | None:
        """Return the header's length if the part is of this payload and for this recipient."""
        header = self._noted(digest, recipient)
        if header is None or self.length() < header:
            return None
        if self.length() > header + payload_length:
            note("what was there is longer than the file can be: starting again")
            return None
        return header

    def begin(self, header: bytes, digest: str, recipient: str) -> None:
        """Start anew with a header, and note what the part is of."""
        self._note.unlink(missing_ok=True)
        self.cut(0)
        self.stream.write(header)
        self.stream.flush()
        kept = {"digest": digest, "recipient": recipient, "header_length": len(header)}
        with appearing(self._note, replace=True) as file:
            file.write(json.dumps(kept).encode())

    def cut(self, length: int) -> None:
        """Keep the first bytes and go on writing after them."""
        self.stream.truncate(length)
        self.stream.seek(length)

    def payload_digest(self, header_length: int) -> str:
        """Return the SHA-256 of what follows the header, hex."""
        digest = hashlib.sha256()
        self.stream.flush()
        self.stream.seek(header_length)
        while block := self.stream.read(BLOCK):
            digest.update(block)
        return digest.hexdigest()

    def finish(self) -> None:
        """Give the whole file its name, durably."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        _check_named(self.path, self.stream.fileno())
        os.replace(self.path, self.out)
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove part and note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def _noted(self, digest: str, recipient: str) -> int | None:
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            handle = os.open(self._note, flags)
            with open(handle, "rb") as file:
                kept: Any = json.loads(file.read(NOTE_LIMIT))
            fits = kept["digest"] == digest and kept["recipient"] == recipient
            return int(kept["header_length"]) if fits and kept["header_length"] > 0 else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None


def part_of(out: Path) -> Path:
    """Return the name under which a download grows."""
    return out.with_name(out.name + ".part")


def note_of(out: Path) -> Path:
    """Return the name of the note of what a part is of."""
    return out.with_name(out.name + ".part.json")


@contextmanager
def growing(out: Path) -> Iterator[Part]:
    """Open and lock the part of a file.

    Raises:
        CommandFailed: The name is a link or no regular file, another download has it, or it cannot
            be written.
    """
    check_writable(out)
    _check_target(out)
    path = part_of(out)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        raise _foreign(path, error) from None
    with _closing(open(_ours(path, handle), "r+b")) as stream:
        _lock(out, handle)
        _check_named(path, handle)
        part = Part(out, stream)
        try:
            yield part
        except OSError as error:
            raise cannot("write", path, error) from None
        finally:
            _clear_up(part)


@contextmanager
def _closing(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Close a file; what has to be on the disk is there before, so a full one is told once."""
    try:
        yield stream
    finally:
        with contextlib.suppress(OSError):
            stream.close()


def _clear_up(part: Part) -> None:
    """Leave no empty part behind; it may have got its name or be gone."""
    with contextlib.suppress(OSError, ValueError):
        if part.length() == 0:
            part.discard()


def _lock(out: Path, handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _busy(out) from None


def _check_named(path: Path, handle: int) -> None:
    """Refuse to go on with a file that has lost its name to another download."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.lstat(path), os.fstat(handle)):
            return
    raise _busy(path.with_name(path.name.removesuffix(".part")))


def _busy(out: Path) -> CommandFailed:
    what = f"another download writes `{out}`"
    advice = "wait until it is done, or choose another name with --out"
    return CommandFailed(what, ExitCode.TRY_AGAIN, advice)


def _check_target(out: Path) -> None:
    try:
        mode = os.lstat(out).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
        what = f"`{out}` is {kind}, and is not written through"
        raise CommandFailed(what, ExitCode.USAGE, "choose another name with --out")


def _ours(path: Path, handle: int) -> int:
    """Return the file if it is a regular one of ours with one name; close it otherwise."""
    status = os.fstat(handle)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid():
        return handle
    os.close(handle)
    what = f"`{path}` is no regular file, somebody else's, or has another name as well"
    raise CommandFailed(what, ExitCode.USAGE, f"look at it, remove it: {path}")


def _foreign(path: Path, error: OSError) -> CommandFailed:
    if path.is_symlink():
        what = f"`{path}` is a symbolic link, and is not written through"
        return CommandFailed(what, ExitCode.USAGE, f"look at it, remove it: {path}")
    return cannot("write", path, error)
