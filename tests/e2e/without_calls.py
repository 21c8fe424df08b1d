"""`python without_calls.py NAME … -- PROGRAM …`: run a program whose kernel refuses some calls.

Container engines do the same by their profiles: unprivileged processes get no namespaces.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

NUMBERS: Final = {
    "x86_64": {"unshare": 272, "seccomp": 317},
    "aarch64": {"unshare": 97, "seccomp": 277},
}
_LOAD_NUMBER: Final = struct.pack("<HBBI", 0x20, 0, 0, 0)
_REFUSE: Final = struct.pack("<HBBI", 0x06, 0, 0, 0x00050000 | errno.EPERM)
_ALLOW: Final = struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000)
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def refuse(names: list[str]) -> None:
    """Let the calls of these names fail for this process, and for all that it starts."""
    numbers = NUMBERS[platform.machine()]
    steps = _LOAD_NUMBER
    for name in names:
        steps += struct.pack("<HBBI", 0x15, 0, 1, numbers[name]) + _REFUSE
    buffer = ctypes.create_string_buffer(steps + _ALLOW)
    program = _Program((len(steps) + len(_ALLOW)) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0


if __name__ == "__main__":
    end = sys.argv.index("--")
    refuse(sys.argv[1:end])
    os.execv(sys.argv[end + 1], sys.argv[end + 1 :])  # noqa: S606 - that is what it is for
