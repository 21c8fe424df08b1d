"""Those who wait for an append: coroutines of any event loop, and threads.

1. A waiter is settled once. One that was cancelled or ran into its deadline is left alone.
2. A coroutine's deadline runs on its own loop: it holds even when the writer thread hangs in a
   stalled disk.
3. A batch wakes each loop once, however many of its coroutines wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from weakref import WeakKeyDictionary

from audit.errors import AuditError, AuditUnavailable

Answer = int | AuditError
"""The index that an event got, or why it got none."""

LoopWaiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[int]"]
Waiter = LoopWaiter | Future[int]


class Waiters:
    """Hands out and settles waiters.

    Args:
        deadline_seconds: After this a coroutine's wait ends with `AuditUnavailable`.
    """

    def __init__(self, deadline_seconds: float) -> None:
        self._deadline = deadline_seconds
        self._watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of_this_loop(self) -> LoopWaiter:
        """Return a waiter of the running event loop, whose deadline runs from now on."""
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None:
            with self._lock:
                watch = self._watches[loop] = _Watch()
        future: asyncio.Future[int] = loop.create_future()
        watch.add(loop, loop.time() + self._deadline, future)
        return loop, future

    @staticmethod
    def settle(answers: Iterable[tuple[Waiter, Answer]]) -> None:
        """Give every waiter its answer, from any thread."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], Answer]]] = {}
        for waiter, answer in answers:
            if isinstance(waiter, tuple):
                by_loop.setdefault(waiter[0], []).append((waiter[1], answer))
            elif waiter.set_running_or_notify_cancel():
                _resolve(waiter, answer)
        for loop, settled in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve_all, settled)
            except RuntimeError:  # the loop is closed, so nobody waits there
                continue


class _Watch:
    """The deadlines of one loop's waiters, soonest first; touched by that loop only."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, asyncio.Future[int]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(
        self, loop: asyncio.AbstractEventLoop, deadline: float, future: asyncio.Future[int]
    ) -> None:
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        waiting.append((deadline, future))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        waiting = self._waiting
        while waiting and (waiting[0][1].done() or waiting[0][0] <= now):
            future = waiting.popleft()[1]
            if not future.done():
                future.set_exception(AuditUnavailable())
        again = waiting[0][0] if waiting else None
        self._timer = None if again is None else loop.call_at(again, self._sweep, loop)


def _resolve_all(settled: list[tuple[asyncio.Future[int], Answer]]) -> None:
    for future, answer in settled:
        if not future.done():
            _resolve(future, answer)


def _resolve(future: asyncio.Future[int] | Future[int], answer: Answer) -> None:
    if isinstance(answer, int):
        future.set_result(answer)
    else:
        future.set_exception(answer)
