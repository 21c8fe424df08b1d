"""`python -m federated.coordinator --socket S --secret-file F --state D`: serve the internal API.

1. One coordinator owns a state folder (a lock file).
2. The Unix socket is created with mode 0600 before anything listens on it.
3. It will not start with a secret that is short or that others can read.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import uvicorn

from federated.child import forbid_core_dumps
from federated.coordination import Coordinator
from federated.coordinator_api import build_app
from federated.log_lines import configure
from gateway.parent_death import die_with_parent

SHORTEST_SECRET = 32
"""Characters: 128 bits in hex."""

LONGEST_SOCKET_PATH = 100
"""Bytes: the kernel allows 107, and ServerApps must reach it too."""


def main() -> None:
    """Parse the arguments and serve until stopped."""
    parser = argparse.ArgumentParser(prog="federated.coordinator", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--secret-file", type=Path, required=True, help="bearer secret, one line")
    parser.add_argument("--state", type=Path, required=True, help="private folder")
    parser.add_argument("--with-parent", type=int, metavar="PID", help="end with this parent")
    options = parser.parse_args()
    forbid_core_dumps()
    if options.with_parent is not None:
        die_with_parent(options.with_parent)
    os.umask(0o077)
    configure()
    secret = read_secret(options.secret_file)
    path = options.socket.resolve()
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        sys.exit("the path of the socket is too long")
    state = options.state.resolve()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with own(state):
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        try:
            asyncio.run(_serve(listener, Coordinator(state, path, secrets.token_bytes), secret))
        finally:
            path.unlink(missing_ok=True)


def read_secret(path: Path) -> str:
    """Return the secret in a file that only its owner can read; exits with a reason otherwise."""
    if path.stat().st_mode & 0o077:
        sys.exit("the secret file can be read by others")
    secret = path.read_text(encoding="ascii").strip()
    if len(secret) < SHORTEST_SECRET:
        sys.exit("the secret is too short")
    return secret


def own(state: Path) -> IO[bytes]:
    """Lock the state folder for this process; exits when another one holds it."""
    lock = (state / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        sys.exit("another coordinator owns the state folder")
    return lock


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again before our children are stopped."""

    def leave(self) -> None:
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(listener: socket.socket, coordinator: Coordinator, secret: str) -> None:
    config = uvicorn.Config(
        build_app(coordinator, secret),
        log_level="warning",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=2,
        lifespan="off",
    )
    server = _Server(config)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.leave)
    try:
        await server.serve(sockets=[listener])
    finally:
        await coordinator.close()


if __name__ == "__main__":
    main()
