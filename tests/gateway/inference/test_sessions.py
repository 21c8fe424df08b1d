from __future__ import annotations

import asyncio
import gc
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from gateway.inference.errors import ModelUnavailable, RunFailed, RunTimeout
from gateway.inference.fair_executor import FairExecutor
from gateway.inference.sessions import ServableModel, Sessions, Watchdog, open_session
from gateway.registry.records import ModelVersion
from gateway.screening.contract import Contract
from tests.gateway.artifacts.hostile_models import (
    build,
    constant,
    endless_loop,
    linear,
    node,
    tensor,
)

ENDLESS = endless_loop().SerializeToString()
ONE = {"x": np.ones(1, np.float32)}
# The loop goes on while its sum equals itself, which the sum of "not a number" does not.
ENDS = {"x": np.full(1, np.nan, np.float32)}


@pytest.fixture(scope="module")
def watchdog() -> Iterator[Watchdog]:
    """Stops runs after a twentieth of a second."""
    made = Watchdog(0.05)
    made.start()
    yield made
    made.close()


def servable(
    graph: bytes, *wanted: str, size: int = 1, inline: bool = False, session: Any = None
) -> ServableModel:
    return ServableModel(
        session=session or open_session(graph),
        inputs=(),
        outputs=(),
        wanted=wanted or ("y",),
        contract=Contract((), max_rows=1),
        judge=None,
        profile_digest="",
        size=size,
        inline=inline,
    )


def version(model: str = "m", number: str = "1", tenant: str = "acme") -> ModelVersion:
    return ModelVersion(tenant, model, number, "released", 0, "test")


class Loader:
    """Loads when a test lets it, and fails when it says so."""

    def __init__(self, size: int = 1) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.began = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.fault: Exception | None = None
        self.size = size

    def __call__(self, wanted: ModelVersion) -> ServableModel:
        self.calls.append((wanted.tenant, wanted.model, wanted.version))
        self.began.set()
        assert self.go.wait(30)
        if self.fault is not None:
            raise self.fault
        return servable(b"", size=self.size, session=object())


def cache(loader: Callable[[ModelVersion], ServableModel], max_bytes: int = 100) -> Sessions:
    return Sessions(loader, Watchdog(1.0), FairExecutor(), max_bytes)


@pytest.mark.parametrize("inline", [False, True])
def test_an_endless_run_is_stopped_and_the_session_answers_again(
    watchdog: Watchdog, inline: bool
) -> None:
    model = servable(ENDLESS, inline=inline)
    sessions = Sessions(lambda _: model, watchdog, FairExecutor(), 1)
    with pytest.raises(RunTimeout):
        asyncio.run(sessions.run("acme", model, ONE))
    answer = asyncio.run(sessions.run("acme", model, ENDS))
    assert np.isnan(answer["y"]).all()


def test_an_endless_run_keeps_nobody_else_waiting(watchdog: Watchdog) -> None:
    endless = servable(ENDLESS)
    quick = servable(linear().SerializeToString(), "label", "y")
    sessions = Sessions(lambda _: endless, watchdog, FairExecutor(), 1)

    async def scenario() -> dict[str, Any]:
        held = asyncio.create_task(sessions.run("acme", endless, ONE))
        await asyncio.sleep(0)
        answer = await sessions.run("acme", quick, {"x": np.ones((1, 3), np.float32)})
        with pytest.raises(RunTimeout):
            await held
        return answer

    answer = asyncio.run(scenario())
    assert answer["y"].tolist() == [[9.0, 12.0]]
    assert answer["label"].tolist() == [1]


def test_many_endless_runs_are_all_stopped(watchdog: Watchdog) -> None:
    model = servable(ENDLESS)
    sessions = Sessions(lambda _: model, watchdog, FairExecutor(), 1)

    async def scenario() -> list[Any]:
        runs = (sessions.run("acme", model, ONE) for _ in range(4))
        return await asyncio.gather(*runs, return_exceptions=True)

    assert [type(fault) for fault in asyncio.run(scenario())] == [RunTimeout] * 4


def gather() -> bytes:
    """Looks rows of a table up; onnxruntime quotes an index that is out of it."""
    model = build(
        [node("Gather", ["table", "x"], ["y"])],
        inputs=[tensor("x", ["n"], onnx.TensorProto.INT64)],
        outputs=[tensor("y", ["n"])],
        constants=[constant("table", [1.0, 2.0], np.float32)],
    )
    return bytes(model.SerializeToString())


def test_a_failing_run_says_nothing_of_its_input(watchdog: Watchdog) -> None:
    model = servable(gather())
    asked = {"x": np.array([424_242], np.int64)}
    with pytest.raises(Exception, match="424242"):
        model.session.run(["y"], asked)
    with pytest.raises(RunFailed) as failed:
        watchdog.run(model.session, model.wanted, asked)
    assert "424242" not in "".join(traceback.format_exception(failed.value))
    answer = watchdog.run(model.session, model.wanted, {"x": np.array([1], np.int64)})
    assert answer[0].tolist() == [2.0]


def test_bytes_that_are_no_graph_fail_as_ours() -> None:
    with pytest.raises(RunFailed, match="the model could not be loaded"):
        open_session(b"no graph")


def test_however_many_ask_a_model_is_loaded_once() -> None:
    loader = Loader()
    sessions = cache(loader)

    async def scenario() -> list[ServableModel]:
        loader.go.clear()
        tasks = [asyncio.create_task(sessions.get(version())) for _ in range(20)]
        await asyncio.to_thread(loader.began.wait, 10)
        loader.go.set()
        found = await asyncio.gather(*tasks)
        return [*found, await sessions.get(version())]

    found = asyncio.run(scenario())
    assert len(loader.calls) == 1
    assert len({id(model) for model in found}) == 1


