"""One gateway process a data folder, and none of its memory on a disk.

1. On one data folder there is one gateway: the kernel holds the lock for as long as the process
   lives, so a killed gateway never leaves a stale one behind.
2. Nothing of the process's memory reaches a disk as a core dump.
3. It may open as many files and connections as the system lets it, not as many as a shell does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError

LOCK_FILE: Final = "lock"
MAX_DESCRIPTORS: Final = 65_536
"""What all doors, engines and files of one gateway come to, and some more."""
_NOTE_BYTES: Final = 300


@contextlib.contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Own the data folder for as long as the block runs.

    Raises:
        ConfigurationError: When another gateway owns it, or it is not a data folder.
    """
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise ConfigurationError(
            f"the data folder cannot be written ({os.strerror(fault.errno or 0).lower()})",
            "run the gateway as the user whose folder it is, on a disk that can be written: "
            f"ls -ld '{data_dir}'",
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, _NOTE_BYTES, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise ConfigurationError(
            f"another gateway owns this data folder{f' ({owner})' if owner else ''}",
            "stop that one, or give this one its own --data",
        ) from None
    _leave_note(descriptor)
    try:
        yield
    finally:
        os.close(descriptor)


def _leave_note(descriptor: int) -> None:
    """Say who owns the folder; on a full disk nobody can."""
    note = f"process {os.getpid()} on {socket.gethostname()}\n".encode("ascii", "replace")
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note[:_NOTE_BYTES], 0)


def keep_memory_private() -> None:
    """Forbid core dumps: they would hold decrypted models and keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def take_descriptors() -> None:
    """Raise the bound of open descriptors to what the system allows, up to `MAX_DESCRIPTORS`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
