"""Blocking work for the operators' door, each kind in a thread of its own.

Safety argument.
1. What hangs holds up nobody else: no thread is shared, not even with requests, whose pool a
   database that hangs may have filled.
2. A kind of work has one thread at most, however often it is asked for: who asks meanwhile hears
   what the work under way finds.
3. The threads hold up no end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Aside(Generic[_T]):
    """One kind of work. Used on one event loop.

    Args:
        work: Blocks.
        name: Of the thread.
    """

    def __init__(self, work: Callable[[], _T], name: str) -> None:
        self._work = work
        self._name = name
        self._under_way: asyncio.Future[_T] | None = None

    def begun(self) -> asyncio.Future[_T]:
        """Return what is under way, or begin: not to be cancelled, as others wait for it, too."""
        loop = asyncio.get_running_loop()
        found = self._under_way
        if found is None or found.done() or found.get_loop() is not loop:
            found = self._under_way = loop.create_future()
            thread = threading.Thread(
                target=_run, args=(self._work, found), name=self._name, daemon=True
            )
            try:
                thread.start()
            except RuntimeError as fault:  # the system gives no more threads
                _settle(found, fault)
        return found

    async def within(self, seconds: float) -> _T:
        """Return what the work finds.

        Raises:
            TimeoutError: It has found nothing in that time.
        """
        return await asyncio.wait_for(asyncio.shield(self.begun()), seconds)


def _run(work: Callable[[], _T], future: asyncio.Future[_T]) -> None:
    try:
        settle = partial(future.set_result, work())
    except Exception as fault:  # it is raised in whoever asked
        settle = partial(_settle, future, fault)
    with suppress(RuntimeError):  # the loop has ended
        future.get_loop().call_soon_threadsafe(settle)


def _settle(future: asyncio.Future[_T], fault: Exception) -> None:
    future.set_exception(fault)
    future.exception()  # nobody may wait any more, which is no fault
