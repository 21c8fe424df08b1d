from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.inference.errors import ModelUnavailable
from gateway.inference.models import ServableModel
from gateway.inference.warming import Warming
from gateway.registry.records import ModelVersion
from tests.audit.samples import until
from tests.gateway.parts import TENANT

from .works import Works, works

SECONDS = 60.0


@pytest.fixture
def shop() -> Iterator[Works]:
    with works("rival") as made:
        made.publish("1")
        yield made


def loaded(shop: Works) -> list[tuple[str, str]]:
    return [(version.model, version.version) for version in shop.loads]


def test_what_is_released_is_loaded_before_anybody_asks(shop: Works) -> None:
    shop.publish("2", release=False)
    shop.publish("1", model="other")
    shop.warming().round(SECONDS)
    assert loaded(shop) == [("m", "1"), ("other", "1")]
    asyncio.run(shop.infer())
    shop.warming().round(SECONDS)
    assert loaded(shop) == [("m", "1"), ("other", "1")], "nothing is loaded again"


def test_room_is_not_fought_over(shop: Works) -> None:
    shop.warming(room=False).round(SECONDS)
    assert loaded(shop) == []


def stored(shop: Works, version: ModelVersion, role: str) -> Path:
    (digest,) = [payload.digest for payload in version.payloads if payload.role == role]
    folder = shop.house.base.settings.data_dir
    return next(path for path in folder.rglob(digest))


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_payload_that_is_missing_or_damaged_is_told_and_holds_nobody_up(
    shop: Works, damage: str
) -> None:
    """Callers were told 404, as if there were no such model."""
    path = stored(shop, shop.publish("1", model="broken"), "fused")
    path.chmod(0o600)
    path.unlink() if damage == "missing" else path.write_bytes(b"something else")
    shop.publish("1", model="sound")
    warming = shop.warming()
    warming.round(SECONDS)
    assert warming.unavailable() == {(TENANT, "broken", "1"): "model_unavailable"}
    assert ("sound", "1") in loaded(shop)
    with pytest.raises(ModelUnavailable):
        asyncio.run(shop.infer(model="broken"))
    assert shop.events()[-1]["reason"] == "model_unavailable"


def test_what_cannot_be_served_is_not_promoted(shop: Works) -> None:
    version = shop.publish("2", release=False)
    path = stored(shop, version, "fused")
    path.chmod(0o600)
    path.unlink()
    with pytest.raises(ModelUnavailable):
        shop.warming().promoted(version)


def test_a_store_that_is_down_does_not_keep_the_gateway_from_starting(shop: Works) -> None:
    def down() -> Any:
        raise OSError("the store is down")

    warming = shop.warming()
    warming._tenants = down
    warming._first_round()
    assert warming.done


def test_a_tenant_whose_models_load_slowly_delays_neither_readiness_nor_others(shop: Works) -> None:
    """Versions were loaded one by one: the first that hung held up the start and housekeeping."""
    go = threading.Event()
    for number in range(4):
        shop.publish("1", model=f"a-slow-{number}")
    shop.publish("1", model="m", tenant="rival")
    load = shop.models._load

    def slowly(version: ModelVersion) -> ServableModel:
        if version.model.startswith("a-slow"):
            assert go.wait(30)
        return load(version)

    shop.models._load = slowly
    tenants = [TENANT, "rival"]
    registry = shop.house.stores.registry
    warming = Warming(shop.models, registry, lambda: iter(tenants), lambda _: True, 0.2)
    warming._first_round()
    assert warming.done, "the gateway takes requests"
    until(lambda: ("rival", "m") in {(each.tenant, each.model) for each in shop.loads})
    warming.round()  # housekeeping goes on
    go.set()
    until(lambda: len(loaded(shop)) == 6)
    assert warming.unavailable() == {}


def test_tenants_take_turns_for_the_room_there_is(shop: Works) -> None:
    """The first of the tenants had all of it."""
    for number in range(4):
        shop.publish("1", model=f"m{number}")
    shop.publish("1", model="m", tenant="rival")
    warming = Warming(
        shop.models,
        shop.house.stores.registry,
        lambda: iter([TENANT, "rival"]),
        lambda ahead: len(shop.loads) + ahead < 3,
    )
    warming.round(SECONDS)
    assert {each.tenant for each in shop.loads} == {TENANT, "rival"}


def test_a_caller_who_comes_while_a_version_is_warmed_waits_for_that_load(shop: Works) -> None:
    go, began = threading.Event(), threading.Event()
    load = shop.models._load

    def slowly(version: ModelVersion) -> ServableModel:
        began.set()
        assert go.wait(30)
        return load(version)

    shop.models._load = slowly
    warming = shop.warming()
    warming.round()
    assert began.wait(30)

    async def scenario() -> None:
        asked = asyncio.create_task(shop.infer())
        await asyncio.sleep(0.05)
        go.set()
        await asked

    asyncio.run(scenario())
    assert loaded(shop) == [("m", "1")]


def test_what_is_no_longer_released_is_not_told_any_more(shop: Works) -> None:
    path = stored(shop, shop.publish("1", model="broken"), "fused")
    path.chmod(0o600)
    path.unlink()
    warming = shop.warming()
    warming.round(SECONDS)
    assert warming.unavailable()
    registry = shop.house.stores.registry
    registry.replace_version(replace(shop.version(model="broken"), state="retired"))
    shop.house.changed()
    warming.round(SECONDS)
    assert warming.unavailable() == {}
