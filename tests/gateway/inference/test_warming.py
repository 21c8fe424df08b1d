from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.inference.errors import ModelUnavailable
from gateway.registry.records import ModelVersion
from tests.gateway.parts import TENANT

from .works import Works, works


@pytest.fixture
def shop() -> Iterator[Works]:
    with works() as made:
        made.publish("1")
        yield made


def loaded(shop: Works) -> list[tuple[str, str]]:
    return [(version.model, version.version) for version in shop.loads]


def test_what_is_released_is_loaded_before_anybody_asks(shop: Works) -> None:
    shop.publish("2", release=False)
    shop.publish("1", model="other")
    shop.warming().round()
    assert loaded(shop) == [("m", "1"), ("other", "1")]
    asyncio.run(shop.infer())
    shop.warming().round()
    assert loaded(shop) == [("m", "1"), ("other", "1")], "nothing is loaded again"


def test_room_is_not_fought_over(shop: Works) -> None:
    shop.warming(room=False).round()
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
    warming.round()
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
