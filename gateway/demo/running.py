"""The processes of the demo: started, waited for, ended by id, and never left behind.

Each gets SIGTERM when the demo dies (`gateway.parent_death`), so that a demo that was killed takes
gateway and sites with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, Self

import httpx

from gateway.demo.narrator import BrokenPromise
from gateway.demo.place import Place
from gateway.parent_death import die_with_parent

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.1


class Running:
    """One child process with its output in a file.

    Args:
        arguments: Of the `sealgate` command.
        log: File that its output is appended to.
        under: Program with arguments that becomes the command in the end, such as `setpriv`.
    """

    def __init__(self, arguments: Sequence[str], log: Path, *, under: Sequence[str] = ()) -> None:
        with log.open("ab") as output:
            log.chmod(0o600)
            self._child = subprocess.Popen(
                [*under, sys.executable, "-P", "-m", "gateway", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._child.poll() is None

    def wait(self, seconds: float) -> int:
        """Wait for its end and return its exit code."""
        return self._child.wait(seconds)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._child.kill()
        self._child.wait()

    def stop(self) -> None:
        """Ask it to end; end it when it does not."""
        if self._child.poll() is not None:
            return
        self._child.terminate()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()


def start_gateway(place: Place) -> Running:
    """Start the gateway of a place and wait until it is ready.

    Raises:
        BrokenPromise: It ended or did not become ready.
    """
    running = Running(["serve", "--data", str(place.data)], place.folder / "gateway.log")
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and running.alive:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{place.operations_url}/health/ready").is_success:
                return running
        time.sleep(POLL_SECONDS)
    running.stop()
    raise BrokenPromise(f"the gateway did not start; see {place.folder / 'gateway.log'}")
