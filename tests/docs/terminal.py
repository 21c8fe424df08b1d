"""A terminal for one document: one shell, in one folder, with commands in the background."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.docs.console import unseen
from tests.tools import require_tool

PATIENCE: Final = 240.0
"""Seconds: ends a hung test; whatever is waited for takes a small part of it beside other work."""
WIDTH: Final = "160"
_DONE: Final = re.compile(r"\x1e(\d+)\x1e")
_STYLE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what a reader saw."""

    code: int
    output: str


@dataclass(frozen=True)
class _Background:
    command: str
    pid: int
    log: Path


class Terminal:
    """A shell whose standard output is a terminal, as a reader's is.

    Args:
        folder: Where it starts.
        notes: Folder for what background commands print.
        environment: On top of the process's own.
    """

    def __init__(self, folder: Path, notes: Path, environment: dict[str, str]) -> None:
        self._notes = notes
        self._errors = notes / "stderr"
        self._master, slave = pty.openpty()
        with self._errors.open("wb") as errors:
            self._shell = subprocess.Popen(
                [require_tool("bash"), "--norc", "--noprofile"],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=slave,
                stderr=errors,
                env={**os.environ, "COLUMNS": WIDTH, "TERM": "xterm", **environment},
                start_new_session=True,
            )
        os.close(slave)
        self._background: list[_Background] = []
        self.run("set -m; stty -echo -onlcr <&1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in list(self._background):
            self._end(one, signal.SIGTERM)
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        try:
            self._shell.wait(PATIENCE)
        finally:
            self._shell.kill()
            self._shell.wait()
            os.close(self._master)

    def run(self, command: str) -> Ended:
        """Run a command to its end."""
        before = self._errors.stat().st_size
        self._send(f"{{ {command}\n}} </dev/null\nprintf '\\036%d\\036\\n' $?\n")
        shown = self._read_until_done()
        code, text = int(shown[1]), shown[0]
        with self._errors.open("rb") as errors:
            errors.seek(before)
            text += errors.read().decode(errors="replace")
        return Ended(code, _STYLE.sub("", text))

    def start(self, command: str, shows: list[str]) -> None:
        """Start a command that stays up; returns when it has shown what it should."""
        log = self._notes / f"background-{time.monotonic_ns()}"
        log.touch()
        told = self.run(f"{command} >{log} 2>&1 &\necho PID=$!")
        [pid] = re.findall(r"PID=(\d+)", told.output)
        one = _Background(command, int(pid), log)
        self._background.append(one)
        wait_until(
            lambda: not unseen(shows, log.read_text()),
            lambda: f"`{command}` did not show {unseen(shows, log.read_text())}: {log.read_text()}",
        )

    def stop(self, prefix: str) -> int:
        """End a background command as Ctrl-C does, and return its exit code."""
        [one] = [one for one in self._background if one.command.startswith(prefix)]
        self._end(one, signal.SIGINT)
        return self.run(f"wait {one.pid}").code

    def _end(self, one: _Background, with_signal: signal.Signals) -> None:
        self._background.remove(one)
        ended = threading.Event()
        for attempt in (with_signal, signal.SIGKILL):
            try:
                os.kill(one.pid, attempt)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + PATIENCE
            while _alive(one.pid) and time.monotonic() < deadline:
                ended.wait(0.05)
            if not _alive(one.pid):
                return

    def _send(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text.encode())
        self._shell.stdin.flush()

    def _read_until_done(self) -> tuple[str, str]:
        deadline, text = time.monotonic() + PATIENCE, ""
        while (match := _DONE.search(text)) is None:
            readable, _, _ = select.select([self._master], [], [], deadline - time.monotonic())
            if not readable:
                raise AssertionError(f"the command did not end; it showed: {text}")
            text += os.read(self._master, 1 << 16).decode(errors="replace")
        return text[: match.start()], match[1]


def _alive(pid: int) -> bool:
    """Whether a process runs; an ended one that its shell has not asked about does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(holds: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Wait for a condition; fail with a text at the deadline."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        pause.wait(0.1)
