"""What a child process takes away from itself before it looks at anything hostile.

Each step is for good and needs no privilege: as a plain user the network is left inside a user
namespace of its own. Every step makes a few system calls and is safe after a `fork`.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Mapping
from typing import Final

NOBODY: Final = 65534
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def limit(ceilings: Mapping[int, int]) -> None:
    """Lower limits of `resource`, hard and soft; one that is lower already stays.

    Args:
        ceilings: The new bound by `resource.RLIMIT_…`.
    """
    for name, ceiling in ceilings.items():
        _, hard = resource.getrlimit(name)
        bound = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
        resource.setrlimit(name, (bound, bound))


def forbid_new_privileges() -> None:
    """Make `exec` of a set-user-id program gain nothing.

    Raises:
        OSError: The kernel refused.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hide_memory() -> None:
    """Keep other processes of the same user from reading this one's memory; writes no core file.

    Raises:
        OSError: The kernel refused.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def leave_network() -> bool:
    """Enter an empty network namespace; as a plain user, one inside a user namespace.

    Returns:
        False where the kernel gives none to this user.
    """
    if _LIBC.unshare(_CLONE_NEWNET) == 0:
        return True
    return bool(_LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)


def drop_user() -> bool:
    """Become `nobody` when root, and give up every capability.

    Returns:
        Whether the user changed.
    """
    dropped = False
    if os.getuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            dropped = True
        except OSError:  # root without CAP_SETUID, as in a tight container: capabilities go below
            dropped = False
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _LIBC.capset(header, (ctypes.c_uint32 * 6)())
    return dropped


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
