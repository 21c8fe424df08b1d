from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from gateway.errors import ConfigurationError
from gateway.process.binding import bind
from gateway.process.doors import Door, serve_doors
from gateway.process.life import Life
from gateway.process.ownership import owned
from gateway.settings import Settings
from tests.ports import free_port

ROOT = Path(__file__).parents[3]
OWNER = """
import sys
from pathlib import Path
from gateway.process.ownership import owned
with owned(Path(sys.argv[1])):
    print("owned", flush=True)
    sys.stdin.read()
"""
PRIVATE = """
import resource
from gateway.process.ownership import keep_memory_private
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
keep_memory_private()
print(resource.getrlimit(resource.RLIMIT_CORE))
"""


@contextmanager
def other_gateway(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the folder until its input ends."""
    child = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert _line(child.stdout) == "owned"
        yield child
    finally:
        child.kill()
        child.communicate()


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


@pytest.mark.e2e
def test_a_data_folder_has_one_owner(tmp_path: Path) -> None:
    with other_gateway(tmp_path) as child:
        owner = rf"another gateway owns this data folder \(process {child.pid} on .+\)"
        with pytest.raises(ConfigurationError, match=owner), owned(tmp_path):
            pass
        child.communicate("")
        with owned(tmp_path):
            pass


@pytest.mark.e2e
def test_a_killed_owner_leaves_no_lock_behind(tmp_path: Path) -> None:
    with other_gateway(tmp_path) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with owned(tmp_path):
            assert (tmp_path / "lock").exists()


def test_the_owner_keeps_it_even_from_itself_and_gives_it_back(tmp_path: Path) -> None:
    with owned(tmp_path):
        with pytest.raises(ConfigurationError), owned(tmp_path):
            pass
        with pytest.raises(ConfigurationError), owned(tmp_path):
            pass
    with pytest.raises(ZeroDivisionError), owned(tmp_path):
        raise ZeroDivisionError
    with owned(tmp_path):
        assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) & 0o077 == 0


@pytest.mark.e2e
def test_a_lock_is_not_passed_on_to_children(tmp_path: Path) -> None:
    with owned(tmp_path):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print('runs', flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            close_fds=False,
        )
        assert _line(child.stdout) == "runs"
    try:
        with owned(tmp_path):
            pass
    finally:
        child.communicate("")


def test_what_is_no_folder_cannot_be_owned(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="no such file or directory") as refused,
        owned(tmp_path / "absent"),
    ):
        pass
    assert "absent" in refused.value.advice


@pytest.mark.e2e
def test_no_core_is_ever_dumped() -> None:
    """In a process of its own: a hard limit cannot be raised again."""
    done = subprocess.run(
        [sys.executable, "-c", PRIVATE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(0, 0)"


class Named:
    """Answers with its name, once it is allowed to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        self.reached.set()
        await self.go.wait()
        body = self.name.encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": body})  # type: ignore[operator]


SETTINGS = Settings(data_dir=Path("unused"), public_url="http://127.0.0.1:1", audit_origin="test")


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


async def get(port: int) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(retries=4)
    async with httpx.AsyncClient(transport=transport, timeout=20) as client:
        return await client.get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_doors_open_and_finish_what_is_under_way_when_asked_to_stop(
    number: signal.Signals,
) -> None:
    ports = free_ports(2)

    async def scenario() -> list[str]:
        apps = [Named("public"), Named("operations")]
        doors = [
            Door(app.name, app, "127.0.0.1", port) for app, port in zip(apps, ports, strict=True)
        ]
        serving = asyncio.create_task(serve_doors(doors, SETTINGS, 6, Life(), lambda: True))
        told = [(await get(port)).text for port in ports]
        slow = apps[0]
        slow.reached.clear()
        slow.go.clear()
        under_way = asyncio.create_task(get(ports[0]))
        await slow.reached.wait()
        os.kill(os.getpid(), number)
        slow.go.set()
        answer = await under_way
        await asyncio.wait_for(serving, 20)
        assert "server" not in answer.headers, "nothing is told of what serves"
        return [*told, answer.text]

    assert asyncio.run(scenario()) == ["public", "operations", "public"]


def test_when_one_address_is_taken_no_door_opens() -> None:
    with bind("127.0.0.1", 0) as taken, bind("127.0.0.1", 0) as held:
        free = held.getsockname()[1]
        held.close()
        doors = [
            Door("public", Named("public"), "127.0.0.1", free),
            Door(
                "operations",
                Named("operations"),
                "127.0.0.1",
                taken.getsockname()[1],
                setting="operations_port",
            ),
        ]
        with pytest.raises(ConfigurationError, match=r"`operations_port`: port \d+ is taken"):
            asyncio.run(serve_doors(doors, SETTINGS, 6, Life(), lambda: True))
        with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
            caller.connect(("127.0.0.1", free))
