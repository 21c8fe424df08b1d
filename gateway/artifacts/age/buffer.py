"""Memory for one decrypted payload: not in core files, not inherited by children, wiped."""

from __future__ import annotations

import contextlib
import mmap
from typing import Final, Self

_ZEROS: Final = bytes(1 << 20)


class SecretBuffer(mmap.mmap):
    """Anonymous private memory that holds a plaintext.

    It is left out of core files (MADV_DONTDUMP) and of forked children (MADV_DONTFORK), and
    lives on huge pages where there are some: touching it first is a third of the cost. It can
    still be swapped: use encrypted swap or none. Libraries that copy out of it keep their copy.
    """

    def __new__(cls, length: int) -> Self:
        """Map `length` bytes, at least one."""
        buffer = super().__new__(cls, -1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for advice in ("MADV_DONTDUMP", "MADV_DONTFORK", "MADV_HUGEPAGE"):  # Linux
            with contextlib.suppress(AttributeError, OSError):  # kernels without huge pages
                buffer.madvise(getattr(mmap, advice))
        return buffer

    def wipe(self) -> None:
        """Zero the memory and give it back. A second call does nothing.

        Where a view of it is still held, the memory is zeroed now and given back with the view.
        """
        if self.closed:
            return
        for start in range(0, len(self), len(_ZEROS)):
            end = min(start + len(_ZEROS), len(self))
            self[start:end] = _ZEROS[: end - start]
        with contextlib.suppress(BufferError):
            self.close()

    def __exit__(self, *_: object) -> None:
        self.wipe()
