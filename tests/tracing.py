"""What the kernel sees of processes, by strace: whom they reach, and what they write where.

Each thread has a log of its own, so that no call is torn in two by those of others.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.audit.samples import until
from tests.tools import NOT_ALLOWED, require_tool

_CALLS: Final = (
    "trace=%network,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,"
    "symlink,symlinkat,link,linkat,truncate,execve,fork,vfork"
)
_CHANGING: Final = re.compile(r"(?:creat|mkdir|rename|unlink|symlink|link|truncate)\w*\(")
_OPENED_TO_WRITE: Final = re.compile(r"open(?:at)?\(.*\bO_(?:WRONLY|RDWR|CREAT|TRUNC|TMPFILE)\b")
_RESULT: Final = re.compile(r"\) += \d+<(?P<path>.*)>$")
_NAMED: Final = re.compile(r'(?:(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, )?"(?P<name>(?:[^"\\]|\\.)*)"')
_FAILED: Final = ") = -1 "
_RESOLVER: Final = re.compile(
    r'"/etc/(?:resolv\.conf|nsswitch\.conf|hosts|host\.conf|gai\.conf)"|/nscd/|/run/systemd/resolve'
)
_AT_ADDRESS: Final = re.compile(r'sin6?_port=htons\((?P<port>\d+)\).*?"(?P<address>[^"]+)"')
_AT_PATH: Final = re.compile(r'^(?:connect|sendto|sendmsg)\(.*sun_path="(?P<path>/[^"]+)"')
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_DOMAIN_PORT: Final = "53"
_OF_NOBODY: Final = ("/dev/null", "/proc/", "/memfd:")
_SHOWN: Final = 256
"""Characters of an argument: enough to tell which program was started."""
_ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class Trace:
    """The calls of processes.

    Attributes:
        folder: Of the logs, one a thread.
    """

    folder: Path

    @property
    def calls(self) -> list[str]:
        """Every call, those of one thread in their order."""
        logs = sorted(self.folder.iterdir())
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
        return [line for line in lines if "(" in line and not line.startswith(("+++", "---"))]

    def started(self, text: str) -> bool:
        """Whether a program was started with a text in its arguments."""
        return any(call.startswith("execve(") and text in call for call in self.calls)

    def programs(self) -> set[str]:
        """The names of the programs that were started."""
        starts = [call for call in self.calls if call.startswith("execve(") and _FAILED not in call]
        return {Path(call.split('"', 2)[1]).name for call in starts}

    def looked_up(self) -> list[str]:
        """Calls that look up a name, or how names are looked up."""
        return [
            call
            for call in self.calls
            if _RESOLVER.search(call)
            or ((found := _AT_ADDRESS.search(call)) and found["port"] == _DOMAIN_PORT)
        ]

    def outside(self, *own: Path) -> list[str]:
        """Calls that have to do with another machine, or with a socket that is not below `own`."""
        reached = []
        for call in self.calls:
            address, path = _AT_ADDRESS.search(call), _AT_PATH.search(call)
            if (address and address["address"] not in _LOOPBACK) or (
                path and not _below(Path(path["path"]), own)
            ):
                reached.append(call)
        return reached

    def written(self, *own: Path) -> list[str]:
        """Calls that made, changed or removed a file that is not below `own`.

        What the interpreter keeps beside the modules of the installation is not of them.
        """
        return [
            call
            for call in self.calls
            if not all(_below(path, own) or _kept(path) for path in _changed(call))
        ]


def _changed(call: str) -> Iterable[Path]:
    """Return what a call made, changed or removed."""
    if _FAILED in call:
        return []
    if _OPENED_TO_WRITE.match(call):
        found = _RESULT.search(call)
        return [Path(found["path"].removesuffix(" (deleted)"))] if found else []
    if _CHANGING.match(call):
        named = [Path(each["folder"] or "", each["name"]) for each in _NAMED.finditer(call)]
        return named[-1:] if call.startswith("symlink") else named
    return []


def _below(path: Path, folders: Iterable[Path]) -> bool:
    normal = Path(os.path.normpath(path))
    return any(normal.is_relative_to(folder.resolve()) for folder in folders)


def _kept(path: Path) -> bool:
    return str(path).startswith(_OF_NOBODY) or "__pycache__" in path.parts


def tree(pid: int) -> list[int]:
    """Return a process and everything below it."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    below = [int(child) for listed in children for child in listed.read_text().split()]
    return [pid, *(each for child in below for each in tree(child))]


@contextmanager
def attached(pids: Sequence[int], folder: Path) -> Iterator[Trace]:
    """Trace processes, and all that they start, while the block runs; read it afterwards."""
    attach = [part for pid in pids for part in ("-p", str(pid))]
    said = folder.with_suffix(".said")  # a pipe that nobody empties would stop the tracer
    with said.open("wb") as errors:
        tracer = subprocess.Popen([*_strace(folder), *attach], stderr=errors)

    def all_attached() -> bool:
        text = said.read_text()
        if "not permitted" in text:
            pytest.skip(NOT_ALLOWED + "tracing a process")
        assert tracer.poll() is None, text
        return {str(pid) for pid in pids} <= set(re.findall(r"Process (\d+) attached", text))

    try:
        until(all_attached)
        yield Trace(folder)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(60)


def traced(command: Sequence[str], folder: Path) -> Trace:
    """Run a program to its end, which must be a good one, and trace it from its first call."""
    ended = subprocess.run(
        [*_strace(folder), "-qq", *command],
        cwd=_ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if "ptrace" in ended.stderr and "not permitted" in ended.stderr:
        pytest.skip(NOT_ALLOWED + "tracing a process")
    assert ended.returncode == 0, ended.stderr
    return Trace(folder)


def _strace(folder: Path) -> list[str]:
    folder.mkdir()
    options = ["-ff", "-y", "-s", str(_SHOWN), "-o", str(folder / "thread"), "-e", _CALLS]
    return [require_tool("strace"), *options]
