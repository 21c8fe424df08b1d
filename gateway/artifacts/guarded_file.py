"""Files that hold keys: readable by their owner alone, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from gateway.artifacts.errors import KeystoreAbsent, KeystorePresent, KeystoreUnsafe

OWNER_ONLY: Final = 0o600
_OTHERS: Final = 0o077
_WORLD: Final = 0o007


def read_guarded(path: Path, limit: int, *, group: bool = False) -> bytes:
    """Read a file that nobody else can read or replace.

    Args:
        path: A regular file, not a symbolic link.
        limit: Bytes.
        group: Allow group bits: access control lists, as systemd sets them, show up there.

    Raises:
        KeystoreAbsent: There is no such file.
        KeystoreUnsafe: Others can read it, somebody else owns it, or it is larger than `limit`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KeystoreAbsent from None
    except OSError:
        raise KeystoreUnsafe("a file of the keystore cannot be opened safely") from None
    with open(fd, "rb") as stream:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise KeystoreUnsafe("a file of the keystore is not a regular file of sane size")
        check_owner_only(status, _WORLD if group else _OTHERS)
        return stream.read(limit)


def check_owner_only(status: os.stat_result, forbidden: int = _OTHERS) -> None:
    """Refuse what others may use, or what another user than us or root owns.

    Raises:
        KeystoreUnsafe: It is so.
    """
    if status.st_mode & forbidden:
        raise KeystoreUnsafe("the keystore can be read by other users: `chmod go= ` its files")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeystoreUnsafe("the keystore belongs to another user")


def create_guarded(path: Path, data: bytes) -> None:
    """Write a new file for the owner alone, durably.

    Raises:
        KeystorePresent: There is one already.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, OWNER_ONLY)
    except FileExistsError:
        raise KeystorePresent from None
    with open(fd, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(fd)
    sync_folder(path.parent)


def replace_guarded(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably, then overwrite what it held before.

    The overwriting is best effort: a copy-on-write file system or a flash translation layer may
    keep the old blocks. They hold wrapped keys, never plain ones.
    """
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)  # of a process that died between write and rename
    create_guarded(temporary, data)
    with open(path, "r+b", buffering=0) as old:
        size = os.fstat(old.fileno()).st_size
        os.replace(temporary, path)
        sync_folder(path.parent)
        with contextlib.suppress(OSError):
            old.write(bytes(size))
            os.fsync(old.fileno())


def sync_folder(folder: Path) -> None:
    """Make created, renamed and removed names of a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
