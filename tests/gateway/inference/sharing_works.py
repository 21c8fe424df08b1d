"""Two tenants and a model that one shares with the other, by the commands of both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway.registry.records import Sharing
from gateway.registry.terms import Terms
from tests.gateway.parts import TENANT, call

from .works import Works, works

RIVAL, THIRD = "rival", "third"
SHARED = f"{TENANT}~m"
OWNER, THEIR_OWNER = call("owner"), call("owner", RIVAL)


@contextmanager
def two_tenants(**settings: Any) -> Iterator[Works]:
    """Open the works with `acme`, which has a released model `m`, `rival` and `third`."""
    with works(RIVAL, THIRD, **settings) as shop:
        shop.publish()
        yield shop


def offer(shop: Works, **terms: Any) -> Sharing:
    """Let the owner offer `m` to the rival."""
    return shop.house.use.sharings.offer(OWNER, "m", Terms(RIVAL, **terms))


def share(shop: Works, **terms: Any) -> Sharing:
    """Let both sides consent."""
    made = offer(shop, **terms)
    return shop.house.use.sharings.accept(THEIR_OWNER, TENANT, "m", made.id)


def ask(shop: Works, model: str = SHARED, tenant: str = RIVAL, **more: Any) -> Any:
    """Let a caller of a tenant ask a model, and wait for the end."""
    return asyncio.run(asking(shop, model, tenant, **more))


async def asking(shop: Works, model: str = SHARED, tenant: str = RIVAL, **more: Any) -> Any:
    """Let a caller of a tenant ask a model."""
    return await shop.infer(token=shop.bearer("caller", tenant), model=model, **more)
