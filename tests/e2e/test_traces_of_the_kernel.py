"""What the kernel sees of a gateway and its engines during a push and a call, by strace."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.audit.samples import until
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House
from tests.tools import NOT_ALLOWED, require_tool

CALLS = (
    "trace=%network,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,"
    "symlink,symlinkat,link,linkat,execve,fork,vfork"
)
WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|\b(?:creat|mkdir|rename|unlink|symlink|link)\w*\(")
OUTSIDE = re.compile(r"AF_INET6?, sin6?_port=htons\((\d+)\).*?\"([^\"]+)\"")
OF_NOBODY = ("/dev/null", "/proc/self/", "/dev/shm", "/memfd:")


def tree(pid: int) -> list[int]:
    """A process and everything below it."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    below = [int(child) for listed in children for child in listed.read_text().split()]
    return [pid, *(each for child in below for each in tree(child))]


@contextmanager
def traced(pids: list[int], log: Path) -> Iterator[None]:
    """Trace the processes, and all that they start, while the block runs."""
    strace = require_tool("strace")
    attach = [part for pid in pids for part in ("-p", str(pid))]
    tracer = subprocess.Popen(
        [strace, "-f", "-y", "-o", str(log), "-e", CALLS, *attach],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    for line in tracer.stderr:
        if "not permitted" in line:
            pytest.skip(NOT_ALLOWED + "tracing a process")
        if "attached" in line:
            break
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=60)


def of(house: House, log: Path) -> list[str]:
    own = str(house.place.folder)
    return [line for line in log.read_text().splitlines() if own not in line]


def test_nothing_is_looked_up_and_nothing_written_elsewhere(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    house = fresh(federation="off")
    log = tmp_path / "trace"
    with traced(tree(house.pid), log):
        house.push(house.owned["digits"], "2.0")
        house.sealgate("model", "promote", "digits", "2.0")
        assert house.infer().status_code == 200
        forked = len(tree(house.pid))
    assert forked > 2, "the gateway, its fork server and an engine at least"
    lines = of(house, log)
    assert [line for line in lines if re.search(r"resolv\.conf|nsswitch|/etc/hosts", line)] == []
    reached = [found.groups() for line in lines if (found := OUTSIDE.search(line))]
    assert {address for _, address in reached} <= {"127.0.0.1"}
    assert [port for port, _ in reached if port == "53"] == []
    written = [
        line
        for line in lines
        if WRITING.search(line) and " = -1 " not in line and not any(x in line for x in OF_NOBODY)
    ]
    assert written == []


def test_an_engine_that_runs_opens_and_sends_nothing(house: House, tmp_path: Path) -> None:
    assert house.infer().status_code == 200
    engines = [pid for pid in tree(house.pid) if sealed_off(pid)]
    assert engines
    log = tmp_path / "trace"
    with traced(engines, log):
        for _ in range(5):
            assert house.infer().status_code == 200
    calls = [line for line in log.read_text().splitlines() if "(" in line and "+++" not in line]
    assert calls == [], "no call by which something could be opened, sent or started"


def sealed_off(pid: int) -> bool:
    """Whether it is an engine: confined by a filter of system calls."""
    try:
        return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_nothing_is_left_when_the_gateway_stops(fresh: MakeHouse) -> None:
    house = fresh(federation="off")
    assert house.infer().status_code == 200
    everybody = tree(house.pid)
    house.stop()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everybody))
