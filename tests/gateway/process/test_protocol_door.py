"""A door that brings its own protocol, beside one of uvicorn: opened and closed together."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from pathlib import Path

import pytest

from gateway.composition.grpc_door import ALPN
from gateway.demo.place import _make_certificates
from gateway.process.doors import Door, ProtocolDoor, serve_doors
from gateway.process.life import Life
from tests.gateway.process.test_doors import SETTINGS, Named, free_ports, get


class Lines(asyncio.Protocol):
    """Sends back what it is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(data)


class Echo:
    """Serves such connections and remembers how it was closed."""

    def __init__(self) -> None:
        self.made: list[Lines] = []
        self.grace: float | None = None

    def protocol(self) -> Lines:
        self.made.append(Lines())
        return self.made[-1]

    async def close(self, grace: float) -> None:
        self.grace = grace
        for one in self.made:
            if hasattr(one, "transport"):
                one.transport.close()


async def said(port: int, context: ssl.SSLContext | None) -> bytes:
    for _ in range(200):
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost" if context else None
            )
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    writer.write(b"hello")
    found = await reader.read(5)
    writer.close()
    return found


@pytest.mark.parametrize("tls", [False, True])
def test_it_opens_and_closes_with_the_others(tmp_path: Path, tls: bool) -> None:
    first, second = free_ports(2)
    echo = Echo()
    _make_certificates(tmp_path)
    door = ProtocolDoor("echo", echo, "127.0.0.1", second, alpn=ALPN)
    context = None
    if tls:
        door = ProtocolDoor(
            "echo",
            echo,
            "127.0.0.1",
            second,
            tmp_path / "sites.pem",
            tmp_path / "sites.key",
            ALPN,
        )
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        context.set_alpn_protocols(list(ALPN))

    async def scenario() -> tuple[str, bytes]:
        doors: list[Door | ProtocolDoor] = [
            Door("public", Named("public"), "127.0.0.1", first),
            door,
        ]
        serving = asyncio.create_task(serve_doors(doors, SETTINGS, 6, Life(), lambda: True))
        told = (await get(first)).text, await said(second, context)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 20)
        return told

    assert asyncio.run(scenario()) == ("public", b"hello")
    assert echo.grace == 6
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", second)) != 0
