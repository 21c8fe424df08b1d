"""Start a process, see it killed at an early moment, and learn what outlives it.

Run as a script, this file is a child subreaper: whatever the killed process leaves behind becomes
its child. So "nothing is left" is something that the kernel tells, not a guess after a while.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
PATIENCE_S = 90
"""What is left ends by itself within seconds, but a loaded machine imports Flower slowly."""


@dataclass(frozen=True)
class Outcome:
    """What became of a process and of all that it started.

    Attributes:
        killed: Whether the process itself ended by SIGKILL, as it should.
        left: Command lines of those that it started and that did not end by themselves.
    """

    killed: bool
    left: list[str]


def outlive(*command: str, at: str | None = None, **how: Any) -> Outcome:
    """Run a command that dies by SIGKILL, and wait for the end of all that it started.

    Args:
        command: Program and arguments.
        at: It is killed as soon as it has a child in whose command line or status this text is;
            the empty text means: as soon as it has a child. `None`: it kills itself.
        how: For `subprocess`: folder and environment.
    """
    arguments = [sys.executable, __file__, json.dumps([command, at])]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, check=True, **how)
    return Outcome(**json.loads(done.stdout))


def all_gone(outcome: Outcome) -> bool:
    """Whether the process was killed and nothing outlived it."""
    return outcome.killed and not outcome.left


def _watched(command: list[str], at: str | None) -> Outcome:
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    signal.signal(signal.SIGALRM, _give_up)
    before = set(_processes())
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    signal.alarm(PATIENCE_S)
    codes: dict[int, int] = {}
    left: list[str] = []
    try:
        if at is not None:
            _kill_at(process.pid, at, before)
        signal.alarm(PATIENCE_S)
        _reap(codes)
    except TimeoutError:
        signal.alarm(0)
        left = _kill_all(codes)
    return Outcome(codes[process.pid] == -signal.SIGKILL, left)


def _give_up(*_: object) -> None:
    raise TimeoutError


def _kill_at(pid: int, text: str, before: set[int]) -> None:
    """Look again and again, as fast as it goes: a moment later may be too late for the test."""
    gone = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.waitid(os.P_PID, pid, gone) is None:
        for child in _processes():
            if child not in before and _parent(child) == pid and text in _description(child):
                os.kill(pid, signal.SIGKILL)
                return


def _reap(codes: dict[int, int]) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, 0)
            codes[pid] = os.waitstatus_to_exitcode(status)


def _kill_all(codes: dict[int, int]) -> list[str]:
    """Kill our children until none is left; the death of one may give us others."""
    killed = []
    while children := [pid for pid in _processes() if _parent(pid) == os.getpid()]:
        for pid in children:
            killed.append(_description(pid).partition("\n")[0])
            os.kill(pid, signal.SIGKILL)
            codes[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return killed


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _parent(pid: int) -> int | None:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def _description(pid: int) -> str:
    with suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return f"{line}\n{Path(f'/proc/{pid}/status').read_text()}"
    return ""


if __name__ == "__main__":
    print(json.dumps(asdict(_watched(*json.loads(sys.argv[1])))))
