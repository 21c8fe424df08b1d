"""Memory files: a model's plaintext, sealed, and the region that a gateway and an engine share."""

from __future__ import annotations

import fcntl
import mmap
import os

from gateway.engine.errors import EnginesDown


def seal(content: bytes | bytearray | memoryview | mmap.mmap) -> int:
    """Put bytes into a memory file that nobody can change any more; the caller closes it.

    Raises:
        EnginesDown: There is no descriptor or memory left.
    """
    try:
        descriptor = os.memfd_create("model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError as fault:
        raise EnginesDown from fault
    try:
        view = memoryview(content).cast("B")
        while view:
            view = view[os.write(descriptor, view) :]
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except OSError as fault:
        os.close(descriptor)
        raise EnginesDown from fault
    return descriptor


def make_region(size: int) -> int:
    """Make the shared memory file: sparse, and of this size for good."""
    descriptor = os.memfd_create("region", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
