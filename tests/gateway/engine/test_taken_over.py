"""An engine that its model has taken over: it writes and rings what and when it likes."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

from gateway.engine import wire
from gateway.engine.errors import (
    EngineError,
    EngineFailed,
    EnginesDown,
    Gone,
    RunFailed,
    RunTimeout,
)
from gateway.engine.health import MAX_ENDS
from gateway.engine.orders import Order
from gateway.engine.process import MAX_TEXTS, EngineProcess
from gateway.engine.served import Served
from gateway.engine.starting import Recipe
from tests.audit.samples import until
from tests.gateway.engine.hostile import (
    HostileServer,
    Taken,
    X,
    engine,
    honest,
    served,
)


def fill_the_bell_of_the_gateway(taken: Taken) -> None:
    """Once an eventfd whose count the engine made as large as can be: the next ring blocked."""
    with suppress(OSError):
        os.eventfd_write(taken.asked, (1 << 64) - 2)
    with suppress(OSError):
        os.write(taken.asked, b"\1" * 8)
    honest(taken)


def test_no_engine_makes_the_gateway_wait_at_its_bell() -> None:
    it = served(HostileServer(fill_the_bell_of_the_gateway))

    async def scenario() -> None:
        assert (await it.run(X, 1))[0].tolist() == [1.0]
        it.close()

    asyncio.run(scenario())


def test_the_gateways_ends_are_its_own() -> None:
    """A flag of an open file is shared by all who hold it: the engine could take O_NONBLOCK off."""
    held: list[Taken] = []
    process = engine(HostileServer(held.append))
    until(lambda: len(held) > 0)
    for descriptor in (held[0].asked, held[0].bell):
        os.set_blocking(descriptor, True)
    assert not os.get_blocking(process.bell)
    assert process.rang(), "an empty bell is no reason to wait"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(held[0].bell, 1)
    process.close()


def test_an_engine_that_rings_unasked_is_ended_and_fails_nobody() -> None:
    """Each ring once made the gateway copy an answer as large as the engine liked."""

    def unasked(taken: Taken) -> None:
        taken.await_run()
        taken.answer()
        taken.await_run()
        taken.answer()
        while not taken.dead.wait(0.01):
            taken.ring(5)

    server = HostileServer(unasked, honest)
    it = served(server)

    async def scenario() -> None:
        assert (await it.run(X, 1))[0].tolist() == [1.0]
        asked = 2
        with suppress(EngineFailed):
            await it.run(X, 1)
        while server.forked < 2:
            asked += 1
            with suppress(EngineFailed):
                await it.run(X, 1)
            await asyncio.sleep(0.01)
        assert (await it.run(X, 1))[0].tolist() == [1.0]
        assert it.runs <= asked + 1, "no ring but one for each run was taken for an answer"
        it.close()

    asyncio.run(scenario())


def test_nonsense_fails_its_run_and_what_waits_goes_to_the_next_engine() -> None:
    def nonsense(taken: Taken) -> None:
        taken.await_run()
        taken.region[wire.ANSWER_AT : wire.ANSWER_AT + 8] = b"\xff" * 8
        taken.ring()
        taken.dead.wait(30)

    aside: list[str] = []
    it = served(HostileServer(nonsense, honest), aside=aside)

    async def scenario() -> None:
        first = asyncio.create_task(it.run(X, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = [asyncio.create_task(it.run(X, 1)) for _ in range(3)]
        with pytest.raises(EngineFailed):
            await first
        assert [found[0].tolist() for found in await asyncio.gather(*rest)] == [[1.0]] * 3
        it.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("told", ["FP64", "INT32", "BYTES"])
def test_an_output_of_another_datatype_than_was_signed_for_never_leaves(told: str) -> None:
    """What a run gave was not compared with the signed manifest."""

    def other(taken: Taken) -> None:
        taken.await_run()
        taken.answer()
        taken.await_run()
        taken.say(wire.DONE, (wire.DATATYPES.index(told), (1,), 8 if told == "FP64" else 4))
        taken.ring()
        taken.dead.wait(30)

    server = HostileServer(other, honest)
    recipe = Recipe("acme", "m", "1", lambda: engine(server, "FP32"), rows=8)
    it = Served(recipe, engine(server, "FP32"), 30.0, lambda *_: None)

    async def scenario() -> None:
        assert (await it.run(X, 1))[0].tolist() == [1.0]
        with pytest.raises(EngineFailed):
            await it.run(X, 1)
        assert (await it.run(X, 1))[0].tolist() == [1.0], "the next engine is honest"
        it.close()

    asyncio.run(scenario())


def test_an_engine_over_its_deadline_gets_no_more_runs() -> None:
    """It may answer at the moment of its end; what waits would have met the end instead."""

    def late(taken: Taken) -> None:
        taken.await_run()
        taken.dead.wait(30)
        with suppress(OSError):
            taken.answer()

    it = served(HostileServer(late, honest), timeout=0.3)

    async def scenario() -> None:
        first = asyncio.create_task(it.run(X, 1))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(it.run(X, 1))
        with pytest.raises(RunTimeout):
            await first
        assert (await second)[0].tolist() == [1.0]
        it.close()

    asyncio.run(scenario())


def test_texts_without_end_are_refused_before_they_are_read() -> None:
    """Sixteen million empty texts fit into 64 MB, and kept the event loop for seconds."""

    def many(taken: Taken) -> None:
        while taken.await_run():
            count = MAX_TEXTS + 1
            taken.say(wire.DONE, (wire.TEXT, (count,), 4 * count))
            taken.ring()

    it = served(HostileServer(many))

    async def scenario() -> None:
        with pytest.raises(RunFailed, match="larger than one answer"):
            await it.run(X, 1)
        it.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["FP32", "BYTES"])
def test_a_bulky_answer_is_copied_aside_and_is_whole(kind: str) -> None:
    count = 1 << 20

    def bulky(taken: Taken) -> None:
        while taken.await_run():
            taken.say(wire.DONE, (wire.DATATYPES.index(kind), (count,), 4 * count))
            taken.ring()

    it = served(HostileServer(bulky))

    async def scenario() -> None:
        (found,) = await it.run(X, 1)
        assert found.shape == (count,)
        assert not found.any()
        it.close()

    asyncio.run(scenario())


def test_callers_who_hang_up_do_not_set_a_model_aside() -> None:
    """One impatient caller would have cost all of the tenant the model for up to half an hour."""

    def slow(taken: Taken) -> None:
        taken.await_run()
        taken.dead.wait(30)

    aside: list[str] = []
    server = HostileServer(*[slow] * (MAX_ENDS + 1), honest)
    it = served(server, aside=aside)

    def began(engines: int) -> bool:
        return server.forked >= engines and it.engines == 1

    async def scenario() -> None:
        for number in range(MAX_ENDS + 1):
            task = asyncio.create_task(it.run(X, 1))
            await asyncio.sleep(0.01)
            place = it._places[0]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            it._give_up(place, place.flight)  # not a second later
            await asyncio.to_thread(until, partial(began, number + 2))
        assert (await it.run(X, 1))[0].tolist() == [1.0]
        it.close()

    asyncio.run(scenario())
    assert aside == []


def test_what_was_running_when_room_was_made_is_asked_for_anew() -> None:
    held = threading.Event()

    def busy(taken: Taken) -> None:
        taken.await_run()
        held.set()
        taken.dead.wait(30)

    it = served(HostileServer(busy))

    async def scenario() -> None:
        running = asyncio.create_task(it.run(X, 1))
        assert await asyncio.to_thread(held.wait, 10)
        waiting = asyncio.create_task(it.run(X, 1))
        await asyncio.sleep(0)
        await asyncio.to_thread(it.close)
        found = await asyncio.gather(running, waiting, return_exceptions=True)
        assert [type(each) for each in found] == [Gone, Gone]

    asyncio.run(scenario())


def test_an_engine_that_is_started_while_its_version_is_given_up_ends() -> None:
    """It was left to itself for as long as the gateway lived."""
    go = threading.Event()

    def dies(taken: Taken) -> None:
        taken.await_run()
        os.close(os.dup(taken.bell))
        raise OSError

    server = HostileServer(dies, honest)

    def slowly() -> EngineProcess:
        process = engine(server)
        assert go.wait(30)
        return process

    it = Served(Recipe("acme", "m", "1", slowly), engine(server), 30.0, lambda *_: None)

    async def scenario() -> None:
        with pytest.raises(EngineFailed):
            await it.run(X, 1)
        await asyncio.to_thread(until, lambda: server.forked == 2)
        it.close()
        await asyncio.sleep(0.05)
        go.set()
        await asyncio.to_thread(until, lambda: not server.open)

    asyncio.run(scenario())


@pytest.mark.parametrize("fault", [EnginesDown(), RuntimeError("a thread"), IndexError("a fault")])
def test_whatever_keeps_an_engine_from_starting_is_told_to_what_waits(fault: Exception) -> None:
    """A fault that is not ours left the version without an engine for good."""

    def dies(taken: Taken) -> None:
        taken.await_run()
        raise OSError

    def never() -> EngineProcess:
        raise fault

    it = Served(Recipe("acme", "m", "1", never), engine(HostileServer(dies)), 30.0, lambda *_: None)

    async def scenario() -> None:
        tasks = [asyncio.create_task(it.run(X, 1)) for _ in range(3)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in found] == [EngineFailed, EnginesDown, EnginesDown]
        with pytest.raises(Gone):
            await it.run(X, 1)

    asyncio.run(scenario())


def test_inputs_that_cannot_be_laid_out_fail_themselves_only_however_many_wait() -> None:
    """One failed all that shared its run; some hundreds were more than Python's stack holds."""
    it = served(HostileServer(honest))
    strange = {"y": np.ones((1, 3), np.float32)}

    async def scenario() -> None:
        bad = [asyncio.create_task(it.run(strange, 1)) for _ in range(1000)]
        good = asyncio.create_task(it.run(X, 1))
        found = await asyncio.gather(*bad, return_exceptions=True)
        assert {type(each) for each in found} == {RunFailed}
        assert (await good)[0].tolist() == [1.0]
        it.close()

    asyncio.run(scenario())


