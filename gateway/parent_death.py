"""A child process that ends when its parent ends, in whatever way the parent ends.

1. A parent that is killed runs no more code, so the kernel ends the child: `prctl(2)` with
   `PR_SET_PDEATHSIG` asks it to send a signal when the parent dies.
2. The kernel is silent about a parent that died before it was asked. So the child is told the
   process id of its parent, and compares it with `getppid` *after* it has asked. A death before the
   question shows in the comparison, a death after it brings the signal: no moment is left out.
3. The comparison cannot be fooled by a process id that is used again. The new parent of an orphan
   is an ancestor that was alive together with the old parent, so their ids differ.
4. A `fork` does not copy the setting, and the kernel forgets it when the process changes its user:
   each child asks for itself, and asks again after such a change. An `exec` keeps it.
5. Nothing is loaded by the call: it makes two system calls and is safe between `fork` and `exec`.

What the caller owes: the kernel watches the *thread* that started the child, so that thread must
live as long as the child is wanted. Parent and child must share a namespace of process ids.
"""

from __future__ import annotations

import ctypes
import os
from signal import SIGKILL, Signals
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""From linux/prctl.h."""

EXIT_ORPHAN: Final = 16
"""Exit code of a process whose parent was dead before it could ask."""

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int, signal: Signals = SIGKILL) -> None:
    """Tie the life of this process to its parent's; does not return when the parent is dead.

    Args:
        parent: Process id of the parent, as the parent itself has told it.
        signal: What the kernel sends when the parent dies later.

    Raises:
        OSError: The kernel refused.
    """
    if _LIBC.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(EXIT_ORPHAN)
