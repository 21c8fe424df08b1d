"""Run a job that reads hostile bytes in a process that can do no harm.

A job is a module of ours that ends with `job(main)`; see `gateway.artifacts.confinement`, which
holds the inside and its safety argument. The outside promises:

1. Inputs travel in sealed memory files, never through a named file: no plaintext on a disk, and
   the job cannot change what it was given.
2. Only those files are inherited; the environment is ours, not the gateway's.
3. A wall clock ends the job and every process of its group, whatever it does.
4. What comes back is bounded, parsed strictly and copied after the last writer is dead.
5. When the gateway stops, so does the job: an alarm ends it at once, and the kernel ends it should
   the gateway die without ringing it.
6. What the job printed is kept for the operator's log and is never part of a public error.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.artifacts.confinement import (
    EXIT_MEMORY,
    EXIT_OUTPUT,
    HEADER_LENGTH_BYTES,
    RESULT_MAGIC,
    job,
)
from gateway.artifacts.errors import Interrupted, SandboxFailed, SandboxFailure

__all__ = ["Alarm", "Limits", "RunSandboxed", "SandboxResult", "job", "run_sandboxed"]

_HEADER_LIMIT: Final = 4 << 20  # a report is small: names, shapes, thresholds
_DIAGNOSTICS_LIMIT: Final = 8 << 10
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from gateway.artifacts.confinement import start; start(int(sys.argv[2]))"
)
# One thread a numeric library: more only reserve address space. Two arenas for the same reason.
# onnxruntime keeps a database of its use under HOME and looks up a host of its maker's, unless this
# is exactly 1 before it is imported.
_ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",
}


class Alarm:
    """Ends every job that was started with it, and every one that will be. It rings for ever."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)

    def fileno(self) -> int:
        """Return the descriptor that is readable once the alarm rings."""
        return self._fd

    def ring(self) -> None:
        """End the jobs; they raise `Interrupted` where they were waited for."""
        os.eventfd_write(self._fd, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use.

    Attributes:
        memory_bytes: Address space, inputs included (RLIMIT_AS).
        cpu_seconds: Processor time of all threads together.
        wall_seconds: Time until everything is killed.
        output_bytes: Report and outputs together.
    """

    memory_bytes: int = 2 << 30
    cpu_seconds: int = 60
    wall_seconds: float = 120.0
    output_bytes: int = 256 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class SandboxResult:
    """What a job returned.

    Attributes:
        report: What `main` reported.
        outputs: Its named outputs.
        network_isolated: False where the kernel gave neither a network namespace nor a filter of
            system calls.
        user_dropped: False where the gateway was not root, or could not leave it.
    """

    report: dict[str, Any]
    outputs: dict[str, bytes]
    network_isolated: bool
    user_dropped: bool


class RunSandboxed(Protocol):
    """`run_sandboxed`, its alarm given."""

    def __call__(
        self,
        module: str,
        inputs: Mapping[str, bytes | bytearray | memoryview],
        args: Mapping[str, Any],
        *,
        limits: Limits,
    ) -> SandboxResult:
        """Run the job and return its result."""


def run_sandboxed(
    module: str,
    inputs: Mapping[str, bytes | bytearray | memoryview],
    args: Mapping[str, Any],
    *,
    limits: Limits,
    alarm: Alarm | None = None,
) -> SandboxResult:
    """Run `python -m module` confined and wait for it. Blocks: call it from a worker thread.

    Args:
        module: An installed module of ours that ends with `job(main)`.
        inputs: Bytes by name; `main` gets each as a read-only memoryview.
        args: Small values that fit JSON.
        limits: What the job may use.
        alarm: Ends the job when it rings.

    Returns:
        The report and outputs of `main`, with how far it was confined.

    Raises:
        SandboxFailed: The job crashed, ran out of time or memory, or returned nonsense.
        Interrupted: The alarm rang.
    """
    with contextlib.ExitStack() as stack:
        files = {name: (stack.enter_context(_sealed(d)), len(d)) for name, d in inputs.items()}
        result = stack.enter_context(_memory_file("result"))
        printed = stack.enter_context(_memory_file("printed"))
        spec = {
            "module": module,
            "parent": os.getpid(),
            "inputs": files,
            "args": dict(args),
            "result": result,
            "limits": {
                "memory_bytes": limits.memory_bytes,
                "cpu_seconds": limits.cpu_seconds,
                "file_bytes": limits.output_bytes + _HEADER_LIMIT,
            },
        }
        spec_fd = stack.enter_context(_sealed(json.dumps(spec).encode()))
        inherited = [spec_fd, result, *(fd for fd, _ in files.values())]
        code = _run_until(spec_fd, inherited, printed, limits.wall_seconds, alarm)
        if code != 0:
            raise SandboxFailed(_kind(code), _tail(printed))
        try:
            return _parse(_read(result, limits.output_bytes + _HEADER_LIMIT))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SandboxFailed("output", _tail(printed)) from error


def _run_until(
    spec_fd: int, inherited: list[int], printed: int, wall_seconds: float, alarm: Alarm | None
) -> int:
    """Start the child, wait, and kill its group before it is reaped.

    INVARIANT: the group is signalled while its leader is at least a zombie, so its number
    cannot have been given to anybody else.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", _BOOT, _ROOT, str(spec_fd)],
        pass_fds=inherited,
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=printed,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )
    try:
        pidfd = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if alarm is not None:
                poll.register(alarm, select.POLLIN)
            happened = {fd for fd, _ in poll.poll(wall_seconds * 1000)}
            ended = pidfd in happened
        finally:
            os.close(pidfd)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    if happened and not ended:
        raise Interrupted
    return code if ended else -signal.SIGXCPU


