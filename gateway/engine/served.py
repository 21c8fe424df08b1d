"""One model version with its engines and what waits for them. Used on one event loop.

Safety argument.
1. A run has a deadline, and it is kept by ending the process (`DEADLINE_SLACK` later at most):
   nothing that a model does in one node, or to its own runtime, can hold it off.
2. An engine that ends fails the requests of its run, with `EngineFailed`, and no others: what
   waits goes to the next engine. One that ends again and again is left alone (`engine.health`).
3. What waits is bounded in number here, and in bytes by the door that read it. A request waits no
   longer for its turn than it may run.
4. A run that several requests shared and that failed is done again for each alone: nobody's input
   fails another's. A run that nobody waits for any more is ended.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import structlog
from numpy.typing import NDArray

from gateway.engine.batching import by_row, share_out, take
from gateway.engine.errors import (
    EngineBusy,
    EngineError,
    EngineFailed,
    RunFailed,
    RunTimeout,
    SetAside,
)
from gateway.engine.health import Health
from gateway.engine.process import BULKY_BYTES, EngineProcess
from gateway.errors import SealgateError

Array: TypeAlias = NDArray[Any]

# Requests that wait for one version; their bodies are bounded by bytes besides.
MAX_WAITING: Final = 2048
# Nobody waits for the answer: short runs come to their end, longer ones are ended.
ABANDONED_SECONDS: Final = 1.0
# While a request has waited this long another engine helps, if the machine has a processor more.
HELP_SECONDS: Final = 0.02
MAX_ENGINES: Final = os.cpu_count() or 1


class Gone(Exception):
    """The version's engines were given up to make room: ask for them anew."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an engine is made from.

    Attributes:
        tenant, model, version: What it runs, for logs and shares.
        start: Starts an engine; blocks; raises what the caller should hear.
        rows: Rows that one shared run may have; 1 where rows may depend on each other.
    """

    tenant: str
    model: str
    version: str
    start: Callable[[], EngineProcess]
    rows: int = 1


@dataclass(slots=True, eq=False)
class _Asked:
    inputs: Mapping[str, Array]
    rows: int
    answer: asyncio.Future[list[Array]]
    since: float
    alone: bool


@dataclass(slots=True, eq=False)
class _Place:
    """One engine and its run."""

    process: EngineProcess
    flight: list[_Asked] = field(default_factory=list)
    deadline: float = 0.0
    late: bool = False
    timer: asyncio.TimerHandle | None = None


class Served:
    """Runs one version.

    Args:
        recipe: What its engines are made from.
        process: The first engine.
        timeout: Seconds that a run may take.
        set_aside: Told when the model is set aside, with the reason.

    Attributes:
        gone: It takes no more requests.
        used: Seconds of the loop's clock when it was last asked.
        runs: Runs that came to their end; shared ones count once.
    """

    def __init__(
        self,
        recipe: Recipe,
        process: EngineProcess,
        timeout: float,
        set_aside: Callable[[Recipe, str], None],
    ) -> None:
        self.recipe = recipe
        self.gone = False
        self.used = 0.0
        self.runs = 0
        self._timeout = timeout
        self._set_aside = set_aside
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[_Asked] = deque()
        self._places = [_Place(process)]
        self._health = Health()
        self._starting: asyncio.Task[None] | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._soon = False

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self._waiting and not any(place.flight for place in self._places)

    def resident(self) -> int:
        """Bytes of memory of its engines."""
        return sum(place.process.resident() for place in self._places)

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._waiting)

    @property
    def engines(self) -> int:
        """How many engines it has."""
        return len(self._places)

    async def run(self, inputs: Mapping[str, Array], rows: int) -> list[Array]:
        """Run on one request's inputs; returns the outputs in order.

        Raises:
            RunTimeout, RunFailed, EngineFailed, EngineBusy, SetAside: As named.
            Gone: Its engines were given up before the run began.
        """
        loop = self._attached()
        self.used = loop.time()
        if self._health.resting(self.used):
            raise SetAside
        if len(self._waiting) >= MAX_WAITING:
            raise EngineBusy
        alone = self.recipe.rows == 1 or not by_row(inputs, rows)
        asked = _Asked(inputs, rows, loop.create_future(), self.used, alone)
        self._waiting.append(asked)
        self._dispatch_soon()
        try:
            return await asked.answer
        except asyncio.CancelledError:
            self._abandoned(asked)
            raise

    def check(self) -> None:
        """Raise `SetAside` while the model rests."""
        if self._loop is not None and self._health.resting(self._loop.time()):
            raise SetAside

    def close(self) -> None:
        """End its engines; for any thread. What runs or waits fails."""
        self.gone = True
        if self._loop is None or self._loop.is_closed():
            self._end_all()
            return
        with suppress(RuntimeError):  # the loop closed meanwhile: the kernel ends them with us
            self._loop.call_soon_threadsafe(self._end_all)

    def _attached(self) -> asyncio.AbstractEventLoop:
        if self.gone:
            raise Gone
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the first request, or the first on a loop that came after
            self._loop, self._soon, self._starting, self._looking = loop, False, None, None
            for place in self._places:
                place.timer = None
                self._watch(place)
        return loop

    def _watch(self, place: _Place) -> None:
        assert self._loop is not None
        self._loop.add_reader(place.process.bell, self._rang, place)
        self._loop.add_reader(place.process.exited, self._ended, place)

    def _dispatch_soon(self) -> None:
        """Begin the next run after what is ready on the loop: it may come along."""
        if not self._soon:
            self._soon = True
            assert self._loop is not None
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._soon = False
        while self._waiting and (place := self._free()) is not None:
            taken = take(self._waiting, self.recipe.rows)
            batch = [asked for asked in taken if not asked.answer.done()]
            if batch:
                self._begin(place, batch)
        if self._waiting:
            self._look_later()

    def _free(self) -> _Place | None:
        return next((place for place in self._places if not place.flight), None)

    def _begin(self, place: _Place, batch: list[_Asked]) -> None:
        assert self._loop is not None
        place.flight = batch
        place.deadline = self._loop.time() + self._timeout
        if place.timer is None:
            place.timer = self._loop.call_at(place.deadline, self._check, place)
        if sum(array.nbytes for asked in batch for array in asked.inputs.values()) > BULKY_BYTES:
            copying = self._loop.run_in_executor(None, self._put, place, batch)
            copying.add_done_callback(partial(self._copied, place, batch))
        else:
            self._copied(place, batch, self._put(place, batch))

    @staticmethod
    def _put(place: _Place, batch: list[_Asked]) -> Exception | None:
        try:
            place.process.put([asked.inputs for asked in batch])
        except Exception as fault:
            return fault
        return None

    def _copied(self, place: _Place, batch: list[_Asked], found: Any) -> None:
        fault = found.result() if isinstance(found, asyncio.Future) else found
        if place not in self._places:
            return  # it ended meanwhile, and the batch was told
        if fault is None:
            place.process.ring()
            return
        self._finish(place)
        self._tell(batch, fault if isinstance(fault, EngineError) else RunFailed())

    def _rang(self, place: _Place) -> None:
        """A run has ended."""
        with suppress(BlockingIOError):
            os.read(place.process.bell, 8)
        batch, fault = place.flight, None
        try:
            outputs = place.process.take()
        except EngineFailed as nonsense:
            self._blame(place, nonsense)
            place.process.kill()
            return
        except SealgateError as refused:
            outputs, fault = [], refused
        self.runs += 1
        place.process.give_back()
        self._finish(place)
        if len(batch) == 1:
            self._tell(batch, fault) if fault else _answer(batch[0], outputs)
            return
        shares = None if fault else share_out(outputs, [asked.rows for asked in batch])
        if shares is None:
            self._alone(batch)
            return
        for asked, share in zip(batch, shares, strict=True):
            _answer(asked, share)

    def _alone(self, batch: list[_Asked]) -> None:
        """Run each request of a shared run that failed by itself: claim 4."""
        for asked in reversed(batch):
            asked.alone = True
            self._waiting.appendleft(asked)
        self._dispatch_soon()

    def _finish(self, place: _Place) -> None:
        place.flight = []
        if self._waiting:
            self._dispatch()

    def _check(self, place: _Place) -> None:
        """End an engine that is over its deadline."""
        assert self._loop is not None
        place.timer = None
        if not place.flight or place not in self._places:
            return
        if self._loop.time() >= place.deadline:
            place.late = True
            place.process.kill()
        else:
            place.timer = self._loop.call_at(place.deadline, self._check, place)

    def _abandoned(self, asked: _Asked) -> None:
        """Do not work for a caller who is gone."""
        with suppress(ValueError):
            self._waiting.remove(asked)
        for place in self._places:
            if asked in place.flight and all(each.answer.done() for each in place.flight):
                assert self._loop is not None
                self._loop.call_later(ABANDONED_SECONDS, self._give_up, place, place.flight)

    def _give_up(self, place: _Place, flight: list[_Asked]) -> None:
        if place.flight is flight and place in self._places:
            place.late = True
            place.process.kill()

    def _ended(self, place: _Place) -> None:
        """An engine is gone."""
        assert self._loop is not None
        code = place.process.end()
        batch, late = place.flight, place.late
        self._remove(place)
        self._tell(batch, RunTimeout() if late else EngineFailed())
        if self.gone:
            return
        reason = "time" if late else f"signal_{-code}" if code and code < 0 else "ended"
        made = self.recipe
        structlog.get_logger().warning(
            "engine_ended",
            tenant=made.tenant,
            model=made.model,
            version=made.version,
            reason=reason,
        )
        pause = self._health.ended(self._loop.time())
        if self._health.resting(self._loop.time()):
            self._set_aside(self.recipe, reason)
            self._tell(list(self._waiting), SetAside())
            self._waiting.clear()
        if not self._places:
            self._start_soon(pause)

    def _blame(self, place: _Place, fault: EngineError) -> None:
        batch, place.flight = place.flight, []
        self._tell(batch, fault)

    def _remove(self, place: _Place) -> None:
        assert self._loop is not None
        if place.timer is not None:
            place.timer.cancel()
        self._loop.remove_reader(place.process.bell)
        self._loop.remove_reader(place.process.exited)
        self._places.remove(place)
        place.process.close()

    def _start_soon(self, pause: float) -> None:
        if self._starting is None and self._loop is not None:
            self._starting = self._loop.create_task(self._start(pause))

    async def _start(self, pause: float) -> None:
        """Start one more engine; what waits hears of it when that fails and there is none."""
        try:
            await asyncio.sleep(pause)
            process = await asyncio.to_thread(self.recipe.start)
        except SealgateError as fault:
            self._starting = None
            if not self._places:
                self._tell(list(self._waiting), fault)
                self._waiting.clear()
                self.gone = True  # the next request looks at the version anew
            return
        self._starting = None
        if self.gone:
            process.close()
            return
        place = _Place(process)
        self._places.append(place)
        self._watch(place)
        self._dispatch()

    def _look_later(self) -> None:
        if self._looking is None and self._loop is not None:
            self._looking = self._loop.call_later(HELP_SECONDS, self._look)

    def _look(self) -> None:
        """Help with one more engine, and tell those who waited too long."""
        assert self._loop is not None
        self._looking = None
        now = self._loop.time()
        while self._waiting and self._waiting[0].since < now - self._timeout:
            self._tell([self._waiting.popleft()], RunTimeout())
        if self._waiting:
            if self._waiting[0].since < now - HELP_SECONDS and len(self._places) < MAX_ENGINES:
                self._start_soon(0.0)
            self._look_later()

    def _tell(self, batch: list[_Asked], fault: Exception) -> None:
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_exception(fault)

    def _end_all(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if self._starting is not None:
            self._starting.cancel()
        self._tell(list(self._waiting), EngineFailed())
        self._waiting.clear()
        for place in list(self._places):
            self._tell(place.flight, EngineFailed())
            if self._loop is None:
                self._places.remove(place)
                place.process.close()
            else:
                self._remove(place)


def _answer(asked: _Asked, outputs: list[Array]) -> None:
    if not asked.answer.done():
        asked.answer.set_result(outputs)
