"""Work that hangs has a thread of its own, one a kind, and holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.process.aside import Aside
from gateway.process.readiness import Readiness

PATIENCE = 240


def test_those_who_ask_meanwhile_hear_what_the_work_under_way_finds() -> None:
    go, begun = threading.Event(), []

    def work() -> int:
        begun.append(True)
        assert go.wait(PATIENCE)
        return len(begun)

    async def scenario() -> None:
        aside = Aside(work, "work")
        with pytest.raises(TimeoutError):
            await aside.within(0.1)
        asking = [asyncio.ensure_future(aside.within(PATIENCE)) for _ in range(50)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(*asking) == [1] * 50
        assert await aside.within(PATIENCE) == 2, "and anew when it is over"

    asyncio.run(scenario())


def test_what_the_work_raises_is_raised_in_whoever_asked() -> None:
    def work() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        asyncio.run(Aside(work, "work").within(PATIENCE))


def test_readiness_is_told_while_others_have_all_threads_of_the_loop() -> None:
    """A database that hung took the pool: readiness named all that was well, too."""
    go = threading.Event()

    async def scenario() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        waiting = [loop.run_in_executor(None, go.wait, PATIENCE) for _ in range(3)]
        try:
            return await Readiness({"keystore": lambda: None}).failing()
        finally:
            go.set()
            await asyncio.gather(*waiting)

    assert asyncio.run(scenario()) == []