def _kind(code: int) -> SandboxFailure:
    if code == EXIT_MEMORY:
        return "memory"
    if code in (EXIT_OUTPUT, -signal.SIGXFSZ):
        return "output"
    # The hard limit of processor time kills without a name of its own.
    return "time" if code in (-signal.SIGXCPU, -signal.SIGKILL) else "crashed"


@contextlib.contextmanager
def _memory_file(name: str) -> Iterator[int]:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _sealed(data: bytes | bytearray | memoryview) -> Iterator[int]:
    with _memory_file("input") as fd:
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(fd, view) :]
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        yield fd


def _read(fd: int, limit: int) -> bytes:
    size = os.fstat(fd).st_size
    if size > limit:
        raise ValueError("too large")
    parts: list[bytes] = []
    position = 0
    while position < size:
        part = os.pread(fd, size - position, position)
        if not part:
            break
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def _tail(fd: int) -> str:
    size = os.fstat(fd).st_size
    start = max(0, size - _DIAGNOSTICS_LIMIT)
    return os.pread(fd, _DIAGNOSTICS_LIMIT, start).decode("utf-8", "replace")


def _parse(data: bytes) -> SandboxResult:
    """Take the result apart; any departure from the layout raises."""
    view = memoryview(data)
    position = len(RESULT_MAGIC) + HEADER_LENGTH_BYTES
    if not data.startswith(RESULT_MAGIC):
        raise ValueError("magic")
    size = int.from_bytes(view[len(RESULT_MAGIC) : position], "big")
    if size > _HEADER_LIMIT:
        raise ValueError("header")
    header = json.loads(bytes(view[position : position + size]))
    position += size
    outputs: dict[str, bytes] = {}
    for name, length in header["outputs"].items():
        if not isinstance(length, int) or not 0 <= length <= len(view) - position:
            raise ValueError("output length")
        outputs[name] = bytes(view[position : position + length])
        position += length
    if position != len(view):
        raise ValueError("trailing data")
    report, facts = header["report"], header["confinement"]
    if not isinstance(report, dict):
        raise TypeError("report")
    return SandboxResult(report, outputs, facts["network"] is True, facts["user"] is True)