def test_a_failed_load_is_told_to_all_and_tried_anew_by_the_next() -> None:
    loader = Loader()
    loader.fault = ModelUnavailable()
    sessions = cache(loader)

    async def scenario() -> tuple[list[Any], ServableModel]:
        loader.go.clear()
        tasks = [asyncio.create_task(sessions.get(version())) for _ in range(5)]
        await asyncio.to_thread(loader.began.wait, 10)
        loader.go.set()
        refused = await asyncio.gather(*tasks, return_exceptions=True)
        loader.fault = None
        return refused, await sessions.get(version())

    refused, model = asyncio.run(scenario())
    assert [type(fault) for fault in refused] == [ModelUnavailable] * 5
    assert isinstance(model, ServableModel)
    assert len(loader.calls) == 2


def test_one_who_gives_up_takes_the_model_from_nobody_else() -> None:
    loader = Loader()
    sessions = cache(loader)

    async def scenario() -> ServableModel:
        loader.go.clear()
        impatient, patient = (asyncio.create_task(sessions.get(version())) for _ in range(2))
        await asyncio.to_thread(loader.began.wait, 10)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        loader.go.set()
        return await patient

    assert isinstance(asyncio.run(scenario()), ServableModel)
    assert len(loader.calls) == 1


def test_the_memory_of_a_swept_model_is_given_back() -> None:
    class Session:
        """Tells when it goes."""

    gone = threading.Event()

    def load(_: ModelVersion) -> ServableModel:
        session = Session()
        weakref.finalize(session, gone.set)
        return servable(b"", session=session)

    sessions = cache(load)

    async def load_one() -> None:
        await sessions.get(version())

    asyncio.run(load_one())
    gc.collect()
    assert not gone.is_set()
    sessions.sweep(lambda key, _: key != ("acme", "m", "1"))
    gc.collect()
    assert gone.is_set()


def test_only_what_is_no_longer_wanted_is_loaded_anew() -> None:
    loader = Loader()
    sessions = cache(loader)
    versions = [version("a", "1"), version("a", "2"), version("b"), version("a", tenant="rival")]

    async def reloaded() -> set[tuple[str, str, str]]:
        loader.calls.clear()
        for wanted in versions:
            await sessions.get(wanted)
        return set(loader.calls)

    async def scenario() -> None:
        assert len(await reloaded()) == 4
        assert await reloaded() == set()
        sessions.sweep(lambda key, _: key[:2] != ("acme", "a"))
        assert await reloaded() == {("acme", "a", "1"), ("acme", "a", "2")}

    asyncio.run(scenario())


def test_the_least_recently_used_model_leaves_first() -> None:
    loader = Loader(size=40)
    sessions = cache(loader, max_bytes=100)

    async def scenario() -> None:
        for name in ("a", "b", "a", "c"):  # the third would be the hundred-and-twentieth byte
            await sessions.get(version(name))
        loader.calls.clear()
        await sessions.get(version("a"))
        await sessions.get(version("c"))
        assert loader.calls == []
        await sessions.get(version("b"))
        assert [model for _, model, _ in loader.calls] == ["b"]

    asyncio.run(scenario())


def test_a_model_beyond_the_bound_is_served_all_the_same() -> None:
    loader = Loader(size=1000)
    sessions = cache(loader, max_bytes=100)

    async def scenario() -> None:
        first = await sessions.get(version("a"))
        assert await sessions.get(version("a")) is first
        await sessions.get(version("b"))
        await sessions.get(version("a"))

    asyncio.run(scenario())
    assert [model for _, model, _ in loader.calls] == ["a", "b", "a"]


def test_a_large_request_leaves_the_event_loop_even_when_its_model_is_quick() -> None:
    watchdog = Watchdog(30.0)
    seen: list[str] = []

    class Session:
        def run(self, names: Any, inputs: Any, options: Any) -> list[Any]:
            seen.append(threading.current_thread().name)
            return [inputs["x"]]

    model = replace(servable(b"", session=Session()), inline=True)
    sessions = Sessions(lambda _: model, watchdog, FairExecutor(), 1)
    asyncio.run(sessions.run("acme", model, {"x": np.zeros(1 << 14, np.float32)}))
    asyncio.run(sessions.run("acme", model, {"x": np.zeros((1 << 14) + 1, np.float32)}))
    assert seen[0] == threading.main_thread().name
    assert seen[1] != seen[0]


def test_a_model_that_only_seemed_quick_holds_the_event_loop_once() -> None:
    """Quick when timed, endless for an input made for it: once one tenant could stop all."""
    watchdog = Watchdog(0.2)
    watchdog.start()
    ran: list[str] = []

    class Watched:
        """The session, telling which thread runs it."""

        def __init__(self, session: Any) -> None:
            self._session = session

        def run(self, *arguments: Any) -> Any:
            ran.append(threading.current_thread().name)
            return self._session.run(*arguments)

    sessions = Sessions(
        lambda _: servable(b"", session=Watched(open_session(ENDLESS)), inline=True),
        watchdog,
        FairExecutor(),
        100,
    )

    async def scenario() -> None:
        for _ in range(2):
            with pytest.raises(RunTimeout):
                await sessions.run("acme", await sessions.get(version()), ONE)
        answer = await sessions.run("acme", await sessions.get(version()), ENDS)
        assert np.isnan(answer["y"]).all()

    asyncio.run(scenario())
    watchdog.close()
    on_the_loop = [name == threading.main_thread().name for name in ran]
    assert on_the_loop == [True, False, False, False]
