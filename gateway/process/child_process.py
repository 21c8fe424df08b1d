"""A child process that is kept running while the gateway runs: the federation coordinator.

The child ties its life to the gateway's (`gateway.parent_death`), so it never outlives the gateway,
however that ended; the thread that starts it lives until `close`. A child that ends by itself is
started again, after a longer pause each time; meanwhile the gateway goes on answering.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

import structlog

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
# A child that ran this long was well: the next pause is short again.
WELL_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0


class ChildProcess:
    """Keeps one child process running.

    Args:
        name: For the log.
        command: Program and arguments.
        environment: Its whole environment.
        log: File that takes its standard output and error.
        monotonic: Seconds.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        log: Path,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._name = name
        self._command = list(command)
        self._environment = environment
        self._log = log
        self._monotonic = monotonic
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"{name}-keeper", daemon=True)

    def start(self) -> None:
        """Start it, and keep it running."""
        self._thread.start()

    def close(self) -> None:
        """Ask it to leave, and end it if it does not."""
        self._stopping.set()
        if self._child is not None:
            self._end(self._child)
        self._thread.join()

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            started = self._monotonic()
            code = self._run_once()
            if self._stopping.is_set():
                return
            # Ends in quick succession make the pauses longer; one after a good while does not.
            if self._monotonic() - started > WELL_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            structlog.get_logger().warning(
                "child_process_ended", name=self._name, code=code, again_in_seconds=pause
            )
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _run_once(self) -> int | None:
        """Run it to its end and return its exit code; `None` when it could not be started."""
        try:
            with self._log.open("ab") as log:
                self._log.chmod(0o600)
                return self._run(log)
        except OSError as fault:
            structlog.get_logger().error("child_process_not_started", fault=type(fault).__name__)
            return None

    def _run(self, log: IO[bytes]) -> int:
        child = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
        )
        self._child = child
        structlog.get_logger().info("child_process_started", name=self._name, pid=child.pid)
        if self._stopping.is_set():
            self._end(child)
        return child.wait()

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
