"""Compressed bodies on their way in: what comes out is counted, and others have their turn."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from gateway.inference.body_budget import BodyBudget
from gateway.inference.errors import BodyTooLarge
from gateway.inference.inflating import STEP
from gateway.web.body_reader import BodyReader

COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
}


def read(
    body: bytes, coding: bytes, bound: int, width: int = 1 << 30
) -> tuple[bytes, BodyBudget, list[int]]:
    """Read a body in pieces; tells also what was held after each turn of the event loop."""
    pieces = [body[start : start + width] for start in range(0, len(body), width)]
    budget, held = BodyBudget(), [0]
    waiting = iter(pieces)

    async def receive() -> dict[str, Any]:
        piece = next(waiting)
        return {"type": "http.request", "body": piece, "more_body": piece is not pieces[-1]}

    async def watch() -> None:
        while True:
            held.append(budget.held)
            await asyncio.sleep(0)

    async def scenario() -> bytes:
        watcher = asyncio.create_task(watch())
        reader = BodyReader(receive, len(body), bound, 30.0, budget, coding)
        try:
            return await reader("acme")
        finally:
            watcher.cancel()

    return asyncio.run(scenario()), budget, held


@pytest.mark.parametrize("coding", COMPRESS)
def test_what_comes_out_is_what_is_counted(coding: bytes) -> None:
    body = b"0123456789" * 200_000
    found, budget, held = read(COMPRESS[coding](body), coding, len(body), 1000)
    assert found == body
    assert budget.held == len(body)
    steps = [after - before for before, after in itertools.pairwise(held)]
    assert max(steps) <= STEP, "others have their turn meanwhile"


@pytest.mark.parametrize("coding", COMPRESS)
def test_a_bomb_ends_at_the_bound(coding: bytes) -> None:
    bomb = COMPRESS[coding](bytes(64 << 20))
    assert len(bomb) < 1 << 17
    with pytest.raises(BodyTooLarge):
        read(bomb, coding, 1 << 20)
