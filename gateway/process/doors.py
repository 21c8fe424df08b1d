"""The doors of one gateway process.

They open after every part has started and close before any part stops. A process that is asked to
stop says first that it is not ready, goes on answering for `drain_seconds`, and then takes no more
work; asked again, it does not wait. At SIGHUP certificates and settings are read again; a door
whose certificate cannot be used then keeps the one that it has.

Most are ASGI applications behind uvicorn (`Door`); one that speaks otherwise brings the protocol of
its connections (`ProtocolDoor`).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import structlog
import uvicorn
from starlette.types import ASGIApp

from gateway.errors import ConfigurationError
from gateway.process.binding import BACKLOG, bind
from gateway.process.bounded_http import IDLE_SECONDS, BoundedHttp, DoorState
from gateway.process.handshakes import Certificate, TlsServer
from gateway.process.hearing import heard_by_a_thread
from gateway.process.life import Life
from gateway.settings import Settings

OPEN_SECONDS: Final = 0.01
"""From one look whether all doors are open to the next."""


@dataclass(frozen=True, slots=True)
class Door:
    """One ASGI application on one address.

    Attributes:
        name: For the log.
        certificate, key: TLS, or `None` for clear text on loopback or behind a proxy.
        setting: The key of the settings that holds the port.
        client_ca: Authorities of certificates that clients may show; None where none is asked for.
    """

    name: str
    app: ASGIApp
    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    setting: str = "port"
    client_ca: Path | None = None

    @property
    def alpn(self) -> tuple[str, ...]:
        """Nothing is said of what is spoken inside TLS: it is HTTP/1.1."""
        return ()


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
        setting: The key of the settings that holds the port.
    """

    name: str
    protocols: Protocols
    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    alpn: tuple[str, ...] = ()
    setting: str = "port"


class _Server(uvicorn.Server):
    """A server that leaves the signals to `serve_doors`, which has several, and TLS to us.

    Args:
        config: For uvicorn.
        certificate: Of the door, if it speaks TLS.
    """

    def __init__(self, config: uvicorn.Config, certificate: Certificate | None) -> None:
        super().__init__(config)
        self.server_state = DoorState()
        self._certificate = certificate

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""

        def protocol() -> asyncio.BaseProtocol:
            return BoundedHttp(config=self.config, server_state=self.server_state, app_state={})

        self.servers = [
            await _listening(protocol, listener, self._certificate) for listener in sockets or ()
        ]
        self.started = True

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self.should_exit = True


class _ProtocolServer:
    """A server of connections whose protocol is not uvicorn's."""

    def __init__(self, door: ProtocolDoor, grace: int, certificate: Certificate | None) -> None:
        self._door = door
        self._grace = grace
        self._certificate = certificate
        self._stopping = asyncio.Event()
        self.started = False

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serve until `stop`."""
        protocol = self._door.protocols.protocol
        servers = [await _listening(protocol, each, self._certificate) for each in sockets]
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


_AnyServer: TypeAlias = "_Server | _ProtocolServer"


async def _listening(
    protocol: Callable[[], asyncio.BaseProtocol],
    listener: socket.socket,
    certificate: Certificate | None,
) -> Any:
    """Return an `asyncio.Server`, or what is used like one."""
    if certificate is None:
        loop = asyncio.get_running_loop()
        return await loop.create_server(protocol, sock=listener, backlog=BACKLOG)
    server = TlsServer(listener, protocol, certificate.context)
    server.start()
    return server


def _certificate(door: Door | ProtocolDoor) -> Certificate | None:
    if door.certificate is None:
        return None
    try:
        client_ca = door.client_ca if isinstance(door, Door) else None
        return Certificate(door.certificate, door.key, door.alpn, client_ca)
    except OSError:  # also what TLS says of it
        raise ConfigurationError(
            f"the certificate or key of the door `{door.name}` cannot be used",
            "check that both are PEM, belong together and can be read, and `tls_client_ca` is PEM",
        ) from None


def check_certificates(doors: Sequence[Door | ProtocolDoor]) -> None:
    """See whether every door's certificate and key can be used.

    Raises:
        ConfigurationError: One cannot; it names the door.
    """
    for door in doors:
        _certificate(door)


async def serve_doors(
    doors: Sequence[Door | ProtocolDoor],
    settings: Settings,
    grace: int,
    life: Life,
    reload: Callable[[], bool],
    stopping: Callable[[float], None] = lambda _: None,
    served: dict[str, Certificate] | None = None,
) -> None:
    """Open all doors, serve until SIGTERM or SIGINT, then finish what is under way.

    Args:
        doors: All of them open, or none.
        settings: Which proxies are trusted, and how long stopping may be known before it begins.
        grace: Seconds for requests that are under way at the end.
        life: Told what becomes of the process.
        reload: Called at SIGHUP; tells whether all is well and the certificates may be used.
        stopping: Told each time that the process is asked to stop, with the seconds for which it
            goes on answering; by a thread of its own, so also where the event loop hangs.
        served: Takes the certificate of each door that has one, by the door's name.

    Raises:
        ConfigurationError: When an address cannot be had, or a certificate cannot be used; then no
            door was opened.
    """
    with contextlib.ExitStack() as listeners:
        certificates = [_certificate(door) for door in doors]
        sockets = [
            listeners.enter_context(bind(door.host, door.port, door.setting)) for door in doors
        ]
        servers = [
            _server(door, settings, grace, certificate)
            for door, certificate in zip(doors, certificates, strict=True)
        ]
        loop = asyncio.get_running_loop()

        def stop() -> None:
            _asked_to_stop(servers, settings, life)

        def heard(again: bool) -> None:
            stopping(0.0 if again else settings.drain_seconds)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        named = {} if served is None else served
        named |= {door.name: each for door, each in zip(doors, certificates, strict=True) if each}
        loop.add_signal_handler(signal.SIGHUP, _asked_to_reload, named, life, reload)
        listeners.enter_context(heard_by_a_thread(heard))
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


def _server(
    door: Door | ProtocolDoor, settings: Settings, grace: int, certificate: Certificate | None
) -> _AnyServer:
    if isinstance(door, ProtocolDoor):
        return _ProtocolServer(door, grace, certificate)
    return _Server(_configuration(door, settings, grace), certificate)


def _asked_to_stop(
    servers: Sequence[_AnyServer],
    settings: Settings,
    life: Life,
) -> None:
    seconds = 0.0 if life.stopping else settings.drain_seconds
    asyncio.get_running_loop().call_later(seconds, _stop, servers)
    life.stop()
    structlog.get_logger().info("stopping", drain_seconds=seconds)


def _stop(servers: Sequence[_AnyServer]) -> None:
    for server in servers:
        server.stop()


def _asked_to_reload(
    certificates: Mapping[str, Certificate], life: Life, reload: Callable[[], bool]
) -> None:
    life.reloading()
    try:
        if reload():
            for door, certificate in certificates.items():
                _renew(door, certificate)
    finally:
        life.opened()


def _renew(door: str, certificate: Certificate) -> None:
    """Use what the files hold now; they may have changed since they were looked at."""
    try:
        certificate.renew()
    except OSError:
        structlog.get_logger().error("certificate_not_renewed", door=door)


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
    )
