"""Supervised child processes: started, restarted with back-off, and never left behind.

1. A child gets its configuration on standard input and says on standard output when it is ready.
2. It is the leader of its own process group; stopping asks the group to end, then kills it.
3. It dies with this process, in whatever way that ends (`gateway.parent_death`).
4. Whatever it prints becomes structured log lines, bounded in length.
5. A child that ends without being asked is started again after a pause; the pause doubles up to a
   bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from federated.errors import ChildFailed

State = Literal["starting", "ready", "waiting", "stopped"]

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 30.0
"""A child that was ready for so long starts over with the first pause."""

READY_S = 90.0
"""A loaded machine may take half a minute to import Flower."""

STOP_S = 4.0
"""Then the group is killed."""

MAX_LINE = 2000
"""Characters of a child's line that are logged."""

NOWHERE: Final = "http://127.0.0.1:9"
"""The discard port: Flower's hub and update check have nobody to call."""


def environment(folder: Path, scratch: Path) -> dict[str, str]:
    """Return the whole environment of a Flower process; nothing is inherited.

    Args:
        folder: Private home of the process; Flower keeps unpacked apps in it.
        scratch: Folder for sockets; its path is short because a Unix socket's must be.
    """
    return {
        "HOME": str(folder),
        "FLWR_HOME": str(folder / "flwr"),
        "TMPDIR": str(scratch),
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "ORT_DISABLE_TELEMETRY": "1",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_SUPERGRID_API_URL": NOWHERE,
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
    }


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start a child.

    Attributes:
        name: Its name in the log.
        module: Run as `python -m module`.
        config: Handed over on standard input.
        folder: Its working folder.
        sockets: Inherited file descriptors.
    """

    name: str
    module: str
    config: Mapping[str, Any]
    environment: Mapping[str, str]
    folder: Path
    sockets: tuple[int, ...] = field(default=())


class Child:
    """One supervised process; start and stop it in one event loop's thread.

    Args:
        spec: How to start it.
        on_restart: Awaited each time the child is ready again after such an end.
    """

    def __init__(
        self, spec: ChildSpec, *, on_restart: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.spec = spec
        self.state: State = "stopped"
        self.restarts = 0
        self._on_restart = on_restart
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger().bind(child=spec.name)

    @property
    def pid(self) -> int | None:
        """Process id (and process group id) while it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        """Begin to supervise; returns at once."""
        self._stopping.clear()
        self._task = asyncio.create_task(self._supervise(), name=f"supervise {self.spec.name}")

    async def wait_ready(self, seconds: float = READY_S) -> None:
        """Wait until the child has said that it is ready.

        Raises:
            ChildFailed: It did not within `seconds`.
        """
        try:
            await asyncio.wait_for(self._ready.wait(), seconds)
        except TimeoutError:
            raise ChildFailed from None

    async def stop(self) -> None:
        """End the child and its group; returns when they are gone."""
        self._stopping.set()
        if self._task is not None:
            await self._end()
            await self._task
            self._task = None

    async def _supervise(self) -> None:
        pause = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started = loop.time()
            await self._run_once()
            self._ready.clear()
            if self._stopping.is_set():
                break
            if loop.time() - started > STEADY_S:
                pause = FIRST_PAUSE_S
            self.state = "waiting"
            self._log.warning("child_restart", pause_s=pause, restarts=self.restarts)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            self.restarts += 1
        self.state = "stopped"

    async def _run_once(self) -> None:
        """Start the process and return when it and its group are gone."""
        self.state = "starting"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a folder `federated` in its working folder is not the package
            "-m",
            self.spec.module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self.spec.environment),
            cwd=self.spec.folder,
            pass_fds=self.spec.sockets,
            start_new_session=True,
        )
        self._process = process
        self._log.info("child_start", pid=process.pid)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps({**self.spec.config, "parent": os.getpid()}).encode())
            process.stdin.write(b"\n")
            await process.stdin.drain()
        if self._stopping.is_set():
            _signal_group(process.pid, signal.SIGKILL)
        lines = asyncio.gather(self._follow(process.stdout), self._follow(process.stderr))
        await _exit_of(process.pid)
        # Whatever the leader left in its group goes with it, and so closes the pipes.
        _signal_group(process.pid, signal.SIGKILL)
        await lines
        await process.wait()
        self._log.info("child_exit", pid=process.pid, code=process.returncode)

    async def _follow(self, stream: asyncio.StreamReader) -> None:
        """Log the lines of a stream; the line that says `ready` is for us."""
        rest = b""
        while chunk := await stream.read(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-MAX_LINE:]
            for line in lines:
                await self._line(line[:MAX_LINE])

    async def _line(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if text.startswith('{"ready":') and not self._ready.is_set():
            self.state = "ready"
            self._ready.set()
            self._log.info("child_ready", pid=self.pid)
            if self.restarts and self._on_restart is not None:
                await self._on_restart()
        elif text:
            self._log.warning("child_line", text=text)

    async def _end(self) -> None:
        pid = self.pid
        if pid is None:
            return
        _signal_group(pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(_exit_of(pid), STOP_S)
        except TimeoutError:
            _signal_group(pid, signal.SIGKILL)


async def _exit_of(pid: int) -> None:
    """Wait until a process has ended.

    `asyncio`'s own wait also waits for the pipes, which a grandchild may hold open.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _signal_group(pid: int, number: int) -> None:
    """Signal a child's group, which `start_new_session` has made."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
