"""The doors of one gateway process.

They open after every part has started and close before any part stops. A process that is asked to
stop says first that it is not ready, goes on answering for `drain_seconds`, and then takes no more
work; asked again, it does not wait. At SIGHUP certificates and settings are read again.

Most are ASGI applications behind uvicorn (`Door`); one that speaks otherwise brings the protocol of
its connections (`ProtocolDoor`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import structlog
import uvicorn
from starlette.types import ASGIApp

from gateway.errors import ConfigurationError
from gateway.process.bounded_http import IDLE_SECONDS, BoundedHttp
from gateway.process.life import Life
from gateway.settings import Settings

BACKLOG: Final = 1024
"""Connections that wait to be taken, half of what uvicorn lets wait."""
OPEN_SECONDS: Final = 0.01
"""From one look whether all doors are open to the next."""
TLS_SECONDS: Final = 10.0
"""For a handshake: a few round trips of any network."""


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


class Protocols(Protocol):
    """What serves the connections of a `ProtocolDoor`."""

    def protocol(self) -> asyncio.Protocol:
        """Make the protocol of one connection."""
        ...

    async def close(self, grace: float) -> None:
        """Take no more calls, give those under way `grace` seconds, and end all connections."""
        ...


@dataclass(frozen=True, slots=True)
class ProtocolDoor:
    """Protocols of its own on one address.

    Attributes:
        name: For the log.
        protocols: Serves the connections.
        certificate, key: TLS, or `None` for clear text on loopback or behind a proxy.
        alpn: Names of what is spoken inside TLS (RFC 7301).
    """

    name: str
    protocols: Protocols
    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    alpn: tuple[str, ...] = ()


class _Server(uvicorn.Server):
    """A server that leaves the signals to `serve_doors`, which has several."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self.should_exit = True

    def renew(self) -> None:
        """Use what the certificate's files hold now for connections to come."""
        if self.config.loaded and self.config.ssl is not None:
            assert self.config.ssl_certfile is not None
            self.config.ssl.load_cert_chain(self.config.ssl_certfile, self.config.ssl_keyfile)


class _ProtocolServer:
    """A server of connections whose protocol is not uvicorn's."""

    def __init__(self, door: ProtocolDoor, grace: int) -> None:
        self._door = door
        self._grace = grace
        self._stopping = asyncio.Event()
        self._tls: ssl.SSLContext | None = None
        self.started = False

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serve until `stop`."""
        loop = asyncio.get_running_loop()
        tls = self._tls = _tls(self._door)
        patience = TLS_SECONDS if tls else None
        servers = [
            await loop.create_server(
                self._door.protocols.protocol,
                sock=listener,
                backlog=BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=patience,
            )
            for listener in sockets
        ]
        self.started = True
        try:
            await self._stopping.wait()
        finally:
            for server in servers:
                server.close()
            await self._door.protocols.close(self._grace)

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self._stopping.set()

    def renew(self) -> None:
        """Use what the certificate's files hold now for connections to come."""
        if self._tls is not None:
            assert self._door.certificate is not None
            self._tls.load_cert_chain(self._door.certificate, self._door.key)


_AnyServer: TypeAlias = "_Server | _ProtocolServer"


def _tls(door: ProtocolDoor) -> ssl.SSLContext | None:
    context = _tls_of(door.certificate, door.key)
    if context is not None and door.alpn:
        context.set_alpn_protocols(list(door.alpn))
    return context


def _tls_of(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


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


def check_certificates(doors: Sequence[Door | ProtocolDoor]) -> None:
    """See whether every door's certificate and key can be used.

    Raises:
        ConfigurationError: One cannot; it names the door.
    """
    for door in doors:
        try:
            _tls_of(door.certificate, door.key)
        except (OSError, ssl.SSLError):
            raise ConfigurationError(
                f"the certificate or key of the door `{door.name}` cannot be used",
                "check that both are PEM, belong together and can be read",
            ) from None


async def serve_doors(
    doors: Sequence[Door | ProtocolDoor],
    settings: Settings,
    grace: int,
    life: Life,
    reload: Callable[[], bool],
) -> None:
    """Open all doors, serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        doors: All of them open, or none.
        settings: Which proxies are trusted, and how long stopping may be known before it begins.
        grace: Seconds for requests that are under way at the end.
        life: Told what becomes of the process.
        reload: Called at SIGHUP; tells whether all is well and the certificates may be used.

    Raises:
        ConfigurationError: When an address cannot be had; then no door was opened.
    """
    with contextlib.ExitStack() as listeners:
        sockets = [listeners.enter_context(bind(door.host, door.port)) for door in doors]
        servers = [_server(door, settings, grace) for door in doors]
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _asked_to_stop, servers, settings, life)
        loop.add_signal_handler(signal.SIGHUP, _asked_to_reload, servers, life, reload)
        async with asyncio.TaskGroup() as group:
            group.create_task(_tell_when_open(servers, life))
            for server, listener, door in zip(servers, sockets, doors, strict=True):
                group.create_task(server.serve([listener]))
                structlog.get_logger().info("door_open", door=door.name, port=door.port)


async def _tell_when_open(servers: Sequence[_AnyServer], life: Life) -> None:
    while not all(server.started for server in servers):
        if life.stopping:
            return
        await asyncio.sleep(OPEN_SECONDS)
    life.opened()


def _server(door: Door | ProtocolDoor, settings: Settings, grace: int) -> _AnyServer:
    if isinstance(door, ProtocolDoor):
        return _ProtocolServer(door, grace)
    return _Server(_configuration(door, settings, grace))


def _asked_to_stop(servers: Sequence[_AnyServer], settings: Settings, life: Life) -> None:
    again = life.stopping
    life.stop()
    seconds = 0.0 if again else settings.drain_seconds
    structlog.get_logger().info("stopping", drain_seconds=seconds)
    asyncio.get_running_loop().call_later(seconds, _stop, servers)


def _stop(servers: Sequence[_AnyServer]) -> None:
    for server in servers:
        server.stop()


def _asked_to_reload(servers: Sequence[_AnyServer], life: Life, reload: Callable[[], bool]) -> None:
    life.reloading()
    try:
        if reload():
            for server in servers:
                server.renew()
    finally:
        life.opened()


def _configuration(door: Door, settings: Settings, grace: int) -> uvicorn.Config:
    return uvicorn.Config(
        door.app,
        http=BoundedHttp,
        log_config=None,
        log_level="error",  # its warnings are of what callers send, and as many as they like
        timeout_keep_alive=IDLE_SECONDS,
        access_log=False,
        server_header=False,
        date_header=True,  # a client whose clock is off learns by how much
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=grace,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        ssl_certfile=door.certificate,
        ssl_keyfile=door.key,
    )