def test_a_first_request_and_the_end_of_its_version_do_not_meet() -> None:
    """The loop would have watched descriptors that were closed, or were another's by then."""
    for _ in range(30):
        it = served(HostileServer(honest))

        async def scenario(it: Served = it) -> None:
            closing = asyncio.to_thread(it.close)
            with suppress(Gone):
                await asyncio.gather(it.run(X, 1), closing)

        asyncio.run(scenario())
        assert it.engines == 0


def test_engines_serve_one_event_loop_at_a_time() -> None:
    """Two loops that heard the same bell took each other's answers: a sound engine was ended."""
    it = served(HostileServer(honest))

    async def elsewhere() -> None:
        def once_more() -> None:
            with pytest.raises(RuntimeError, match="one event loop"):
                asyncio.run(it.run(X, 1))

        await it.run(X, 1)
        await asyncio.to_thread(once_more)
        assert (await it.run(X, 1))[0].tolist() == [1.0]

    asyncio.run(elsewhere())

    async def later() -> None:
        assert (await it.run(X, 1))[0].tolist() == [1.0]
        it.close()

    asyncio.run(later())


def test_an_engine_that_cannot_be_started_leaves_no_descriptor() -> None:
    class Full(HostileServer):
        def fork(self, order: Order, descriptors: Sequence[int]) -> tuple[int, int]:
            raise OSError(24, "too many open files")

    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(EngineError):
        engine(Full(honest))
    assert set(os.listdir("/proc/self/fd")) <= before  # engines of before may end meanwhile
