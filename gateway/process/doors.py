"""The doors of one gateway process.

They open after every part has started and close before any part stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp

from gateway.errors import ConfigurationError
from gateway.process.bounded_head import BoundedHead
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Door:
    """One ASGI application on one address.

    Attributes:
        name: For the log.
        certificate, key: TLS, or `None` for clear text on loopback or behind a proxy.
    """

    name: str
    app: ASGIApp
    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None


class _Server(uvicorn.Server):
    """A server that leaves the signals to `serve_doors`, which has several."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        ConfigurationError: When the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise ConfigurationError(
            f"port {port} is taken or not allowed", "choose another: sealgate serve --port …"
        ) from None
    listener.set_inheritable(False)
    return listener


async def serve_doors(doors: list[Door], settings: Settings, grace: int) -> None:
    """Open all doors, serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        doors: All of them open, or none.
        settings: Which proxies are trusted.
        grace: Seconds for requests that are under way at the end.

    Raises:
        ConfigurationError: When an address cannot be had; then no door was opened.
    """
    with contextlib.ExitStack() as listeners:
        sockets = [listeners.enter_context(bind(door.host, door.port)) for door in doors]
        servers = [_Server(_configuration(door, settings, grace)) for door in doors]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, servers)
        async with asyncio.TaskGroup() as group:
            for server, listener, door in zip(servers, sockets, doors, strict=True):
                group.create_task(server.serve([listener]))
                structlog.get_logger().info("door_open", door=door.name, port=door.port)


def _stop(servers: list[_Server]) -> None:
    for server in servers:
        server.should_exit = True


def _configuration(door: Door, settings: Settings, grace: int) -> uvicorn.Config:
    return uvicorn.Config(
        door.app,
        http=BoundedHead,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=grace,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=door.certificate,
        ssl_keyfile=door.key,
    )
