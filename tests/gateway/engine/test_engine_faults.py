"""Engines whose machine is short of something, or whose fork server is stopped or killed."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.engine.errors import EnginesDown
from gateway.engine.forking import ForkServer
from gateway.engine.memory_files import seal
from gateway.engine.orders import LOST
from gateway.engine.pool import Engines
from gateway.engine.ports import PLAIN, EngineKind
from gateway.engine.process import Border, EngineProcess
from tests.audit.samples import until
from tests.gateway.artifacts.hostile_models import linear
from tests.gateway.engine import dangers
from tests.gateway.engine.engines import BOUNDS, X, graph, on_a_loop, pool, process_of

pytestmark = pytest.mark.e2e


@pytest.fixture
def server() -> Iterator[ForkServer]:
    made = ForkServer(EngineKind())
    made.start()
    yield made
    made.close()


@pytest.fixture
def patient(server: ForkServer) -> Iterator[Engines]:
    """Engines whose runs may take as long as a loaded machine needs."""
    yield from pool(server, [], 60.0)


def test_a_fork_server_that_is_stopped_holds_up_no_loop(patient: Engines) -> None:
    """The loop waited for it: as long as an order may take, and for each engine that ended."""
    served = patient.serve(graph(linear(), "y"))
    server = patient.kinds[PLAIN]
    assert isinstance(server, ForkServer)
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)

    async def scenario() -> None:
        assert await served.run(X, 1)
        starting = asyncio.create_task(
            asyncio.to_thread(patient.serve, graph(linear(), "y", name="n"))
        )
        await asyncio.to_thread(until, server._lock.locked)
        os.kill(process_of(served).pid, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: not served.engines)
        assert not starting.done(), "the end was seen although the lock is held"
        other = await starting  # a new server was started in its place
        assert await other.run(X, 1)
        assert await served.run(X, 1)

    on_a_loop(scenario)


def test_how_engines_of_a_lost_server_ended_is_known_at_once(server: ForkServer) -> None:
    own = ForkServer(EngineKind())
    model = seal(dangers.plain(linear()))
    process = EngineProcess(own, Border({"x": "FP32"}, ("y",)), model, BOUNDS, 60.0)
    os.close(model)
    assert own._process is not None
    os.kill(own._process.pid, signal.SIGKILL)
    until(lambda: process.end() == LOST)
    process.close()
    own.close()
    with pytest.raises(EnginesDown):
        own.start()


def test_out_of_descriptors_an_engine_is_refused_and_nothing_is_lost(server: ForkServer) -> None:
    """With one missing for the new engine's process it ran on, known to nobody."""
    model = seal(dangers.plain(linear()))
    border = Border({"x": "FP32"}, ("y",))
    kept = EngineProcess(server, border, model, BOUNDS, 60.0)
    before = len(os.listdir("/proc/self/fd"))
    assert server._process is not None
    children = Path(f"/proc/{server._process.pid}/task/{server._process.pid}/children")
    engines = len(children.read_text().split())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        with suppress(OSError):
            while True:
                taken.append(os.dup(model))
        for free in range(9):
            for descriptor in taken[:free]:
                os.close(descriptor)
            with suppress(EnginesDown):
                EngineProcess(server, border, model, BOUNDS, 60.0).close()
            with suppress(OSError):
                for number in range(free):
                    taken[number] = os.dup(model)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)
    until(lambda: len(children.read_text().split()) == engines)
    assert len(os.listdir("/proc/self/fd")) == before
    assert kept.run(X, 60.0)[0].tolist() == [[9.0, 12.0]], "the others stay"
    kept.close()
    os.close(model)


def test_a_fork_server_whose_socket_has_a_high_number_is_heard() -> None:
    """`select` takes no descriptor beyond 1023: no engine was to be had beside many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("this machine lets a process have fewer files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    taken = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(1100)]
    own = ForkServer(EngineKind())
    try:
        own.start()
        assert own._control is not None
        assert own._control.fileno() > 1023
    finally:
        own.close()
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_an_engine_holds_of_the_region_is_counted(patient: Engines) -> None:
    """It was nobody's: half a gigabyte that a hostile engine fills by writing."""
    process = process_of(patient.serve(graph(linear(), "y")))
    before = process.resident()
    process._region[process._output_at : process._output_at + (32 << 20)] = bytes(32 << 20)
    assert process.resident() >= before + (32 << 20)


def test_a_newcomer_counts_as_its_tenants(patient: Engines) -> None:
    theirs = [patient.serve(graph(linear(), "y", name=f"m{n}", tenant="rival")) for n in range(3)]
    mine = [patient.serve(graph(linear(), "y", name=f"m{n}")) for n in range(6)]
    assert not any(served.gone for served in theirs)
    assert [served.gone for served in mine] == [True] * 3 + [False] * 3
