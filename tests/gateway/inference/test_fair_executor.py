from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.inference.errors import TooManyRequests
from gateway.inference.fair_executor import TENANT_THREADS, TENANT_WAITING, THREADS, FairExecutor


def test_one_tenant_leaves_threads_to_the_others() -> None:
    assert TENANT_THREADS < THREADS
    executor, go = FairExecutor(), threading.Event()

    async def scenario() -> str:
        held = [
            asyncio.create_task(executor.run("greedy", lambda: go.wait(30)))
            for _ in range(THREADS * 2)
        ]
        await asyncio.sleep(0)
        try:
            return await asyncio.wait_for(executor.run("other", lambda: "served"), 10)
        finally:
            go.set()
            await asyncio.gather(*held)

    assert asyncio.run(scenario()) == "served"


def test_what_waits_is_bounded() -> None:
    executor, go = FairExecutor(), threading.Event()

    async def scenario() -> None:
        held = [
            asyncio.create_task(executor.run("greedy", lambda: go.wait(30)))
            for _ in range(TENANT_THREADS + TENANT_WAITING)
        ]
        await asyncio.sleep(0)
        try:
            with pytest.raises(TooManyRequests):
                await executor.run("greedy", lambda: True)
        finally:
            go.set()
            await asyncio.gather(*held)
        assert await executor.run("greedy", lambda: "again")

    asyncio.run(scenario())


def test_a_run_that_fails_gives_its_place_back() -> None:
    executor = FairExecutor()

    def fail() -> None:
        raise LookupError

    async def scenario() -> None:
        for _ in range(TENANT_THREADS + TENANT_WAITING + 5):
            with pytest.raises(LookupError):
                await executor.run("acme", fail)

    asyncio.run(scenario())
