"""Threads for loads of models, shared fairly between tenants. For any thread.

Safety argument.
1. A tenant has at most a share of the loads that are under way, however many it asks for, and
   tenants that wait take turns.
2. A load that takes long gives its place to another and goes on beside it, counted against its
   tenant's share alone: loads that hang, of however many tenants, keep nobody else's from
   beginning for long. They end at the bound of an engine's start (`gateway.engine.process`).
3. What a caller waits for goes before what is loaded ahead of calls, and that never has all places.
4. A load that is under way holds up no end of the process.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from gateway.engine.errors import EnginesDown

T = TypeVar("T")

PLACES: Final = 8
"""A load waits for the store and for the runtime, seldom for a processor."""
AHEAD_PLACES: Final = min(4, os.cpu_count() or 1)
"""Of these: loads ahead of calls should not take the processors from those who call."""
TENANT_LOADS: Final = 2
PLACE_SECONDS: Final = 5.0
"""A model of 100 MB loads in one; one of 2 GiB goes on without a place."""


@dataclass(slots=True, eq=False)
class _Load:
    tenant: str
    work: Callable[[], Any]
    ahead: bool
    done: Future[Any]
    since: float = 0.0


class Loaders:
    """Runs loads.

    Args:
        places: Loads that run at once, but for those that take long.
        share: Loads of one tenant that run at once.
        place_seconds: After which a load takes long.
        monotonic: Seconds.
    """

    def __init__(
        self,
        *,
        places: int = PLACES,
        share: int = TENANT_LOADS,
        place_seconds: float = PLACE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places, self._share = places, share
        self._place_seconds, self._monotonic = place_seconds, monotonic
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, deque[_Load]] = OrderedDict()
        self._ahead: OrderedDict[str, deque[_Load]] = OrderedDict()
        self._running: list[_Load] = []
        self._timer: threading.Timer | None = None
        self._closed = False

    def submit(self, tenant: str, work: Callable[[], T], *, ahead: bool = False) -> Future[T]:
        """Run `work` in a thread when it is the tenant's turn.

        Args:
            tenant: Whose it is.
            work: Blocks as long as a load does.
            ahead: No caller waits for it.

        Returns:
            Told what `work` returns or raises; `EnginesDown` where it cannot be run.
        """
        load = _Load(tenant, work, ahead, Future())
        with self._lock:
            closed = self._closed
            if not closed:
                queues = self._ahead if ahead else self._asked
                queues.setdefault(tenant, deque()).append(load)
        if closed:
            load.done.set_exception(EnginesDown())
        self._begin()
        return load.done

    def close(self) -> None:
        """Begin no more loads; those that wait hear `EnginesDown`."""
        with self._lock:
            self._closed = True
            waiting = [*self._asked.values(), *self._ahead.values()]
            self._asked.clear()
            self._ahead.clear()
            if self._timer is not None:
                self._timer.cancel()
        for queue in waiting:
            for load in queue:
                load.done.set_exception(EnginesDown())

    def _begin(self) -> None:
        """Begin with what has a turn now."""
        while True:
            with self._lock:
                load = self._next()
                if load is None:
                    self._look_later()
                    return
                load.since = self._monotonic()
                self._running.append(load)
            try:
                threading.Thread(target=self._run, args=(load,), name="load", daemon=True).start()
            except RuntimeError:  # there is no thread left
                with self._lock:
                    self._running.remove(load)
                load.done.set_exception(EnginesDown())

    def _next(self) -> _Load | None:
        now = self._monotonic()
        placed = [load for load in self._running if now - load.since < self._place_seconds]
        if len(placed) >= self._places:
            return None
        ahead = sum(load.ahead for load in placed) < AHEAD_PLACES
        for queues in (self._asked, self._ahead) if ahead else (self._asked,):  # claim 3
            for tenant, queue in queues.items():
                if sum(load.tenant == tenant for load in self._running) >= self._share:
                    continue
                load = queue.popleft()
                queues.move_to_end(tenant)  # claim 1
                if not queue:
                    del queues[tenant]
                return load
        return None

    def _look_later(self) -> None:
        """Look again when the oldest load that has a place gives it up: claim 2."""
        if self._timer is not None or not (self._asked or self._ahead):
            return
        now = self._monotonic()
        ages = [now - load.since for load in self._running]
        left = [self._place_seconds - age for age in ages if age < self._place_seconds]
        if left:
            self._timer = threading.Timer(min(left) + 0.001, self._look)
            self._timer.daemon = True
            try:
                self._timer.start()
            except RuntimeError:  # there is no thread left: the next load that ends looks
                self._timer = None

    def _look(self) -> None:
        with self._lock:
            self._timer = None
        self._begin()

    def _run(self, load: _Load) -> None:
        found = fault = None
        try:
            found = load.work()
        except BaseException as raised:  # whoever waits hears of it, whatever it is
            fault = raised
        with self._lock:
            self._running.remove(load)
        self._begin()
        if fault is None:
            load.done.set_result(found)
        else:
            load.done.set_exception(fault)
