"""A shared model that is taken away while several callers ask it without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from gateway.errors import SealgateError
from gateway.inference.errors import ModelNotFound, OutputRefused
from gateway.registry.terms import Terms
from tests.gateway.inference.sharing_works import (
    OWNER,
    RIVAL,
    SHARED,
    THEIR_OWNER,
    asking,
    share,
    two_tenants,
)
from tests.gateway.parts import TENANT

from .works import Works, row

CALLERS, ROUNDS = 6, 5
Act = Callable[[Works], object]


def suspended(shop: Works, *, so: bool) -> None:
    tenant = shop.house.stores.tenants.get(TENANT)
    assert tenant is not None
    shop.house.revocation_state.save_tenant(replace(tenant, suspended=so))


def publish(shop: Works, tenant: str, more: str = "") -> None:
    rules = '@id("all")\npermit (principal, action, resource);\n'
    shop.house.author.publish(tenant, rules + more, "test")


NO_INFER = '@id("no")\nforbid (principal, action == Action::"infer", resource);\n'
WAYS: dict[str, tuple[Act, Act]] = {
    "the owner ends it": (
        lambda shop: shop.house.use.sharings.withdraw(OWNER, "m", RIVAL),
        share,
    ),
    "the other side ends it": (
        lambda shop: shop.house.use.sharings.decline(THEIR_OWNER, TENANT, "m"),
        share,
    ),
    "other terms are offered": (
        lambda shop: shop.house.use.sharings.offer(OWNER, "m", Terms(RIVAL, download=True)),
        share,
    ),
    "the owner is suspended": (
        lambda shop: suspended(shop, so=True),
        lambda shop: suspended(shop, so=False),
    ),
    "the owner's policies forbid it": (
        lambda shop: publish(shop, TENANT, NO_INFER),
        lambda shop: publish(shop, TENANT),
    ),
    "the caller's policies forbid it": (
        lambda shop: publish(shop, RIVAL, NO_INFER),
        lambda shop: publish(shop, RIVAL),
    ),
    "the version is retired": (
        lambda shop: shop.set_state("retired"),
        lambda shop: shop.set_state("released"),
    ),
}


@dataclass
class Load:
    """Callers without a pause, and what they were answered.

    Attributes:
        shut: Whether it was taken away, and that had returned.
        wrong: Answers to calls that began after that.
    """

    shop: Works
    shut: bool = False
    done: bool = False
    answered: int = 0
    refused: int = 0
    wrong: int = 0
    others: list[str] = field(default_factory=list)

    async def caller(self) -> None:
        while not self.done:
            after = self.shut
            try:
                await asking(self.shop)
            except (ModelNotFound, OutputRefused):  # the latter: it was under way
                self.refused += 1
            except SealgateError as fault:
                self.others.append(fault.code)
            else:
                self.answered += 1
                self.wrong += after

    async def some(self, of: str) -> None:
        """Wait until there were some more answers, or refusals."""
        enough = getattr(self, of) + CALLERS
        while getattr(self, of) < enough:  # noqa: ASYNC110 - the callers go on meanwhile
            await asyncio.sleep(0)


@pytest.mark.parametrize("way", WAYS)
def test_issue_8_no_allow_begins_after_it_was_taken_away(way: str) -> None:
    take, give = WAYS[way]

    async def play(shop: Works) -> Load:
        load = Load(shop)
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(load.caller())
            for _ in range(ROUNDS):
                await load.some("answered")
                await asyncio.to_thread(take, shop)
                load.shut = True
                await load.some("refused")
                load.shut = False
                await asyncio.to_thread(give, shop)
            load.done = True
        return load

    with two_tenants() as shop:
        share(shop)
        load = asyncio.run(play(shop))
    assert (load.wrong, load.others) == (0, [])
    assert load.answered >= ROUNDS * CALLERS


def test_a_release_under_load_refuses_nobody() -> None:
    async def play(shop: Works) -> Load:
        load = Load(shop)
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(load.caller())
            for version in ("2", "1", "2"):
                await load.some("answered")
                await asyncio.to_thread(shop.release, version)
            await load.some("answered")
            load.done = True
        return load

    with two_tenants() as shop:
        shop.publish("2", release=False)
        share(shop)
        load = asyncio.run(play(shop))
    assert (load.refused, load.others) == (0, [])


def test_a_request_under_way_when_it_is_ended_gets_no_answer() -> None:
    async def play(shop: Works) -> None:
        gate = shop.gate()
        asked = asyncio.create_task(asking(shop))
        assert await asyncio.to_thread(gate.reached.wait, 30)
        await asyncio.to_thread(shop.house.use.sharings.withdraw, OWNER, "m", RIVAL)
        gate.go.set()
        with pytest.raises(ModelNotFound):
            await asked

    with two_tenants() as shop:
        share(shop)
        asyncio.run(play(shop))
        for tenant in (RIVAL, TENANT):
            event = shop.house.events(tenant)[-1]
            assert (event["outcome"], event["reason"]) == ("deny", "model_not_found")


def test_another_tenants_requests_leave_the_owner_its_turn() -> None:
    """Some of the guest's are with the engine, the others wait in front of it."""

    async def play(shop: Works) -> int:
        gate = shop.gate()
        many = [asyncio.create_task(asking(shop)) for _ in range(40)]
        assert await asyncio.to_thread(gate.reached.wait, 30)
        key = (TENANT, "m", "1")
        while shop.pipeline.guests.waiting(TENANT, "m", RIVAL) < 30:  # noqa: ASYNC110 - so must it
            await asyncio.sleep(0)
        ahead = shop.models.waiting(key)
        mine = asyncio.create_task(shop.infer(row()))
        gate.go.set()
        await mine
        await asyncio.gather(*many)
        return ahead

    with two_tenants() as shop:
        share(shop)
        assert asyncio.run(play(shop)) < 8
        assert SHARED in {event.get("model_id") for event in shop.house.events(RIVAL)}
