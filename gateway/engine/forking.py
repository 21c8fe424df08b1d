"""The fork server of a kind of engines, as the gateway sees it."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from gateway.engine.errors import EnginesDown, Unconfined
from gateway.engine.orders import ENDED, FAULT, LOST, MAX_REPORT, STARTED, UP, Order, read_report
from gateway.engine.ports import EngineKind

START_SECONDS: Final = 60.0
ORDER_SECONDS: Final = 10.0
_NAMESPACES: Final = (
    "allow user namespaces (`user.max_user_namespaces`, the profile of the container); until then "
    "a filter of system calls alone keeps models from the network"
)
_KEPT_ENDS: Final = 1024
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from gateway.engine.fork_server import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
# One thread a numeric library, and one heap: engines have one thread, and more only take room.
_ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


class ForkServer:
    """Starts engines of one kind; started again by itself when it is gone. For any thread.

    Args:
        kind: What it starts.

    Attributes:
        runtime: Version and providers of the runtime that it found; empty before the first start.
    """

    def __init__(self, kind: EngineKind) -> None:
        self.kind = kind
        self.runtime = ""
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ends: dict[int, int] = {}
        self._running: set[int] = set()
        # The kernel ends the server with the *thread* that started it: this one lives as long.
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix=f"engines-{kind.name}")

    def start(self) -> None:
        """Start it, so that the first engine need not wait for it.

        Raises:
            EnginesDown: It cannot be started.
            Unconfined: No engine could be confined.
        """
        with self._lock:
            self._ready()

    def close(self) -> None:
        """End it, and with it its engines."""
        with self._lock:
            self._stop()
        self._keeper.shutdown()

    def fork(self, order: Order, descriptors: Sequence[int]) -> tuple[int, int]:
        """Start an engine.

        Returns:
            Its process id, and a descriptor of its process that the caller closes.

        Raises:
            EnginesDown: It cannot be started.
        """
        with self._lock:
            for last in (False, True):
                control = self._ready()
                try:
                    socket.send_fds(control, [order.encode()], list(descriptors))
                    return self._await_start(control, order.engine)
                except (OSError, struct.error) as fault:
                    self._stop()  # it is gone, or no longer says what we expect
                    if last:
                        raise EnginesDown from fault
        raise AssertionError("unreachable")

    def end_of(self, engine: int) -> int | None:
        """Return how an engine ended (exit code, minus the signal, or `LOST`), if it is known yet.

        Does not wait, not for an engine that is being started either.
        """
        if not self._lock.acquire(blocking=False):
            return self._ends.get(engine)
        try:
            while self._control is not None and self._readable(self._control, 0.0):
                self._note(self._control.recv(MAX_REPORT))
        except (OSError, struct.error):  # it is gone, and its engines with it
            self._stop()
        finally:
            found = self._ends.pop(engine, None)
            self._lock.release()
        return found

    def kill(self, process: int) -> None:
        """End an engine at once, through the descriptor of its process."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)

    def _ready(self) -> socket.socket:
        if self._control is not None:
            return self._control
        try:
            return self._keeper.submit(self._launch).result()
        except Unconfined:
            self._stop()
            raise
        except (OSError, struct.error, subprocess.SubprocessError, RuntimeError) as fault:
            self._stop()  # RuntimeError: closed, or no thread is left
            raise EnginesDown from fault

    def _launch(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        with theirs:
            number = theirs.fileno()
            arguments = [_ROOT, str(number), str(os.getpid())]
            self._process = subprocess.Popen(
                [str(self.kind.python), "-I", "-B", "-c", _BOOT, *arguments],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(os.environ),
                cwd="/",
                start_new_session=True,
            )
        if not self._readable(ours, START_SECONDS):
            raise TimeoutError("the fork server did not start")
        kind, network, confined, self.runtime = read_report(ours.recv(MAX_REPORT))
        if kind != UP:
            raise OSError("the fork server said something else")
        if not confined:
            raise Unconfined
        if not network:
            structlog.get_logger().warning(
                "network_namespace_missing", kind=self.kind.name, remedy=_NAMESPACES
            )
        structlog.get_logger().info(
            "engines_ready", kind=self.kind.name, runtime=self.runtime, network_left=bool(network)
        )
        return ours

    def _await_start(self, control: socket.socket, engine: int) -> tuple[int, int]:
        while self._readable(control, ORDER_SECONDS):
            message, descriptors, _, _ = socket.recv_fds(
                control, MAX_REPORT, 1, socket.MSG_CMSG_CLOEXEC
            )
            kind, about, value, _ = read_report(message)
            if kind == STARTED and about == engine:
                if not descriptors:  # none is left here; the engine ends as its bells are closed
                    raise EnginesDown from OSError(errno.EMFILE, os.strerror(errno.EMFILE))
                self._running.add(engine)
                return value, descriptors[0]
            if kind == FAULT and about == engine:
                raise EnginesDown from OSError(value, os.strerror(value))
            self._note(message)
        raise TimeoutError("no answer to an order")

    def _note(self, message: bytes) -> None:
        kind, engine, value, _ = read_report(message)
        if kind == ENDED:
            self._running.discard(engine)
            self._ends[engine] = value
            while len(self._ends) > _KEPT_ENDS:
                del self._ends[next(iter(self._ends))]

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._ends |= dict.fromkeys(self._running, LOST)  # they end with it
        self._running.clear()

    @staticmethod
    def _readable(control: socket.socket, seconds: float) -> bool:
        poll = select.poll()  # `select` takes no descriptor beyond 1023
        poll.register(control, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


def _environment(of_ours: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of an engine: ours to choose, but for where libraries lie."""
    found = of_ours.get("LD_LIBRARY_PATH")
    return _ENVIRONMENT | ({"LD_LIBRARY_PATH": found} if found else {})
