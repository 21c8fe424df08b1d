from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import NotFound, SealgateError
from gateway.identity.errors import InvalidToken
from gateway.identity.tokens import parse_access_token
from gateway.inference.errors import ModelNotFound, OutputRefused
from gateway.inference.oip import OipBody
from gateway.inference.pipeline import InferAnswer
from gateway.inference.routing import Routes
from tests.gateway.parts import NOW, TENANT

from .works import Works, head


def _revoke(shop: Works, token: str) -> None:
    issuer, _, unverified = parse_access_token(token.encode())
    shop.house.revocation_state.revoke_token(issuer, unverified.claims["jti"], int(NOW) + 300)


def _disable(shop: Works, token: str) -> None:
    shop.house.revocation_state.save_client(replace(shop.client(), disabled=True))


def _demote(shop: Works, token: str) -> None:
    shop.house.revocation_state.save_client(replace(shop.client(), roles=frozenset({"officer"})))


def _suspend(shop: Works, token: str) -> None:
    tenant = shop.house.stores.tenants.get(TENANT)
    assert tenant is not None
    shop.house.revocation_state.save_tenant(replace(tenant, suspended=True))


def _unregister(shop: Works, token: str) -> None:
    tenant = shop.house.stores.tenants.get(TENANT)
    assert tenant is not None
    shop.house.revocation_state.save_tenant(replace(tenant, purposes=frozenset()))


def _forbid(shop: Works, token: str) -> None:
    text = '@id("none")\nforbid (principal, action == Action::"releaseOutput", resource);'
    shop.house.author.publish(TENANT, text, "test")


def _retire(shop: Works, token: str) -> None:
    shop.set_state("retired")


CHANGES: dict[str, tuple[Callable[[Works, str], None], tuple[type[SealgateError], ...]]] = {
    "token revoked": (_revoke, (InvalidToken,)),
    "client disabled": (_disable, (InvalidToken,)),
    "client of other roles": (_demote, (InvalidToken,)),
    "tenant suspended": (_suspend, (InvalidToken,)),
    "purpose withdrawn": (_unregister, (OutputRefused,)),
    "policy withdrawn": (_forbid, (OutputRefused,)),
    "version retired": (_retire, (ModelNotFound, NotFound)),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_was_taken_away_while_the_model_ran_is_not_released(shop: Works, kind: str) -> None:
    change, refusals = CHANGES[kind]
    token, gate = shop.bearer(), shop.gate()

    async def scenario() -> None:
        task = asyncio.create_task(shop.infer(token=token))
        assert await asyncio.to_thread(gate.reached.wait, 10)
        await asyncio.to_thread(change, shop, token)
        gate.go.set()
        with pytest.raises(refusals):
            await task

    asyncio.run(scenario())
    event = shop.events()[-1]
    assert event["outcome"] in ("deny", "error")
    assert event["reason"] in {refusal.code for refusal in refusals}
    assert "screening" in event, "it was refused after the model had answered"


def test_a_change_that_concerns_others_does_not_stop_an_answer(shop: Works) -> None:
    gate = shop.gate()

    async def scenario() -> InferAnswer[OipBody]:
        task = asyncio.create_task(shop.infer())
        assert await asyncio.to_thread(gate.reached.wait, 10)
        shop.client("owner")
        await asyncio.to_thread(
            shop.house.revocation_state.save_client, replace(shop.client("owner"), disabled=True)
        )
        gate.go.set()
        return await task

    assert head(asyncio.run(scenario()))["model_version"] == "1"


def test_a_release_that_moves_meanwhile_does_not_change_who_answered(shop: Works) -> None:
    shop.publish("2", release=False)
    gate = shop.gate()

    async def scenario() -> InferAnswer[OipBody]:
        task = asyncio.create_task(shop.infer())
        assert await asyncio.to_thread(gate.reached.wait, 10)
        await asyncio.to_thread(shop.release, "2")
        gate.go.set()
        return await task

    answer = asyncio.run(scenario())
    assert head(answer)["model_version"] == "1"
    assert shop.events()[-1]["model_version"] == "1"


class Interrupted:
    """The registry, in which something happens just after a version was read a second time."""

    def __init__(self, registry: Any, change: Callable[[], None]) -> None:
        self._registry = registry
        self._change: Callable[[], None] | None = change
        self.armed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def get_version(self, tenant: str, model: str, version: str) -> Any:
        found = self._registry.get_version(tenant, model, version)
        if self.armed and self._change is not None:
            change, self._change = self._change, None
            change()
        return found


@pytest.mark.parametrize("kind", ["token revoked", "client disabled", "version retired"])
def test_what_is_taken_away_during_the_second_look_is_not_released_either(
    shop: Works, kind: str
) -> None:
    """The caller is looked at, then the version: what changes between the two counts as well."""
    change, refusals = CHANGES[kind]
    token, gate = shop.bearer(), shop.gate()
    registry = Interrupted(shop.house.stores.registry, lambda: change(shop, token))
    shop.routes = Routes(
        registry, shop.house.guard, lambda: shop.house.revocation_state.epoch, lambda: NOW
    )

    async def scenario() -> None:
        task = asyncio.create_task(shop.infer(token=token))
        assert await asyncio.to_thread(gate.reached.wait, 10)
        registry.armed = True
        shop.house.changed()
        gate.go.set()
        with pytest.raises(refusals):
            await task

    asyncio.run(scenario())
