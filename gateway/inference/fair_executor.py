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

from gateway.inference.errors import TooManyRequests

T = TypeVar("T")

# onnxruntime lets go of the interpreter while it runs: one thread a core is busy, the others wait
# for memory. Two more keep a thread free while long runs come to their end.
THREADS: Final = 2 * (os.cpu_count() or 1) + 2
TENANT_THREADS: Final = THREADS // 2
# Requests of one tenant that wait for a thread: at 30 s a run, more would only wait in vain.
TENANT_WAITING: Final = 64


class _Share:
    """The share of one tenant."""

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(TENANT_THREADS)
        self.present = 0


class FairExecutor:
    """Runs work in threads. Used on one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="run")
        self._shares: dict[str, _Share] = {}

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """Run `work` in a thread, when the tenant has one free.

        Raises:
            TooManyRequests: Too many of the tenant's requests wait already.
        """
        share = self._shares.setdefault(tenant, _Share())
        if share.present >= TENANT_THREADS + TENANT_WAITING:
            raise TooManyRequests
        share.present += 1
        try:
            async with share.places:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, work)
        finally:
            share.present -= 1
            if not share.present:
                self._shares.pop(tenant, None)

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
