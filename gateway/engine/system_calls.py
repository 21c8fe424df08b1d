"""Which system calls an engine may make, and which files: none. Filters of the kernel.

Safety argument. Once the filter stands a hostile model that has taken over its engine can compute,
take memory up to its bound, and ring the two bells that it was given:
1. What a loaded runtime needs is allowed by name; what libraries probe for fails with EPERM; every
   other call ends the process. No call opens a file or a socket, starts a process or a program,
   sends a signal, or looks into another process.
2. Memory never becomes executable (`mmap`, `mprotect` with PROT_EXEC fail): no code but what was
   loaded before.
3. A call by the numbers of another architecture (x32, 32 bit) ends the process: numbers mean
   something else there.
4. Landlock denies every file beneath every folder, also where a filter is not to be had.
5. `fcntl` copies descriptors and tells of them, and no more: with an owner and O_ASYNC on a pipe
   (F_SETOWN, F_SETSIG) the kernel would send any signal to any process of the user.

Other providers than the plain one load libraries late, compile, and start threads. Their engines
are confined less (`wide`): files of the system and of their own environment can be read, and none
written, but for the devices of NVIDIA's driver where there are some (`gpu_devices`); threads can be
started, processes and programs cannot; memory may become executable. They have no network, no
privileges, and no way out but their answers all the same.

Sources: seccomp(2), bpf(4), landlock(7); numbers of x86-64 and arm64 from the kernel's tables.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ALLOWED: Final = tuple(
    """
    read write close lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn
    madvise sched_yield mremap getpid exit futex sched_getaffinity clock_gettime clock_nanosleep
    exit_group gettid getrusage getrandom pread64 ppoll restart_syscall fcntl fstat
    """.split()
)
_REFUSED: Final = tuple(
    """
    openat newfstatat readlinkat ioctl faccessat faccessat2 sysinfo getcwd uname prlimit64 clone3
    socket
    """.split()
)
_WIDE: Final = tuple(
    """
    openat newfstatat statx readlinkat faccessat faccessat2 getdents64 sysinfo getcwd uname
    prlimit64 ioctl set_robust_list rseq sched_setaffinity gettimeofday mbind get_mempolicy
    getuid geteuid getgid getegid eventfd2 pipe2 dup fcntl sigaltstack membarrier flock ftruncate
    """.split()
)
# x86-64 has older calls beside those that arm64 has.
_ALLOWED_X86: Final = ("poll",)
_REFUSED_X86: Final = ("stat", "access", "readlink", "open")
_WIDE_X86: Final = (*_REFUSED_X86, "lstat", "time", "getdents")

_X86: Final = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "poll": 7, "lseek": 8,
    "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
    "rt_sigreturn": 15, "ioctl": 16, "pread64": 17, "access": 21, "sched_yield": 24, "mremap": 25,
    "madvise": 28, "getpid": 39, "socket": 41, "exit": 60, "uname": 63, "fcntl": 72, "getcwd": 79,
    "readlink": 89, "getrusage": 98, "sysinfo": 99, "gettid": 186, "futex": 202,
    "sched_getaffinity": 204, "restart_syscall": 219, "clock_gettime": 228, "clock_nanosleep": 230,
    "exit_group": 231, "openat": 257, "newfstatat": 262, "readlinkat": 267, "faccessat": 269,
    "ppoll": 271, "prlimit64": 302, "getrandom": 318, "clone3": 435, "faccessat2": 439,
    "lstat": 6, "dup": 32, "clone": 56, "flock": 73, "ftruncate": 77, "getdents": 78,
    "gettimeofday": 96, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108,
    "sigaltstack": 131, "time": 201, "sched_setaffinity": 203, "getdents64": 217, "mbind": 237,
    "get_mempolicy": 239, "set_robust_list": 273, "eventfd2": 290, "pipe2": 293,
    "membarrier": 324, "statx": 332, "rseq": 334,
}  # fmt: skip
_ARM64: Final = {
    "getcwd": 17, "fcntl": 25, "ioctl": 29, "faccessat": 48, "openat": 56, "close": 57,
    "lseek": 62, "read": 63, "write": 64, "pread64": 67, "ppoll": 73, "readlinkat": 78,
    "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98, "clock_gettime": 113,
    "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128,
    "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "uname": 160,
    "getrusage": 165, "getpid": 172, "gettid": 178, "sysinfo": 179, "socket": 198, "brk": 214,
    "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233, "prlimit64": 261,
    "getrandom": 278, "clone3": 435, "faccessat2": 439,
    "eventfd2": 19, "dup": 23, "flock": 32, "ftruncate": 46, "pipe2": 59, "getdents64": 61,
    "set_robust_list": 99, "sched_setaffinity": 122, "sigaltstack": 132, "gettimeofday": 169,
    "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "clone": 220, "mbind": 235,
    "get_mempolicy": 236, "membarrier": 283, "statx": 291, "rseq": 293,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Architecture:
    """How the kernel names an architecture, and the numbers of its calls."""

    audit: int
    numbers: dict[str, int]
    allowed: tuple[str, ...]
    refused: tuple[str, ...]
    wide: tuple[str, ...]


ARCHITECTURES: Final = {
    "x86_64": Architecture(
        0xC000003E,
        _X86,
        (*_ALLOWED, *_ALLOWED_X86),
        (*_REFUSED, *_REFUSED_X86),
        (*_WIDE, *_WIDE_X86),
    ),
    "aarch64": Architecture(0xC00000B7, _ARM64, _ALLOWED, _REFUSED, _WIDE),
}

_LOAD, _EQUAL, _BITS, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD|ABS, JEQ|K, JSET|K, RET|K
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _THIRD_ARGUMENT_AT = 0, 4, 32  # struct seccomp_data, little-endian
_PROT_EXEC: Final = 4
_CLONE_THREAD: Final = 0x10000
_FIRST_ARGUMENT_AT, _SECOND_ARGUMENT_AT = 16, 24
_COMMANDS: Final = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # on both architectures
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8  # LANDLOCK_ACCESS_FS_…
_IOCTL_DEVICE: Final = 1 << 15
_IOCTL_KNOWN: Final = 5  # the first version of Landlock that asks for it
_PATH_BENEATH: Final = 1
_GPU_DEVICE: Final = re.compile(r"nvidia(ctl|-uvm|-uvm-tools|\d+)").fullmatch
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def program(architecture: Architecture, *, wide: bool = False) -> bytes:
    """Return the filter as `struct sock_filter[]`. Pure."""
    return b"".join(struct.pack("<HBBI", *step) for step in _steps(architecture, wide))


def _steps(architecture: Architecture, wide: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield (operation, jump if true, jump if false, operand)."""
    numbers = architecture.numbers
    yield _LOAD, 0, 0, _ARCHITECTURE_AT
    yield _EQUAL, 1, 0, architecture.audit  # claim 3
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER_AT
    allowed = (*architecture.allowed, *architecture.wide) if wide else architecture.allowed
    yield from _descriptors_only(numbers["fcntl"])  # claim 5
    if wide:  # a thread, and no process
        yield _EQUAL, 0, 4, numbers["clone"]
        yield _LOAD, 0, 0, _FIRST_ARGUMENT_AT
        yield _BITS, 1, 0, _CLONE_THREAD
        yield _RETURN, 0, 0, _KILL
        yield _RETURN, 0, 0, _ALLOW
    for name in (name for name in dict.fromkeys(allowed) if name != "fcntl"):
        if name in {"mmap", "mprotect"} and not wide:  # claim 2
            yield _EQUAL, 0, 4, numbers[name]
            yield _LOAD, 0, 0, _THIRD_ARGUMENT_AT
            yield _BITS, 0, 1, _PROT_EXEC
            yield _RETURN, 0, 0, _ERRNO | errno.EPERM
            yield _RETURN, 0, 0, _ALLOW
        else:
            yield _EQUAL, 0, 1, numbers[name]
            yield _RETURN, 0, 0, _ALLOW
    for name in (name for name in architecture.refused if name not in allowed):
        yield _EQUAL, 0, 1, numbers[name]
        # ENOSYS makes the C library fall back from `clone3` to what is refused by number.
        yield _RETURN, 0, 0, _ERRNO | (errno.ENOSYS if name == "clone3" else errno.EPERM)
    yield _RETURN, 0, 0, _KILL


