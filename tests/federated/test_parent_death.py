"""Supervised children, fork servers and tasks end with their parent: real processes, killed early.

The parents are scripts that kill themselves; `tests.reaper` says what outlived them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from federated.supervisor import Child, ChildSpec, environment
from tests.reaper import all_gone, outlive

TIMES = range(3)
"""Each try kills at a moment of its own."""
PYTHON = (sys.executable, "-P", "-c")

SAMPLE = """
import signal
from contextlib import suppress
from federated.child import announce, begin
begin()
with suppress(BrokenPipeError):
    announce()
signal.pause()
"""
SUPERVISES = """
import asyncio, json, os, signal, sys, tempfile
from pathlib import Path
import structlog
from federated.supervisor import Child, ChildSpec, environment

module, config, folder, path, moment = json.loads(sys.argv[1])

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def watch(_, __, event):
    if (event["event"], moment) in {("child_start", "started"), ("child_ready", "ready")}:
        kill()
    if (event["event"], moment) == ("child_start", "configured"):
        # The next turn of the loop comes when the configuration is in the pipe.
        asyncio.get_running_loop().call_soon(kill)
    raise structlog.DropEvent

async def supervise():
    structlog.configure(processors=[watch])
    env = {**environment(Path(folder), Path(tempfile.gettempdir())), "PYTHONPATH": path}
    await Child(ChildSpec("sample", module, config, env, Path(folder))).start()
    await asyncio.Event().wait()

asyncio.run(supervise())
"""
FORKS = """
import os, signal, sys
from functools import partial
from multiprocessing import forkserver
from types import SimpleNamespace
from federated.channel import Address
from federated.executor import ForkServerExecutor, client_task, server_target

kind, first, address = sys.argv[1:]
reports = Address("/nowhere", "s" * 64)
target = client_task if kind == "flwr-clientapp" else server_target(reports)
executor = ForkServerExecutor(kind, target)
if first == "server_start":
    forkserver.ensure_running()
else:
    executor.launch(SimpleNamespace(task_type=kind, runtime_api_address=address, token="t"))
    if first == "fork server":
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
os.kill(os.getpid(), signal.SIGKILL)
"""
NOWHERE = {"runtime": "127.0.0.1:9", "secret": "00" * 32}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with the module of a sample child."""
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "sample_child.py").write_text(SAMPLE)
    return folder


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A working folder with folders that have the names of our packages."""
    folder = tmp_path / "trap"
    for name in ("gateway", "federated"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    return folder


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a server that accepts and never answers: who asks it waits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.e2e
@pytest.mark.parametrize("moment", ["started", "configured", "ready"])
def test_a_supervised_child_ends_with_its_supervisor(path: Path, moment: str) -> None:
    what = json.dumps(["sample_child", {}, str(path), str(path), moment])
    for _ in TIMES:
        assert all_gone(outlive(*PYTHON, SUPERVISES, what))


@pytest.mark.e2e
@pytest.mark.federated
@pytest.mark.parametrize("moment", ["configured", "ready"])
def test_a_superexec_and_its_fork_server_end_with_the_supervisor(
    tmp_path: Path, moment: str
) -> None:
    pytest.importorskip("flwr")
    what = json.dumps(["federated.superexec", NOWHERE, str(tmp_path), "", moment])
    assert all_gone(outlive(*PYTHON, SUPERVISES, what))


@pytest.mark.e2e
@pytest.mark.federated
@pytest.mark.parametrize("first", ["server_start", "superexec", "fork server"])
@pytest.mark.parametrize("kind", ["flwr-clientapp", "flwr-serverapp"])
def test_a_task_ends_with_its_fork_server_and_that_with_its_superexec(
    silent: str, kind: str, first: str
) -> None:
    pytest.importorskip("flwr")
    assert all_gone(outlive(*PYTHON, FORKS, kind, first, silent))


def ready(module: str, config: dict[str, str], folder: Path, path: str) -> None:
    """Start a supervised child in `folder` and wait until it says that it is ready."""

    async def scenario() -> None:
        env = {**environment(folder, Path(tempfile.gettempdir())), "PYTHONPATH": path}
        child = Child(ChildSpec("sample", module, config, env, folder))
        await child.start()
        try:
            await child.wait_ready()
            assert child.restarts == 0
        finally:
            await child.stop()

    asyncio.run(scenario())


@pytest.mark.e2e
def test_a_child_is_of_this_package_wherever_it_works(trap: Path, path: Path) -> None:
    ready("sample_child", {}, trap, str(path))


@pytest.mark.e2e
@pytest.mark.federated
def test_a_fork_server_imports_this_package_wherever_it_works(trap: Path) -> None:
    pytest.importorskip("flwr")
    with contextlib.chdir(trap):
        ready("federated.superexec", NOWHERE, trap, "")
