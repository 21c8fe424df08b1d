"""Uploads whose sender stalls or drips: they held a tenant's places for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.inference.errors import BodyTimeout
from gateway.web.uploads import LEAST_RATE, paced

PATIENCE = 2.0


async def sent(*pieces: tuple[float, int]) -> AsyncIterator[bytes]:
    for seconds, length in pieces:
        await asyncio.sleep(seconds)
        yield bytes(length)


def received(*pieces: tuple[float, int], work: float = 0.0) -> int:
    async def read() -> int:
        size = 0
        async for piece in paced(sent(*pieces), PATIENCE):
            size += len(piece)
            await asyncio.sleep(work)
        return size

    return asyncio.run(read())


def test_an_upload_that_stalls_is_not_waited_for() -> None:
    with pytest.raises(BodyTimeout):
        received((0.0, 1 << 20), (60.0, 1))


def test_an_upload_that_drips_is_not_waited_for_however_much_came_before() -> None:
    with pytest.raises(BodyTimeout):
        received((0.0, 1 << 20), *[(0.1, 1)] * 100)


def test_an_upload_at_the_least_rate_is_read_to_its_end() -> None:
    pieces = [(0.05, LEAST_RATE // 10)] * 20
    assert received(*pieces) == 20 * (LEAST_RATE // 10)


def test_what_is_done_with_a_piece_is_not_held_against_its_sender() -> None:
    assert received(*[(0.0, 1)] * 5, work=PATIENCE / 4) == 5
