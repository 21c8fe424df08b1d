"""Threads for the runs of models, shared fairly between tenants.

Safety argument.
1. Runs have threads of their own: nothing else of the gateway waits for a model.
2. One tenant holds at most a share of them, however many requests it sends, so that another
   tenant's run finds a thread at once.
3. What waits is bounded; beyond that a request is refused at once rather than kept.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from gateway.serving.errors import TooManyRequests

T = TypeVar("T")

# onnxruntime lets go of the interpreter while it runs: one thread a core is busy, the others wait
# for memory. Two more keep a thread free while long runs come to their end.
THREADS: Final = 2 * (os.cpu_count() or 1) + 2
TENANT_THREADS: Final = THREADS // 2
# Requests of one tenant that wait for a thread: at 30 s a run, more would only wait in vain.
TENANT_WAITING: Final = 64


class _Lane:
    """The share of one tenant."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(TENANT_THREADS)
        self.present = 0


class Lanes:
    """Runs work in threads. Used on one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="run")
        self._lanes: dict[str, _Lane] = {}

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """Run `work` in a thread, when the tenant has one free.

        Raises:
            TooManyRequests: Too many of the tenant's requests wait already.
        """
        lane = self._lanes.setdefault(tenant, _Lane())
        if lane.present >= TENANT_THREADS + TENANT_WAITING:
            raise TooManyRequests
        lane.present += 1
        try:
            async with lane.places:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, work)
        finally:
            lane.present -= 1
            if not lane.present:
                self._lanes.pop(tenant, None)

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