def _descriptors_only(number: int) -> Iterator[tuple[int, int, int, int]]:
    yield _EQUAL, 0, len(_COMMANDS) + 3, number
    yield _LOAD, 0, 0, _SECOND_ARGUMENT_AT
    for place, command in enumerate(_COMMANDS):
        yield _EQUAL, len(_COMMANDS) - place, 0, command
    yield _RETURN, 0, 0, _ERRNO | errno.EPERM
    yield _RETURN, 0, 0, _ALLOW


def filter_calls(*, wide: bool = False) -> bool:
    """Install the filter for this process, for good. Needs `no_new_privs`.

    Returns:
        False where the architecture or the kernel does not know such filters.
    """
    machine = platform.machine()
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        return False
    steps = program(architecture, wide=wide)
    buffer = ctypes.create_string_buffer(steps, len(steps))

    class _Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

    filled = _Program(len(steps) // 8, ctypes.addressof(buffer))
    found = _LIBC.syscall(_SECCOMP[machine], _SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(filled))
    return bool(found == 0)


def gpu_devices(folder: Path = Path("/dev")) -> tuple[str, ...]:
    """Return the devices of NVIDIA's driver that there are, as CUDA opens them.

    Args:
        folder: Where devices are.
    """
    found = (path for path in folder.glob("nvidia*") if _GPU_DEVICE(path.name))
    return tuple(sorted(str(path) for path in found))


def deny_files(*readable: str, devices: Sequence[str] = ()) -> bool:
    """Deny this process every file that is not open, for good. Needs `no_new_privs`.

    Args:
        *readable: Folders and files that can be read all the same; absent ones are skipped.
        devices: Files that can be read, written and asked for what only they do (ioctl).

    Returns:
        False where the kernel has no Landlock.
    """
    version = _LIBC.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return False
    handled = (1 << 13) - 1
    handled |= (1 << 13) * (version >= 2) | (1 << 14) * (version >= 3) | (1 << 15) * (version >= 5)
    rules = struct.pack("<QQQ", handled, 3 * (version >= 4), 3 * (version >= 6))
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    descriptor = _LIBC.syscall(_LANDLOCK_CREATE, rules, size, 0)
    if descriptor < 0:
        return False
    try:
        for path in readable:
            _let(descriptor, path, _EXECUTE | _READ_FILE | _READ_FOLDER)
        ioctl = _IOCTL_DEVICE if version >= _IOCTL_KNOWN else 0
        for path in devices:
            _let(descriptor, path, _READ_FILE | _WRITE_FILE | ioctl)
        return bool(_LIBC.syscall(_LANDLOCK_RESTRICT, descriptor, 0) == 0)
    finally:
        os.close(descriptor)


def _let(rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        access &= ~0 if os.path.isdir(path) else ~_READ_FOLDER
        rule = struct.pack("<Qi", access, place)
        _LIBC.syscall(_LANDLOCK_ADD, rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(place)
