"""An ASGI application behind real uvicorn servers, as `gateway.process.doors` configures them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
import uvloop

HTTPTOOLS, H11 = "httptools", "h11"
PROTOCOLS = (HTTPTOOLS, H11)
"""Both are in use: uvicorn takes h11 where httptools is not installed."""


@dataclass(frozen=True)
class Served:
    """Servers of one application on one event loop of a thread of its own.

    Attributes:
        ports: By protocol.
        faults: What the event loop had to say: exceptions that nobody took.
    """

    ports: dict[str, int]
    servers: dict[str, uvicorn.Server]
    faults: list[dict[str, Any]] = field(default_factory=list)

    def busy(self) -> int:
        """Requests under way."""
        return sum(len(server.server_state.tasks) for server in self.servers.values())

    def stop(self) -> None:
        """Ask all servers to stop: no more connections, and the grace for what is under way."""
        for server in self.servers.values():
            server.should_exit = True


def listening(port: int = 0) -> socket.socket:
    """A listening socket on loopback."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener


@contextmanager
def serving(
    app: Any,
    listener: socket.socket | None = None,
    *,
    protocols: Sequence[str] = PROTOCOLS,
    grace: int = 10,
) -> Iterator[Served]:
    """Serve until the block ends; the first protocol gets `listener`."""
    with ExitStack() as open_sockets:
        sockets = {name: open_sockets.enter_context(listening()) for name in protocols[1:]}
        sockets[protocols[0]] = listener or open_sockets.enter_context(listening())
        servers = {name: uvicorn.Server(_configuration(app, name, grace)) for name in protocols}
        ports = {name: one.getsockname()[1] for name, one in sockets.items()}
        served = Served(ports, servers)
        thread = threading.Thread(target=_run, args=(served, sockets))
        thread.start()
        try:
            yield served
        finally:
            served.stop()
            thread.join()


def _configuration(app: Any, protocol: str, grace: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=grace,
    )


def _run(served: Served, sockets: dict[str, socket.socket]) -> None:
    async def serve_all() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: served.faults.append(context))
        async with asyncio.TaskGroup() as group:
            for name, server in served.servers.items():
                group.create_task(server.serve([sockets[name]]))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_all())
