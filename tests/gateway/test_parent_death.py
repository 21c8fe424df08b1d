"""Every child of the gateway and of the demo ends with its parent: real processes, killed early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo.running import Running
from gateway.parent_death import EXIT_ORPHAN
from tests.federated.stack import end, until
from tests.gateway.process.test_doors import free_ports
from tests.reaper import all_gone, outlive

pytestmark = pytest.mark.e2e

TIMES = range(3)
"""Each try kills at a moment of its own."""
PYTHON = (sys.executable, "-P")
COORDINATOR_SOCKET = "run/coordinator.sock"

LATE = "import os; from gateway.parent_death import die_with_parent; die_with_parent(os.getpid())"
LEAVES = """
import subprocess, sys, os, signal
CHILD = '''
import signal, sys
from gateway.parent_death import die_with_parent
die_with_parent(int(sys.argv[1]), signal.Signals(int(sys.argv[2])))
signal.pause()
'''
subprocess.Popen([sys.executable, "-P", "-c", CHILD, str(os.getpid()), sys.argv[1]])
os.kill(os.getpid(), signal.SIGKILL)
"""
FROM_HERE = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
"""A job of the tests is found beside the package only where that is not an installed copy."""
SPINS = """
from gateway.artifacts.sandbox import Limits, run_sandboxed
limits = Limits(cpu_seconds=600, wall_seconds=600)
run_sandboxed("tests.gateway.artifacts.jobs", {}, {"do": "spin"}, limits=limits)
"""
DEMONSTRATES = """
import sys
from pathlib import Path
from gateway.demo.running import Running
Running(["serve", "--data", sys.argv[1]], Path(sys.argv[2])).wait(600)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a gateway that nobody serves."""
    folder = tmp_path_factory.mktemp("gateway") / "data"
    command = [*PYTHON, "-m", "gateway", "init", "--data", str(folder), "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A working folder with folders that have the names of our packages."""
    for name in ("gateway", "federated"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('the wrong package')\n")
    return tmp_path


def ports() -> dict[str, str]:
    public, operations, sites = free_ports(3)
    return {
        **os.environ,
        "SEALGATE_PORT": str(public),
        "SEALGATE_OPERATIONS_PORT": str(operations),
        "SEALGATE_SITES_PORT": str(sites),
        "SEALGATE_FEDERATION": "on",
    }


def test_a_process_that_is_told_another_parent_ends_at_once() -> None:
    assert subprocess.run([*PYTHON, "-c", LATE], check=False).returncode == EXIT_ORPHAN


@pytest.mark.parametrize("_", TIMES)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_parent_that_dies_before_its_child_can_ask(number: int, _: int) -> None:
    assert all_gone(outlive(*PYTHON, "-c", LEAVES, str(int(number))))


@pytest.mark.parametrize("_", TIMES)
@pytest.mark.parametrize(
    "at",
    [
        pytest.param("", id="as soon as it is there"),
        pytest.param("NoNewPrivs:\t1", id="before it asks"),
        pytest.param("CapEff:\t0000000000000000", id="when it has changed its user"),
    ],
)
def test_a_confined_job_ends_with_its_gateway(at: str, _: int) -> None:
    assert all_gone(outlive(*PYTHON, "-c", SPINS, at=at, env=FROM_HERE))


@pytest.mark.parametrize("at", ["", "-m gateway serve"], ids=["forked", "executed"])
def test_a_process_of_the_demo_ends_with_the_demo(data: Path, tmp_path: Path, at: str) -> None:
    for _ in TIMES:
        command = (*PYTHON, "-c", DEMONSTRATES, str(data), str(tmp_path / "log"))
        assert all_gone(outlive(*command, at=at, env=ports() | {"SEALGATE_FEDERATION": "off"}))


@pytest.mark.parametrize(
    "at",
    [
        pytest.param("gateway.engine.fork_server", id="as soon as it is there"),
        pytest.param("CapEff:\t0000000000000000", id="when it has changed its user"),
    ],
)
def test_what_forks_engines_ends_with_its_gateway(data: Path, at: str) -> None:
    for _ in TIMES:
        command = (*PYTHON, "-m", "gateway", "serve", "--data", str(data))
        assert all_gone(outlive(*command, at=at, env=ports() | {"SEALGATE_FEDERATION": "off"}))


@pytest.mark.federated
def test_a_coordinator_ends_with_its_gateway(data: Path) -> None:
    pytest.importorskip("flwr")
    for _ in TIMES:
        command = (*PYTHON, "-m", "gateway", "serve", "--data", str(data))
        assert all_gone(outlive(*command, at="federated.coordinator", env=ports()))


def test_the_demo_runs_this_package_wherever_it_is_started(
    trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trap)
    with Running(["--help"], trap / "log") as running:
        assert running.wait(60) == 0, (trap / "log").read_text()


@pytest.mark.federated
def test_the_coordinator_is_of_this_package_wherever_the_gateway_is_started(
    data: Path, trap: Path
) -> None:
    pytest.importorskip("flwr")
    socket = data / COORDINATOR_SOCKET
    socket.unlink(missing_ok=True)
    with (trap / "log").open("wb") as log:
        gateway = subprocess.Popen(
            [*PYTHON, "-m", "gateway", "serve", "--data", str(data)],
            cwd=trap,
            env=ports(),
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: socket.exists() or gateway.poll() is not None, "the coordinator's socket")
        assert gateway.poll() is None, (trap / "log").read_text()
    finally:
        end(gateway)
