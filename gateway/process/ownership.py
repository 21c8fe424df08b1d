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
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError

LOCK_FILE: Final = "lock"
MAX_DESCRIPTORS: Final = 65_536
"""What all doors, engines and files of one gateway come to, and some more."""


@contextlib.contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Own the data folder for as long as the block runs.

    Raises:
        ConfigurationError: When another gateway owns it, or it is not a data folder.
    """
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        raise ConfigurationError("the data folder is missing or not writable") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigurationError(
            "another gateway owns this data folder",
            "stop that one, or give this one its own --data",
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def keep_memory_private() -> None:
    """Forbid core dumps: they would hold decrypted models and keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def take_descriptors() -> None:
    """Raise the bound of open descriptors to what the system allows, up to `MAX_DESCRIPTORS`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
