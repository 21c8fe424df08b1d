"""What is left to code inside an engine, asked from a process that confined itself like one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.privileges import closed_to_nobody

pytestmark = pytest.mark.e2e

CONFINED = """
import ctypes, fcntl, mmap, os, socket, sys, threading
from gateway.engine import inside
from gateway.engine.orders import Order
attempt, wide = sys.argv[1], sys.argv[2] == "wide"
libc = ctypes.CDLL(None)
def try_it():
    if attempt == "open": open("/etc/hostname")
    elif attempt == "write": open("/tmp/engine-was-here", "w")
    elif attempt == "socket": socket.socket()
    elif attempt == "fork": os.fork()
    elif attempt == "exec": os.execv("/bin/true", ["true"])
    elif attempt == "kill": os.kill(os.getppid(), 0)
    elif attempt == "ptrace": libc.ptrace(16, os.getppid(), 0, 0)
    elif attempt == "executable": mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    elif attempt == "memory": bytearray(1 << 31)
    elif attempt == "library": open("/usr/bin/env", "rb")
    elif attempt == "flags": fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC)
    elif attempt == "owner": fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    elif attempt == "copy": fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 5)
    elif attempt == "thread": threading.Thread(target=int).start()
parent = os.getpid()
pid = os.fork()
if pid == 0:
    try:
        order = Order(1, 1, 1, 1, 1, 64 << 20, wide=wide)
        inside._confine(order, parent, confined_network=True)
        try_it()
    except (OSError, MemoryError, RuntimeError):
        os._exit(40)
    os._exit(41)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.parametrize(
    ("attempt", "ends"),
    [
        ("open", 40),
        ("write", 40),
        ("socket", 40),
        ("executable", 40),
        ("memory", 40),
        ("flags", 40),
        ("owner", 40),
        ("copy", 41),
        ("fork", -signal.SIGSYS),
        ("exec", -signal.SIGSYS),
        ("kill", -signal.SIGSYS),
        ("ptrace", -signal.SIGSYS),
        ("thread", -signal.SIGSYS),
        ("library", 40),
        ("nothing", 41),
    ],
)
def test_inside_nothing_but_computing_is_left(attempt: str, ends: int) -> None:
    assert attempted(attempt) == ends


@pytest.mark.parametrize(
    ("attempt", "ends"),
    [
        ("open", 40),
        ("write", 40),
        ("socket", 40),
        ("memory", 40),
        ("flags", 40),
        ("owner", 40),
        ("copy", 41),
        ("fork", -signal.SIGSYS),
        ("exec", -signal.SIGSYS),
        ("kill", -signal.SIGSYS),
        ("ptrace", -signal.SIGSYS),
        ("executable", 41),
        ("library", 41),
        ("thread", 41),
    ],
)
def test_inside_of_another_kind_libraries_can_be_read_and_threads_started(
    attempt: str, ends: int
) -> None:
    assert attempted(attempt, "wide") == ends


DEVICES = """
import os, sys
from pathlib import Path
from gateway.engine.system_calls import deny_files, gpu_devices
from gateway.privileges import forbid_new_privileges
folder = Path(sys.argv[1])
forbid_new_privileges()
if not deny_files("/usr", devices=gpu_devices(folder)):
    sys.exit("no landlock")
def opened(name, how):
    try:
        os.close(os.open(folder / name, how))
        return True
    except PermissionError:
        return False
print([opened(name, os.O_RDWR) for name in ("nvidiactl", "nvidia0", "nvidia-uvm", "nvidiafb")])
print(opened("nvidiactl", os.O_RDWR | os.O_TRUNC), opened("nvidia9", os.O_RDWR | os.O_CREAT))
"""


def test_devices_of_a_gpu_can_be_opened_and_nothing_beside_them(tmp_path: Path) -> None:
    """The confinement of other kinds opened none: CUDA found no device."""
    for name in ("nvidiactl", "nvidia0", "nvidia-uvm", "nvidiafb"):
        (tmp_path / name).touch()
    command = [sys.executable, "-c", DEVICES, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if "no landlock" in told.stderr:
        pytest.skip("this kernel has no Landlock")
    assert told.stdout.split("\n")[:2] == ["[True, True, True, False]", "False False"], told.stderr


def attempted(*what: str) -> int:
    told = subprocess.run(
        [sys.executable, "-c", CONFINED, *what, ""],
        check=True,
        capture_output=True,
        text=True,
        env={"ORT_DISABLE_TELEMETRY": "1", "PATH": "/usr/bin"},
    )
    return int(told.stdout)


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes nobody")
def test_an_environment_that_nobody_can_enter_is_named(tmp_path: Path) -> None:
    """Its runtime started as root, and could not load its libraries as nobody."""
    tmp_path.chmod(0o700)
    inner = tmp_path / "environment"
    inner.mkdir(mode=0o755)
    closed = closed_to_nobody(inner / "bin" / "python")
    assert closed is not None
    assert closed == tmp_path or closed in tmp_path.parents
    assert closed_to_nobody(Path("/usr/bin/env")) is None
