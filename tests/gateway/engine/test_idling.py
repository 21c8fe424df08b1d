"""Engines that compute although nothing runs."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from gateway.engine.errors import Gone, SetAside
from gateway.engine.forking import ForkServer
from gateway.engine.idling import LOOK_SECONDS, LOOKS, IdleWatch, taken_by
from gateway.engine.ports import EngineKind
from gateway.engine.process import EngineProcess
from tests.audit.samples import until
from tests.gateway.artifacts.hostile_models import endless_loop, linear
from tests.gateway.engine.engines import X, graph, pool, process_of
from tests.gateway.engine.hostile import HostileServer, honest, served


class Watched:
    """An engine as the watch sees it."""

    pid = 7
    wide = False


def looks(steps: list[tuple[float, float]], *, wide: bool = False) -> list[bool]:
    """What the watch says after each period of (seconds computed, seconds of runs)."""
    taken, ran, found = 0.0, 0.0, []
    clock = itertools.count(0.0, LOOK_SECONDS)
    engine = Watched()
    engine.wide = wide
    watch = IdleWatch(lambda _: taken, lambda: next(clock))
    watch.burns(cast(EngineProcess, engine), 0.0)
    for computed, runs in steps:
        taken, ran = taken + computed, ran + runs
        found.append(watch.burns(cast(EngineProcess, engine), ran))
    return found


def test_a_whole_processor_with_nothing_to_run_is_seen() -> None:
    assert looks([(LOOK_SECONDS, 0.0)] * LOOKS) == [False] * (LOOKS - 1) + [True]


@pytest.mark.parametrize(
    "steps",
    [
        [(0.0, 0.0)],  # it waits
        [(LOOK_SECONDS, LOOK_SECONDS)],  # it runs all the time
        [(2.0, 1.5), (0.4, 0.1)],  # and gives memory back after peaks
        [(LOOK_SECONDS, 0.0), (0.0, LOOK_SECONDS)],  # a run that was noted late
        [(0.1, LOOK_SECONDS)],  # a run that waits
    ],
)
def test_a_sound_engine_is_left_alone(steps: list[tuple[float, float]]) -> None:
    assert not any(looks(steps * 20))


def test_threads_of_another_kind_run_beside_each_other() -> None:
    many = float(os.cpu_count() or 1)
    assert not any(looks([(many * 10.0, 10.0)] * 5, wide=True))


def test_an_engine_that_has_ended_is_no_matter() -> None:
    assert not IdleWatch().burns(cast(EngineProcess, process(1 << 22)), 0.0)


def process(pid: int) -> Any:
    made = Watched()
    made.pid = pid
    return made


def test_an_idle_engine_that_burns_is_ended_with_a_reason_and_its_model_rests() -> None:
    """Nothing ran, so there was no deadline: it could keep a processor for ever."""
    aside: list[str] = []
    it = served(HostileServer(honest), aside=aside)

    async def scenario() -> None:
        assert (await it.run(X, 1))[0].tolist() == [1.0]
        it.end_burning(lambda *_: False)
        assert (await it.run(X, 1))[0].tolist() == [1.0]
        await asyncio.to_thread(it.end_burning, lambda *_: True)
        await asyncio.to_thread(until, lambda: not it.engines)
        with pytest.raises(SetAside):
            await it.run(X, 1)
        it.close()

    asyncio.run(scenario())
    assert aside == ["idle"]


def test_one_that_burns_before_anybody_asked_is_ended_as_well() -> None:
    aside: list[str] = []
    it = served(HostileServer(honest), aside=aside)
    it.end_burning(lambda *_: True)
    assert (it.gone, it.engines, aside) == (True, 0, ["idle"])
    with pytest.raises(Gone):
        asyncio.run(it.run(X, 1))


def test_time_of_runs_is_told_to_the_watch() -> None:
    it = served(HostileServer(honest))
    told: list[float] = []

    def note(_: EngineProcess, ran: float) -> bool:
        told.append(ran)
        return False

    async def scenario() -> None:
        it.end_burning(note)
        for _ in range(5):
            await it.run(X, 1)
            it.end_burning(note)
        it.close()

    asyncio.run(scenario())
    assert told[0] == 0.0
    assert told == sorted(told)
    assert told[-1] > 0.0


@pytest.mark.e2e
def test_what_a_process_takes_is_read_by_anybody() -> None:
    loops = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before = taken_by(loops.pid)
        until(lambda: taken_by(loops.pid) > before + 0.2)
    finally:
        loops.kill()
        loops.wait()
    with pytest.raises(OSError, match=r"Invalid|No such"):
        taken_by(loops.pid)


@pytest.fixture
def server() -> Iterator[ForkServer]:
    made = ForkServer(EngineKind())
    made.start()
    yield made
    made.close()


@pytest.mark.e2e
def test_a_real_engine_is_sound_while_it_waits_or_runs_and_burns_when_no_run_explains_it(
    server: ForkServer,
) -> None:
    engines = next(made := pool(server, [], 60.0))
    idle, busy = engines.serve(graph(linear(), "y")), engines.serve(graph(endless_loop(), name="n"))
    watch = IdleWatch()

    async def scenario() -> None:
        await idle.run(X, 1)
        run = asyncio.create_task(busy.run({"x": np.ones(1, np.float32)}, 1))
        await asyncio.sleep(0.05)
        for _ in range(3 * LOOKS):
            for each in (idle, busy):
                each.end_burning(watch.burns)
            await asyncio.sleep(0.1)
        assert not run.done()
        hijacked = IdleWatch()
        process = process_of(busy)
        await asyncio.to_thread(until, lambda: hijacked.burns(process, 0.0))
        assert (await idle.run(X, 1))[0].tolist() == [[9.0, 12.0]]
        busy.close()
        await asyncio.gather(run, return_exceptions=True)
        idle.close()

    asyncio.run(scenario())
    assert next(made, None) is None
