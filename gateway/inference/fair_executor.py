"""Threads for the runs of models, shared fairly between tenants.

Safety argument.
1. Runs have threads of their own: nothing else of the gateway waits for a model.
2. One tenant holds at most a share of them, however many requests it sends, so that another
   tenant's run finds a thread at once. A thread counts until its work has ended, also when nobody
   waits for it any more: who asks and hangs up, again and again, gets no more of them.
3. What waits is bounded; beyond that a request is refused at once rather than kept.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
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

    def present(self, tenant: str) -> int:
        """Return how many requests of a tenant have a thread or wait for one."""
        share = self._shares.get(tenant)
        return 0 if share is None else share.present

    async def run(self, tenant: str, work: Callable[[], T], *, let_in: bool = False) -> T:
        """Run `work` in a thread, when the tenant has one free.

        When the caller is cancelled, work that has not begun is dropped; what runs goes on.

        Args:
            tenant: Whose it is.
            work: Blocks.
            let_in: It is the end of a request that was let in before: it is not refused.

        Raises:
            TooManyRequests: Too many of the tenant's requests wait already.
        """
        share = self._shares.setdefault(tenant, _Share())
        if not let_in and share.present >= TENANT_THREADS + TENANT_WAITING:
            raise TooManyRequests
        share.present += 1
        try:
            await share.places.acquire()
        except asyncio.CancelledError:
            self._leave(tenant, share)
            raise
        running: Future[T] | None = None
        try:
            running = self._threads.submit(work)
            return await asyncio.wrap_future(running)
        finally:
            if running is None or running.done():
                self._free(tenant, share)
            else:  # the caller was cancelled, and the thread is still at it
                loop = asyncio.get_running_loop()
                running.add_done_callback(lambda _: self._free_soon(loop, tenant, share))

    def _free_soon(self, loop: asyncio.AbstractEventLoop, tenant: str, share: _Share) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody wants the place
            loop.call_soon_threadsafe(self._free, tenant, share)

    def _free(self, tenant: str, share: _Share) -> None:
        share.places.release()
        self._leave(tenant, share)

    def _leave(self, tenant: str, share: _Share) -> None:
        share.present -= 1
        if not share.present:
            self._shares.pop(tenant, None)

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
