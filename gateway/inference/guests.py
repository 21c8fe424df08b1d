"""Turns of other tenants at a shared model: they wait here, in front of what its owner waits in.

Safety argument.
1. Of each tenant that a model is lent to at most `AT_ONCE` requests are with its engines, however
   many it sends: the owner's next request has so many before it, and not all of them.
2. What waits here is bounded for each of them (`MAX_WAITING`), in the order of coming, and is told
   so at once when it is too much. One tenant's queue is not another's.
3. The owner's own requests never come here, and cost nothing more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from gateway.inference.errors import TooManyRequests

AT_ONCE: Final = 8
"""Of one tenant and model: some shared runs' worth (`gateway.engine.batching`)."""
MAX_WAITING: Final = 256
"""As many as wait for a thread (`gateway.inference.fair_executor`): more would wait in vain."""

T = TypeVar("T")
Key = tuple[str, str, str]
"""Owner, model, and the tenant that it is lent to."""


@dataclass(slots=True)
class _Queue:
    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Guests:
    """Lets requests of other tenants through in turn. Used on one event loop."""

    def __init__(self) -> None:
        self._queues: dict[Key, _Queue] = {}

    async def run(self, key: Key, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work` when it is its turn.

        Raises:
            TooManyRequests: Too many of this tenant wait for this model already.
        """
        queue = self._queues.setdefault(key, _Queue())
        if queue.running < AT_ONCE:
            queue.running += 1
        else:
            await self._turn(queue)
        try:
            return await work()
        finally:
            self._next(key, queue)

    def waiting(self, owner: str, model: str, tenant: str) -> int:
        """Return how many requests of a tenant wait for a model of another."""
        queue = self._queues.get((owner, model, tenant))
        return 0 if queue is None else len(queue.waiting)

    async def _turn(self, queue: _Queue) -> None:
        if len(queue.waiting) >= MAX_WAITING:
            raise TooManyRequests
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn had come: the next one's then
                self._pass_on(queue)
            raise

    def _next(self, key: Key, queue: _Queue) -> None:
        self._pass_on(queue)
        if not queue.running and self._queues.get(key) is queue:
            del self._queues[key]

    def _pass_on(self, queue: _Queue) -> None:
        """Give a place that became free to who waits longest."""
        while queue.waiting:
            turn = queue.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        queue.running -= 1
