"""Strangers who begin TLS and do not go on, at every kind of door."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, cast

import pytest
import structlog
import uvloop

from gateway.composition.grpc_door import ALPN
from gateway.demo.place import _make_certificates
from gateway.origins import group_of
from gateway.process.doors import Door, ProtocolDoor, serve_doors
from gateway.process.handshakes import Certificate, TlsServer
from gateway.process.life import Life
from tests.gateway.process.test_doors import SETTINGS, Named, free_ports
from tests.gateway.process.test_protocol_door import Echo
from tests.gateway.process.test_signals import eventually, trusting

PATIENCE = 240.0
Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]


def client_hello() -> bytes:
    """What a client says first."""
    out = ssl.MemoryBIO()
    line = trusting().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        line.do_handshake()
    return out.read()


HALF = client_hello()[:100]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a scenario, on the event loop of the gateway and on Python's own."""

    def on_loop(scenario: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(scenario)

    return on_loop


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    _make_certificates(tmp_path)
    return tmp_path / "sites.pem", tmp_path / "sites.key"


class Line(asyncio.Protocol):
    """Says that it is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"here")


@asynccontextmanager
async def served(
    pair: tuple[Path, Path], *, most: int = 8, seconds: float = PATIENCE
) -> AsyncIterator[tuple[TlsServer, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = TlsServer(listener, Line, Certificate(*pair).context, most=most, seconds=seconds)
    server.start()
    yield server, listener.getsockname()[1]
    server.close()
    await server.wait_closed()
    assert server.handshakes == 0


def stalling(stack: ExitStack, port: int, source: str = "127.0.0.1") -> socket.socket:
    line = socket.create_connection(
        ("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0)
    )
    line.sendall(HALF)
    line.setblocking(False)
    return stack.enter_context(line)


async def greeted(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
    told = await reader.readexactly(4)
    writer.close()
    return told


async def ended(line: socket.socket) -> None:
    """Wait until the other side has closed a connection."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while await loop.sock_recv(line, 999):
                pass


def test_who_stalls_makes_room_for_who_comes(pair: tuple[Path, Path], run: Run) -> None:
    """They waited for a minute each, and were counted by nobody."""

    async def scenario() -> None:
        with ExitStack() as stack:
            async with served(pair) as (server, port):
                lines = [stalling(stack, port) for _ in range(20)]
                for line in lines[:11]:
                    await ended(line)
                assert server.handshakes <= 8
                assert await greeted(port) == b"here"

    run(scenario())


def test_a_crowd_of_one_address_gives_way_to_others(pair: tuple[Path, Path], run: Run) -> None:
    async def scenario() -> None:
        with ExitStack() as stack:
            async with served(pair) as (server, port):
                patient = stalling(stack, port, "127.0.0.2")
                await eventually(lambda: server.handshakes == 1)
                crowd = [stalling(stack, port) for _ in range(20)]
                for line in crowd[:12]:
                    await ended(line)
                with pytest.raises(BlockingIOError):
                    patient.recv(1)

    run(scenario())


def test_a_handshake_that_drips_ends_in_its_time(pair: tuple[Path, Path], run: Run) -> None:
    async def scenario() -> list[object]:
        with ExitStack() as stack, structlog.testing.capture_logs() as told:
            faults: list[object] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, found: faults.append(found))
            async with served(pair, seconds=0.5) as (server, port):
                line = stalling(stack, port)
                await ended(line)
                await eventually(lambda: server.handshakes == 0)
        return [*told, *faults]

    assert run(scenario()) == [], "strangers write nothing"


def test_nonsense_and_hang_ups_are_forgotten(pair: tuple[Path, Path], run: Run) -> None:
    async def scenario() -> list[object]:
        faults: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, found: faults.append(found))
        async with served(pair) as (server, port):
            for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 500, HALF, b""):
                with socket.create_connection(("127.0.0.1", port)) as line:
                    line.sendall(sent)
            await eventually(lambda: server.handshakes == 0)
            assert await greeted(port) == b"here"
        return faults

    assert run(scenario()) == []


def test_every_door_with_tls_bounds_its_handshakes(pair: tuple[Path, Path], run: Run) -> None:
    """HTTP and sites were uvicorn's, with a minute for each handshake."""
    ports = free_ports(2)
    doors: list[Door | ProtocolDoor] = [
        Door("public", Named("public"), "127.0.0.1", ports[0], *pair),
        ProtocolDoor("echo", Echo(), "127.0.0.1", ports[1], *pair, ALPN),
    ]

    async def scenario() -> None:
        told: list[str] = []
        life = Life(told.append)
        serving = asyncio.create_task(serve_doors(doors, SETTINGS, 1, life, lambda: True))
        await eventually(lambda: told == ["READY=1"])
        for port in ports:
            with ExitStack() as stack:
                crowd = await asyncio.to_thread(
                    lambda stack, port: [stalling(stack, port) for _ in range(1100)], stack, port
                )
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
                writer.close()
                first = crowd[0]
                await ended(first)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, PATIENCE)

    run(scenario())


def test_a_stopping_door_does_not_wait_for_handshakes(pair: tuple[Path, Path], run: Run) -> None:
    async def scenario() -> None:
        with ExitStack() as stack:
            async with served(pair) as (server, port):
                stalling(stack, port)
                await eventually(lambda: server.handshakes == 1)

    run(scenario())


@pytest.mark.parametrize(
    ("peer", "group"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8::1", 1, 0, 0), group_of(("2001:db8::ffff:2", 1))),
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7"),
        (("fe80::1%eth0", 1, 0, 2), group_of(("fe80::2", 1))),
    ],
)
def test_whoever_has_one_network_is_one_crowd(peer: tuple[object, ...], group: str) -> None:
    assert group_of(peer) == group


def test_a_pair_that_does_not_fit_leaves_the_one_in_use(
    pair: tuple[Path, Path], run: Run, tmp_path: Path
) -> None:
    """A certificate was loaded before its key did not fit: no handshake was possible any more."""
    other = tmp_path / "other"
    other.mkdir()
    _make_certificates(other)

    async def scenario() -> None:
        certificate = Certificate(*pair)
        listener = socket.create_server(("127.0.0.1", 0))
        server = TlsServer(listener, Line, certificate.context)
        server.start()
        (other / "sites.pem").replace(pair[0])
        with pytest.raises(ssl.SSLError):
            certificate.renew()
        assert await greeted(listener.getsockname()[1]) == b"here"
        server.close()
        await server.wait_closed()

    run(scenario())
