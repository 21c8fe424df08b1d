from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from gateway.process.child_process import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    WELL_SECONDS,
    ChildProcess,
)

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[3]
# Says its number through the pipe that it is given, then does as it is told.
SPEAKER = """
import os, sys
pipe = os.open(sys.argv[1], os.O_WRONLY)
os.write(pipe, b"%d" % os.getpid())
os.close(pipe)
exec(sys.argv[2])
"""
WAITS = "import signal; signal.pause()"
PARENT = """
import sys, time
from pathlib import Path
from gateway.process.child_process import ChildProcess
command = [sys.executable, "-c", *sys.argv[2:]]
child = ChildProcess("child", command, {}, Path(sys.argv[1]), monotonic=time.monotonic)
child.start()
sys.stdin.read()
"""
DIES_TOO = "from gateway.parent_death import die_with_parent; die_with_parent(os.getppid()); "
HOLDS = "held = os.open(sys.argv[1], os.O_WRONLY); "


class Happenings(LogCapture):
    """Keeps what is logged, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, *arguments: Any) -> Any:
        try:
            return super().__call__(*arguments)
        finally:
            with self._changed:
                self._changed.notify_all()

    def wait_for(self, event: str, count: int = 1) -> list[Any]:
        def found() -> list[Any]:
            named = [entry for entry in self.entries if entry["event"] == event]
            return named if len(named) >= count else []

        with self._changed:
            assert self._changed.wait_for(found, 20), f"{event} did not happen"
            return found()


@pytest.fixture
def happenings() -> Iterator[Happenings]:
    capture, before = Happenings(), structlog.get_config()
    structlog.configure(processors=[capture])
    yield capture
    structlog.configure(**before)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def said(pipe: Path) -> int:
    """Wait for the next child to say its number."""
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    pause = threading.Event()
    try:
        for _ in range(2_000):
            # Not to the end of the pipe: the child may hold it open again by now.
            with suppress(BlockingIOError):
                if digits := os.read(descriptor, 64):
                    return int(digits)
            pause.wait(0.01)
        raise AssertionError("no child came")
    finally:
        os.close(descriptor)


@contextmanager
def kept(
    tmp_path: Path, *command: str, monotonic: Any = lambda: 0.0, **environment: str
) -> Iterator[ChildProcess]:
    child_process = ChildProcess(
        "child", command, environment, tmp_path / "child.log", monotonic=monotonic
    )
    child_process.start()
    try:
        yield child_process
    finally:
        child_process.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_close_ends_it_and_it_does_not_come_back(
    tmp_path: Path, pipe: Path, happenings: Happenings
) -> None:
    with kept(tmp_path, sys.executable, "-c", SPEAKER, str(pipe), WAITS):
        pid = said(pipe)
        assert is_alive(pid)
    assert not is_alive(pid)
    assert [entry["event"] for entry in happenings.entries] == ["child_process_started"]
    assert happenings.entries[0]["pid"] == pid


def test_one_that_ended_is_started_again(
    tmp_path: Path, pipe: Path, happenings: Happenings
) -> None:
    with kept(tmp_path, sys.executable, "-c", SPEAKER, str(pipe), WAITS):
        first = said(pipe)
        os.kill(first, signal.SIGKILL)
        second = said(pipe)
        assert second != first
        assert not is_alive(first)
        assert is_alive(second)
    assert not is_alive(second)
    (ended,) = happenings.wait_for("child_process_ended")
    assert (ended["code"], ended["again_in_seconds"]) == (-signal.SIGKILL, FIRST_PAUSE_SECONDS)


def test_what_cannot_be_started_is_logged_and_tried_again(
    tmp_path: Path, happenings: Happenings
) -> None:
    program = tmp_path / "program"
    with kept(tmp_path, str(program)):
        (fault,) = happenings.wait_for("child_process_not_started")
        assert fault["fault"] == "FileNotFoundError"
        assert happenings.wait_for("child_process_ended")[0]["code"] is None
        program.write_text("#!/bin/sh\nexec sleep 1000\n")
        program.chmod(0o700)
        happenings.wait_for("child_process_started")
    assert str(tmp_path) not in json.dumps([str(entry) for entry in happenings.entries])


def test_it_waits_longer_each_time_and_close_does_not_wait_for_it(
    tmp_path: Path, happenings: Happenings
) -> None:
    with kept(tmp_path, "/bin/false"):
        first, second = happenings.wait_for("child_process_ended", 2)
    assert first["code"] == 1
    assert second["again_in_seconds"] == 2 * first["again_in_seconds"] <= LONGEST_PAUSE_SECONDS


def test_one_that_was_well_for_a_while_is_back_soon(tmp_path: Path, happenings: Happenings) -> None:
    times = iter(range(0, 10**6, int(WELL_SECONDS) + 1))
    with kept(tmp_path, "/bin/false", monotonic=lambda: next(times)):
        pauses = [
            entry["again_in_seconds"] for entry in happenings.wait_for("child_process_ended", 2)
        ]
    assert pauses == [FIRST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS]


def test_its_environment_is_the_given_one_and_its_output_is_private(
    tmp_path: Path, happenings: Happenings
) -> None:
    with kept(tmp_path, "/usr/bin/env", GIVEN="yes"):
        happenings.wait_for("child_process_ended")
    log = tmp_path / "child.log"
    assert log.read_text() == "GIVEN=yes\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_it_dies_with_a_gateway_that_was_killed(tmp_path: Path, pipe: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log"), SPEAKER, str(pipe)]
    parent = subprocess.Popen(
        [*command, f"import sys; sys.path.insert(0, {str(ROOT)!r}); {DIES_TOO}{HOLDS}{WAITS}"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
    )
    pid = said(pipe)
    with pipe.open() as stream:
        assert is_alive(pid)
        parent.kill()
        parent.communicate()
        assert stream.read() == "", "the pipe closes when the child is gone"
    assert not (tmp_path / "log").read_text()
