"""Supervision and executor: with real child processes where it matters."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import tempfile
import zipfile
from pathlib import Path

import pytest

from federated.errors import ChildFailed
from federated.supervisor import Child, ChildSpec, environment
from tests.federated.stack import alive

SAMPLE = """
import os, subprocess, sys, time
from federated.child import announce, begin
config = begin()
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open("pids", "a") as file:
    file.write(f"{os.getpid()} {helper.pid}\\n")
with open("config", "w") as file:
    file.write(config["greeting"])
if config["ready"]:
    announce(port=1)
time.sleep(600)
"""


def spec(folder: Path, **config: object) -> ChildSpec:
    (folder / "sample_child.py").write_text(SAMPLE)
    env = {**environment(folder, Path(tempfile.gettempdir())), "PYTHONPATH": str(folder)}
    return ChildSpec("sample", "sample_child", {"greeting": "hello", **config}, env, folder)


def pids(folder: Path) -> list[list[int]]:
    return [[int(p) for p in line.split()] for line in (folder / "pids").read_text().splitlines()]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def gone(*processes: int) -> None:
    for _ in range(4800):
        if not any(alive(pid) for pid in processes):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a process was left behind")


@pytest.mark.e2e
def test_child_is_configured_awaited_and_stopped_with_its_group(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Child(spec(tmp_path, ready=True))
        await child.start()
        await child.wait_ready(30)
        assert child.state == "ready"
        assert (tmp_path / "config").read_text() == "hello"
        ((pid, helper),) = pids(tmp_path)
        assert child.pid == pid
        assert "hello" not in command_line(pid)
        await child.stop()
        assert child.state == "stopped"  # type: ignore[comparison-overlap]  # no longer "ready"
        assert child.pid is None
        await gone(pid, helper)

    asyncio.run(scenario())


@pytest.mark.e2e
def test_child_that_ends_is_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        restarted = asyncio.Event()

        async def on_restart() -> None:
            restarted.set()

        child = Child(spec(tmp_path, ready=True), on_restart=on_restart)
        await child.start()
        await child.wait_ready(30)
        ((first, helper),) = pids(tmp_path)
        os.kill(first, signal.SIGKILL)
        await asyncio.wait_for(restarted.wait(), 240)
        assert child.restarts == 1
        assert child.pid not in {first, None}
        # A helper holds the dead child's pipes; it must not hold up the restart.
        await gone(first, helper)
        await child.stop()

    asyncio.run(scenario())


@pytest.mark.e2e
def test_child_that_does_not_become_ready_is_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Child(spec(tmp_path, ready=False))
        await child.start()
        with pytest.raises(ChildFailed):
            await child.wait_ready(0.5)
        await child.stop()
        assert child.pid is None

    asyncio.run(scenario())


def test_environment_is_closed_and_silent(tmp_path: Path) -> None:
    env = environment(tmp_path, Path(tempfile.gettempdir()))
    assert env["FLWR_HOME"].startswith(str(tmp_path))
    assert env["FLWR_TELEMETRY_ENABLED"] == "0"
    assert env["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert env["FLWR_SUPERGRID_API_URL"].startswith("http://127.0.0.1:")
    assert not set(env) & {"PYTHONPATH", "http_proxy", "https_proxy", "FLWR_DATABASE"}


@pytest.mark.federated
@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
class TestApp:
    """What a site takes for the app that it installed."""

    @pytest.fixture
    def own(self) -> bytes:
        pytest.importorskip("flwr")
        from federated.executor import installed_app

        return installed_app()

    def repacked(self, fab: bytes, **changes: bytes) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(fab)) as old, zipfile.ZipFile(packed, "w") as new:
            for member in old.infolist():
                new.writestr(member.filename, changes.pop(member.filename, old.read(member)))
            for name, content in changes.items():
                new.writestr(name, content)
        return packed.getvalue()

    def test_same_files_are_the_app_however_packed(self, own: bytes) -> None:
        from federated.executor import same_app

        assert same_app(own, own)
        assert self.repacked(own) != own
        assert same_app(self.repacked(own), own)

    @pytest.mark.parametrize("name", ["client_app.py", "pyproject.toml", "more.py"])
    def test_another_file_is_another_app(self, own: bytes, name: str) -> None:
        from federated.executor import same_app

        assert not same_app(self.repacked(own, **{name: b"import os\n"}), own)

    @pytest.mark.parametrize("fab", [b"", b"PK", b"x" * 2_000_000])
    def test_other_bytes_are_not_the_app(self, own: bytes, fab: bytes) -> None:
        from federated.executor import same_app

        assert not same_app(fab, own)


def test_secret_files_of_the_coordinator(tmp_path: Path) -> None:
    pytest.importorskip("flwr")
    from federated.coordinator import own, read_secret

    path = tmp_path / "secret"
    path.write_text("s" * 64 + "\n")
    path.chmod(0o644)
    with pytest.raises(SystemExit, match="read by others"):
        read_secret(path)
    path.chmod(0o600)
    assert read_secret(path) == "s" * 64
    path.write_text("short")
    with pytest.raises(SystemExit, match="too short"):
        read_secret(path)
    with own(tmp_path), pytest.raises(SystemExit, match="owns"):
        own(tmp_path)
