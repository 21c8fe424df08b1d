"""What a child process takes away from itself before it looks at anything hostile.

Each step is for good and needs no privilege: as a plain user the network is left inside a user
namespace of its own. Every step makes a few system calls and is safe after a `fork`.

Sources: seccomp(2), bpf(4); numbers of x86-64 and arm64 from the kernel's tables.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

NOBODY: Final = 65534
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION_3: Final = 0x20080522
_PR_SET_SECCOMP: Final = 22
_FILTER: Final = 2
# Names of the architecture for the kernel, its `socket`, and where numbers of another begin (x32).
_ARCHITECTURES: Final = {
    "x86_64": (0xC000003E, 41, 0x40000000),
    "aarch64": (0xC00000B7, 198, 0x40000000),
}
_IO_URING_SETUP: Final = 425  # makes sockets, too
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|ABS, JEQ|K, JGE|K, RET|K
_KILL, _ALLOW, _REFUSE = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EPERM
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


def deny_sockets() -> bool:
    """Let this process, and all that it starts, make no socket any more. Needs `no_new_privs`.

    It is weaker than `leave_network`: what is left is a kernel with a network behind a filter.

    Returns:
        False where the architecture or the kernel does not know such filters.
    """
    found = _ARCHITECTURES.get(platform.machine())
    if found is None:
        return False
    architecture, socket, others = found
    steps = (
        (_LOAD, 0, 0, 4),  # the architecture, in struct seccomp_data
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number
        (_EQUAL, 2, 0, socket),
        (_EQUAL, 1, 0, _IO_URING_SETUP),
        (_AT_LEAST, 0, 1, others),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
    return _install(b"".join(struct.pack("<HBBI", *step) for step in steps))


def _install(steps: bytes) -> bool:
    class _Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    buffer = ctypes.create_string_buffer(steps, len(steps))
    program = _Program(len(steps) // 8, ctypes.addressof(buffer))
    return bool(_LIBC.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0)


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


def closed_to_nobody(path: Path) -> Path | None:
    """Return the outermost folder above `path` that `nobody` cannot enter, if any is.

    It asks as root only: others stay who they are, and enter what they entered before.
    """
    if os.getuid() != 0:
        return None
    folders = reversed(path.absolute().parents)
    return next((each for each in folders if not each.stat().st_mode & stat.S_IXOTH), None)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
