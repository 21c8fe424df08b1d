"""Strangers who hold connections: they cost little, and nobody else notices them."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx

from gateway.demo.place import _make_certificates
from gateway.process.handshakes import MAX_HANDSHAKES
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, configure, until
from tests.e2e.test_signals_under_load import a_token, authority
from tests.gateway.process.test_handshakes import HALF as HALF_HELLO

HALF = b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: g\r\nx: "
ENDLESS_BYTES = 40 << 20
MOST_MEMORY_BYTES = 50 << 20


def resident(house: House) -> int:
    fields = Path(f"/proc/{house.pid}/statm").read_text().split()
    return int(fields[1]) * 4096


def endless_head(house: House, stack: ExitStack) -> None:
    line = stranger(house, stack)
    with suppress(OSError):  # it is closed before all of it was sent
        line.sendall(HALF)
        for _ in range(ENDLESS_BYTES >> 16):
            line.sendall(b"a" * (1 << 16))


def stranger(house: House, stack: ExitStack) -> socket.socket:
    address = ("127.0.0.1", house.place.port)
    return stack.enter_context(socket.create_connection(address, timeout=30))


def test_silent_half_open_dripping_and_endless_strangers_shut_nobody_out(fresh: MakeHouse) -> None:
    """Four heads of 40 MB cost 186 MB, and 1,100 silent connections locked everybody out."""
    house = fresh()
    assert house.infer().status_code == 200
    before = resident(house)
    with ExitStack() as stack:
        for _ in range(1000):
            stranger(house, stack)
        half_open = [stranger(house, stack) for _ in range(1000)]
        dripping = [stranger(house, stack) for _ in range(100)]
        for line in half_open + dripping:
            line.sendall(HALF)
        for _ in range(4):
            endless_head(house, stack)
        for line in dripping:
            with suppress(OSError):
                line.send(b"a")
        house.cast.http.close()
        house.cast.http = httpx.Client(timeout=30)  # a connection that is made now
        asked = time.perf_counter()
        assert house.infer().status_code == 200
        print(f"answered in {time.perf_counter() - asked:.3f} s")
        grown = resident(house) - before
        print(f"grown by {grown >> 20} MiB")
        assert grown < MOST_MEMORY_BYTES
    assert house.infer().status_code == 200


def test_strangers_who_stall_in_the_handshake_lock_nobody_out_and_keep_nothing(
    fresh: MakeHouse, tmp_path: Path
) -> None:
    """1,100 of them were counted by nobody, and each kept a descriptor for a minute."""
    house = fresh(started=False)
    _make_certificates(tmp_path)
    pair = {"tls_certificate": str(tmp_path / "sites.pem"), "tls_key": str(tmp_path / "sites.key")}
    configure(house.place, **pair)
    house.start()
    trust = authority(tmp_path)
    token = a_token(house, trust)

    def answered() -> int:
        url = f"https://127.0.0.1:{house.place.port}/v2/models/digits/infer"
        headers, body = {"authorization": f"Bearer {token}"}, house.owned["digits"].body()
        return httpx.post(url, json=body, headers=headers, verify=trust, timeout=30).status_code

    assert answered() == 200
    before = descriptors(house)
    with ExitStack() as stack:
        for port in (house.place.port, house.place.grpc_port):
            for _ in range(1100):
                line = socket.create_connection(("127.0.0.1", port), timeout=30)
                stack.enter_context(line).sendall(HALF_HELLO)
        asked = time.perf_counter()
        assert answered() == 200
        print(f"answered in {time.perf_counter() - asked:.3f} s")
        assert descriptors(house) <= before + 2 * MAX_HANDSHAKES + 20
        until(lambda: descriptors(house) <= before + 20)


def descriptors(house: House) -> int:
    return len(list(Path(f"/proc/{house.pid}/fd").iterdir()))
