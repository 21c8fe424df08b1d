"""What signals do to the doors of a process, and what its service manager hears."""

from __future__ import annotations

import asyncio
import datetime
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from gateway.composition.grpc_door import ALPN
from gateway.demo.place import _make_certificates
from gateway.errors import ConfigurationError
from gateway.process.doors import Door, ProtocolDoor, check_certificates, serve_doors
from gateway.process.handshakes import Certificate
from gateway.process.life import Life, tell_service_manager
from tests.gateway.process.test_doors import SETTINGS, Named, free_ports, get
from tests.gateway.process.test_protocol_door import Echo


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110  # what is looked at tells nobody
            await asyncio.sleep(0.01)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def shown(port: int) -> bytes:
    """The certificate of a door, in DER."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert isinstance(found, bytes)
    return found


def ends(certificate: bytes) -> float:
    return x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp()


def end_later(folder: Path) -> None:
    """Have the certificate of a folder end on another day than one that was made just now."""
    path = folder / "sites.pem"
    old = x509.load_pem_x509_certificate(path.read_bytes())
    key = load_pem_private_key((folder / "sites.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    made = x509.CertificateBuilder(
        old.issuer,
        old.subject,
        key.public_key(),
        old.serial_number,
        old.not_valid_before_utc,
        old.not_valid_after_utc + datetime.timedelta(days=1),
    ).sign(key, hashes.SHA256())
    path.write_bytes(made.public_bytes(Encoding.PEM))


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A folder that doors use, and two others with what it may hold."""
    used, first, second = (tmp_path / name for name in ("used", "first", "second"))
    for folder in (used, first, second):
        folder.mkdir()
    _make_certificates(first)
    _make_certificates(second)
    end_later(second)
    shutil.copytree(first, used, dirs_exist_ok=True)
    return used, first, second


def doors_with(used: Path, ports: list[int]) -> list[Door | ProtocolDoor]:
    pair = used / "sites.pem", used / "sites.key"
    return [
        Door("public", Named("public"), "127.0.0.1", ports[0], *pair),
        ProtocolDoor("echo", Echo(), "127.0.0.1", ports[1], *pair, ALPN),
    ]


def test_a_hang_up_serves_the_new_certificate_and_loses_no_connection(
    certificates: tuple[Path, Path, Path],
) -> None:
    """It ended the process."""
    used, _, second = certificates
    ports = free_ports(2)
    doors = doors_with(used, ports)
    told: list[str] = []
    life = Life(told.append)
    served: dict[str, Certificate] = {}

    async def scenario() -> None:
        serving = asyncio.create_task(
            serve_doors(doors, SETTINGS, 6, life, lambda: True, served=served)
        )
        await eventually(lambda: told == ["READY=1"])
        before = [await shown(port) for port in ports]
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0], ssl=trusting())
        shutil.copytree(second, used, dirs_exist_ok=True)
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: told[-1] == "READY=1" and len(told) == 3)
        after = [await shown(port) for port in ports]
        assert set(before).isdisjoint(after)
        assert {each.ends for each in served.values()} == {ends(after[0])}
        assert set(served) == {"public", "echo"}
        assert len(set(before)) == len(set(after)) == 1
        writer.write(b"GET / HTTP/1.1\r\nhost: g\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"200", "of the old connection"
        writer.close()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 20)

    asyncio.run(scenario())
    assert told[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert told[-1] == "STOPPING=1"


def test_a_hang_up_with_something_wrong_keeps_what_was(
    certificates: tuple[Path, Path, Path],
) -> None:
    used, _, second = certificates
    ports = free_ports(2)
    doors = doors_with(used, ports)
    told: list[str] = []
    served: dict[str, Certificate] = {}

    async def scenario() -> None:
        asked: list[bool] = []

        def reload() -> bool:
            asked.append(True)
            return False

        life = Life(told.append)
        serving = asyncio.create_task(serve_doors(doors, SETTINGS, 6, life, reload, served=served))
        await eventually(lambda: told == ["READY=1"])
        before = await shown(ports[0])
        shutil.copytree(second, used, dirs_exist_ok=True)
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: len(told) == 3)
        assert asked == [True]
        assert await shown(ports[0]) == before
        assert served["public"].ends == ends(before), "not of the file, which is newer"
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 20)

    asyncio.run(scenario())


def test_certificates_that_do_not_fit_their_keys_are_named(
    certificates: tuple[Path, Path, Path],
) -> None:
    used, _, second = certificates
    doors = doors_with(used, [1, 2])
    check_certificates(doors)
    shutil.copy(second / "sites.key", used / "sites.key")
    with pytest.raises(ConfigurationError, match="`public`"):
        check_certificates(doors)
    (used / "sites.key").unlink()
    with pytest.raises(ConfigurationError, match="`public`"):
        check_certificates(doors)


def test_it_goes_on_answering_while_others_hear_that_it_stops() -> None:
    """Whatever sends it work learns that it is not ready before the doors close."""
    (port,) = free_ports(1)
    doors = [Door("public", Named("public"), "127.0.0.1", port)]
    life = Life(lambda _: None)
    settings = SETTINGS.model_copy(update={"drain_seconds": 300.0})

    async def scenario() -> None:
        serving = asyncio.create_task(serve_doors(doors, settings, 6, life, lambda: True))
        assert (await get(port)).text == "public"
        os.kill(os.getpid(), signal.SIGTERM)
        await eventually(lambda: life.stopping)
        assert (await get(port)).text == "public"
        os.kill(os.getpid(), signal.SIGTERM)  # asked again, it does not wait
        await asyncio.wait_for(serving, 20)

    asyncio.run(scenario())


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_hears_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    name = f"\0sealgate-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        tell_service_manager("READY=1")
        assert manager.recv(99) == b"READY=1"
    tell_service_manager("STOPPING=1")  # nobody listens any more: nobody minds
