"""Files that a command reads and writes whole: bounded, told apart, never followed off course."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from gateway.artifacts.errors import ArtifactError
from gateway.cli.failures import CommandFailed, ExitCode

PIPE: Final = Path("-")
"""Stands for standard input."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk is full, a quota is used up, or a limit of the process is reached."""


def read_bounded(path: Path, limit: int) -> bytes:
    """Return what a small file holds.

    Raises:
        CommandFailed: It cannot be read, or is larger than `limit` bytes.
    """
    with opened(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise CommandFailed(f"`{path}` is too large to be such a file", ExitCode.USAGE)
    return data


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file, or standard input for `-`.

    Raises:
        CommandFailed: It cannot be read.
    """
    if path == PIPE:
        # What a pipe is read through in every process that has one (`TextIOWrapper.buffer`).
        yield cast(io.BufferedReader, sys.stdin.buffer)
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise cannot("read", path, error) from None
    with stream:
        yield stream


@contextmanager
def appearing(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Write a hidden file beside `path`, mode 0600, that gets its name if all goes well.

    Args:
        path: The name. A symbolic link of that name is not followed.
        replace: Whether a file that has the name already makes room.

    Raises:
        CommandFailed: It cannot be written, or the name is taken.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise cannot("write", path, error) from None
    temporary = Path(name)
    try:
        with open(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(handle)
        if replace:
            temporary.replace(path)
        else:
            _name(temporary, path)
    except OSError as error:
        raise cannot("write", path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def check_absent(path: Path) -> None:
    """Refuse a name that is taken before any work is done for it.

    Raises:
        CommandFailed: There is something of that name.
    """
    if os.path.lexists(path):
        raise CommandFailed("the output file exists already", advice="choose another name")


def unverified(error: ArtifactError, advice: str) -> CommandFailed:
    """Return the failure of something that does not verify."""
    return CommandFailed(error.public, ExitCode.UNVERIFIED, advice)


def cannot(what: str, path: Path, error: OSError) -> CommandFailed:
    """Return the failure to read or write a file."""
    reason = (error.strerror or "failed").lower()
    advice = "check the path and its modes"
    if error.errno in _NO_ROOM:
        advice = "make room, then give the command again: what was there is as it was"
    return CommandFailed(f"cannot {what} `{path}`: {reason}", advice=advice)


def _name(temporary: Path, path: Path) -> None:
    """Give a file its name unless another got it meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, such as FAT
        check_absent(path)
        temporary.replace(path)
