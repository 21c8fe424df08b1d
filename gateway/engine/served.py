"""One model version with its engines and what waits for them. Used on one event loop.

Safety argument.
1. A run has a deadline, and it is kept by ending the process (`DEADLINE_SLACK` later at most):
   nothing that a model does in one node, or to its own runtime, can hold it off.
2. An engine that ends fails the requests of its run, with `EngineFailed`, and no others: what
   waits goes to the next engine. One that ends again and again is left alone (`engine.health`).
3. What waits is bounded in number here, and in bytes by the door that read it. A request waits no
   longer for its turn than it may run.
4. A run that several requests shared and that failed is done again for each alone: nobody's input
   fails another's. A run that nobody waits for any more is ended, and that is not held against
   the model.
5. An engine that rings without a run is hostile and is ended; one that is being ended gets no run
   and gives no answer. Nothing that an engine does makes the loop wait: what takes long to copy is
   copied in a thread.
6. An engine that computes with nothing to run is hostile and is ended (`gateway.engine.idling`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from numpy.typing import NDArray

from gateway.engine.batching import by_row, take
from gateway.engine.errors import (
    EngineBusy,
    EngineError,
    EngineFailed,
    Gone,
    RunTimeout,
    SetAside,
)
from gateway.engine.health import REST_SECONDS, Health
from gateway.engine.place import (
    ABANDONED,
    ABANDONED_SECONDS,
    BURNING,
    HELP_SECONDS,
    MAX_ENGINES,
    MAX_WAITING,
    NONSENSE,
    TIME,
    Asked,
    Place,
    burning,
    copies,
    held_against_model,
    look_at_deadline,
    put,
    report_end,
    shared,
    tell,
    tell_all,
    weight,
)
from gateway.engine.process import EngineProcess
from gateway.engine.starting import Recipe, start_aside
from gateway.errors import SealgateError

Array: TypeAlias = NDArray[Any]


class Served:
    """Runs one version.

    Args:
        recipe: What its engines are made from.
        process: The first engine.
        timeout: Seconds that a run may take.
        set_aside: Told when the model is set aside, with the reason.
        health: What is known of the version, from engines that it had before.

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
        health: Health | None = None,
    ) -> None:
        self.recipe = recipe
        self.gone = False
        self.used = 0.0
        self.runs = 0
        self._timeout, self._set_aside = timeout, set_aside
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[Asked] = deque()
        self._places = [Place(process)]
        self._health = health or Health()
        self._attaching = threading.Lock()
        self._starting: asyncio.TimerHandle | None = None
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
            Gone: Its engines were given up before the run ended.
        """
        loop = self._attached()
        self.used = loop.time()
        self._health.check(self.used)
        if len(self._waiting) >= MAX_WAITING:
            raise EngineBusy
        alone = self.recipe.rows == 1 or not by_row(inputs, rows)
        asked = Asked(inputs, rows, loop.create_future(), self.used, alone)
        self._waiting.append(asked)
        self._dispatch_soon()
        try:
            return await asked.answer
        except asyncio.CancelledError:
            self._abandoned(asked)
            raise

    def allow(self, seconds: float) -> None:
        """Let runs that begin from now on take so long."""
        self._timeout = seconds

    def check(self) -> None:
        """Raise `SetAside` while the model rests."""
        if self._loop is not None:
            self._health.check(self._loop.time())

    def end_burning(self, burns: Callable[[EngineProcess, float], bool]) -> None:
        """End engines of which `burns` says so, by the seconds that their runs took: claim 6."""
        for place in burning(self._places, burns):
            if self._loop is None:  # nobody has asked it yet
                self._health.ended(time.monotonic(), grave=True)
                self._set_aside(self.recipe, BURNING)
                self.close()
            self._on_loop(self._doom, place, BURNING)

    def close(self) -> None:
        """End its engines; for any thread. What runs or waits hears `Gone`."""
        with self._attaching:  # or a first request would watch what is closed here
            self.gone = True
            if self._loop is None or self._loop.is_closed():
                self._end_all()
                return
        self._on_loop(self._end_all)

    def _on_loop(self, act: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop closed meanwhile: the kernel ends them with us
            if self._loop is not None:
                self._loop.call_soon_threadsafe(act, *arguments)

    def _attached(self) -> asyncio.AbstractEventLoop:
        if self.gone:
            raise Gone
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # the first request, or the first on a loop that came after
            self._attach(loop)
        return loop

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._attaching:
            if self.gone:
                raise Gone
            if self._loop is not None and self._loop.is_running():
                raise RuntimeError("a version's engines are used on one event loop at a time")
            self._loop, self._soon, self._starting, self._looking = loop, False, None, None
            for place in self._places:
                place.timer = None
                self._watch(place)

    def _watch(self, place: Place) -> None:
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

    def _free(self) -> Place | None:
        return next((each for each in self._places if not each.flight and not each.doom), None)

    def _begin(self, place: Place, batch: list[Asked]) -> None:
        assert self._loop is not None
        place.flight = batch
        place.begun = self._loop.time()
        place.deadline = place.begun + self._timeout
        if place.timer is None or place.looked > place.deadline:
            look_at_deadline(place, self._loop, self._check)
        if weight(batch) > place.process.bulky:
            copying = self._loop.run_in_executor(None, put, place, batch)
            copying.add_done_callback(partial(self._copied, place, batch))
        else:
            self._copied(place, batch, put(place, batch))

    def _copied(self, place: Place, batch: list[Asked], found: Any) -> None:
        fault = found.result() if isinstance(found, asyncio.Future) else found
        if place.doom or place not in self._places:
            return  # it ended meanwhile or is about to, and the batch is told
        if fault is None:
            place.running = True
            place.process.ring()
            return
        place.flight = []
        self._dispatch_soon()  # not at once: as many as wait may fail like this
        if not shared(batch, [], fault):
            self._alone(batch)

    def _rang(self, place: Place) -> None:
        """A run has ended, or so the engine says."""
        rang = place.process.rang()
        if not (rang and place.running):
            self._doom(place, NONSENSE if rang else "")  # an end that is near says why
            return
        place.running = False
        assert self._loop is not None
        place.ran += self._loop.time() - place.begun
        try:
            placed, bulky = place.process.look()
        except EngineError as fault:
            self._taken(place, fault)
            return
        if not bulky:
            self._taken(place, copies(place, placed))
            return
        copying = self._loop.run_in_executor(None, copies, place, placed)
        copying.add_done_callback(lambda done: self._taken(place, done.result()))

    def _taken(self, place: Place, found: list[Array] | EngineError) -> None:
        """Answer what was in a run."""
        if place.doom or place not in self._places:
            return
        if isinstance(found, EngineFailed):
            self._doom(place, NONSENSE)
            return
        outputs, fault = ([], found) if isinstance(found, EngineError) else (found, None)
        batch = place.flight
        self.runs += 1
        place.process.give_back()
        place.flight = []
        if self._waiting:
            self._dispatch()
        if not shared(batch, outputs, fault):
            self._alone(batch)

    def _alone(self, batch: list[Asked]) -> None:
        """Run each request of a shared run that failed by itself: claim 4."""
        for asked in reversed(batch):
            asked.alone = True
            self._waiting.appendleft(asked)
        self._dispatch_soon()

    def _check(self, place: Place) -> None:
        """End an engine that is over its deadline."""
        assert self._loop is not None
        place.timer = None
        if not place.flight or place not in self._places:
            return
        if self._loop.time() >= place.deadline:
            self._doom(place, TIME)
        else:
            look_at_deadline(place, self._loop, self._check)

    def _doom(self, place: Place, why: str) -> None:
        """End an engine: it gets no more runs and is not listened to."""
        if self._loop is None or place not in self._places:
            return  # it was closed meanwhile
        place.doom = place.doom or why or "ended"
        self._loop.remove_reader(place.process.bell)
        place.process.kill()

    def _abandoned(self, asked: Asked) -> None:
        """Do not work for a caller who is gone."""
        with suppress(ValueError):
            self._waiting.remove(asked)
        for place in self._places:
            if asked in place.flight and all(each.answer.done() for each in place.flight):
                assert self._loop is not None
                self._loop.call_later(ABANDONED_SECONDS, self._give_up, place, place.flight)

    def _give_up(self, place: Place, flight: list[Asked]) -> None:
        if place.flight is flight:
            self._doom(place, ABANDONED)

    def _ended(self, place: Place) -> None:
        """An engine is gone."""
        if place not in self._places:
            return  # it was closed while this call waited for its turn
        assert self._loop is not None
        self._remove(place)
        tell(place.flight, RunTimeout() if place.doom == TIME else EngineFailed())
        if self.gone:
            return
        pause = 0.0
        if held_against_model(place):
            pause = self._health.ended(self._loop.time(), grave=place.doom == BURNING)
        rests = pause >= REST_SECONDS
        report_end(self._loop, self.recipe, place, self._set_aside if rests else None)
        if rests:
            tell_all(self._waiting, SetAside().again_in(pause))
        if not self._places:
            self._start_soon(pause)

    def _remove(self, place: Place) -> None:
        if place.timer is not None:
            place.timer.cancel()
        if self._loop is not None:
            self._loop.remove_reader(place.process.bell)
            self._loop.remove_reader(place.process.exited)
        self._places.remove(place)
        place.process.close()

    def _start_soon(self, pause: float) -> None:
        if self._starting is None and self._loop is not None:
            start = partial(start_aside, self._loop, self.recipe.start, self._started)
            self._starting = self._loop.call_later(pause, start)

    def _started(self, process: EngineProcess | None, fault: SealgateError | None) -> None:
        """Take one more engine; what waits hears of it when that failed and there is none."""
        self._starting = None
        if process is None:
            if not self._places:
                tell_all(self._waiting, fault or EngineFailed())
                self.gone = True  # the next request looks at the version anew
            return
        if self.gone:
            process.close()
            return
        place = Place(process)
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
            tell([self._waiting.popleft()], RunTimeout())
        if self._waiting:
            if self._waiting[0].since < now - HELP_SECONDS and len(self._places) < MAX_ENGINES:
                self._start_soon(0.0)
            self._look_later()

    def _end_all(self) -> None:
        for timer in filter(None, (self._looking, self._starting)):
            timer.cancel()
        tell_all(self._waiting, Gone())
        for place in list(self._places):
            tell(place.flight, Gone())
            self._remove(place)
