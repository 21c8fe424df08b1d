from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from gateway.engine.served import Served
from gateway.inference.errors import ModelUnavailable
from gateway.inference.models import Models, ServableModel
from gateway.registry.records import ModelVersion
from gateway.screening.contract import Contract


class Engine:
    """Knows only whether it was given up."""

    gone = False
    runs = 3

    def close(self) -> None:
        self.gone = True


def servable() -> ServableModel:
    return ServableModel(
        engine=cast(Served, Engine()),
        inputs=(),
        outputs=(),
        wanted=("y",),
        contract=Contract((), max_rows=1),
        judge=None,
        profile_digest="",
    )


def version(model: str = "m", number: str = "1", tenant: str = "acme") -> ModelVersion:
    return ModelVersion(tenant, model, number, "released", 0, "test")


class Loader:
    """Loads when a test lets it, and fails when it says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.began = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.fault: Exception | None = None

    def __call__(self, wanted: ModelVersion) -> ServableModel:
        self.calls.append((wanted.tenant, wanted.model, wanted.version))
        self.began.set()
        assert self.go.wait(30)
        if self.fault is not None:
            raise self.fault
        return servable()


def test_however_many_ask_a_model_is_loaded_once() -> None:
    loader = Loader()
    models = Models(loader)

    async def scenario() -> list[ServableModel]:
        loader.go.clear()
        tasks = [asyncio.create_task(models.get(version())) for _ in range(20)]
        await asyncio.to_thread(loader.began.wait, 10)
        loader.go.set()
        found = await asyncio.gather(*tasks)
        return [*found, await models.get(version())]

    found = asyncio.run(scenario())
    assert len(loader.calls) == 1
    assert len({id(model) for model in found}) == 1


def test_a_failed_load_is_told_to_all_and_tried_anew_by_the_next() -> None:
    loader = Loader()
    loader.fault = ModelUnavailable()
    models = Models(loader)

    async def scenario() -> tuple[list[Any], ServableModel]:
        loader.go.clear()
        tasks = [asyncio.create_task(models.get(version())) for _ in range(5)]
        await asyncio.to_thread(loader.began.wait, 10)
        loader.go.set()
        refused = await asyncio.gather(*tasks, return_exceptions=True)
        loader.fault = None
        return refused, await models.get(version())

    refused, model = asyncio.run(scenario())
    assert [type(fault) for fault in refused] == [ModelUnavailable] * 5
    assert isinstance(model, ServableModel)
    assert len(loader.calls) == 2


def test_one_who_gives_up_takes_the_model_from_nobody_else() -> None:
    loader = Loader()
    models = Models(loader)

    async def scenario() -> ServableModel:
        loader.go.clear()
        impatient, patient = (asyncio.create_task(models.get(version())) for _ in range(2))
        await asyncio.to_thread(loader.began.wait, 10)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        loader.go.set()
        return await patient

    assert isinstance(asyncio.run(scenario()), ServableModel)
    assert len(loader.calls) == 1


def test_the_engine_of_a_swept_model_ends() -> None:
    loader = Loader()
    models = Models(loader)

    async def scenario() -> ServableModel:
        return await models.get(version())

    model = asyncio.run(scenario())
    assert not model.engine.gone
    models.sweep(lambda key, _: key != ("acme", "m", "1"))
    assert model.engine.gone


def test_a_version_whose_engine_was_given_up_is_loaded_anew() -> None:
    loader = Loader()
    models = Models(loader)

    async def scenario() -> None:
        model = await models.get(version())
        model.engine.close()
        assert (await models.get(version())).engine is not model.engine
        assert models.runs(("acme", "m", "1")) == 6, "those of the earlier engine count, too"

    asyncio.run(scenario())
    assert len(loader.calls) == 2


def test_what_is_prepared_is_not_loaded_in_a_callers_request() -> None:
    loader = Loader()
    models = Models(loader)
    models.prepare(version())
    models.prepare(version())

    async def scenario() -> None:
        await models.get(version())

    asyncio.run(scenario())
    assert len(loader.calls) == 1


def test_only_what_is_no_longer_wanted_is_loaded_anew() -> None:
    loader = Loader()
    models = Models(loader)
    versions = [version("a", "1"), version("a", "2"), version("b"), version("a", tenant="rival")]

    async def reloaded() -> set[tuple[str, str, str]]:
        loader.calls.clear()
        for wanted in versions:
            await models.get(wanted)
        return set(loader.calls)

    async def scenario() -> None:
        assert len(await reloaded()) == 4
        assert await reloaded() == set()
        models.sweep(lambda key, _: key[:2] != ("acme", "a"))
        assert await reloaded() == {("acme", "a", "1"), ("acme", "a", "2")}

    asyncio.run(scenario())
