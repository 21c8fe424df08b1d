"""The runs that a coordinator knows: states as a table, events with a cursor, results in memory.

    starting ──> running ──> finished
        └───────────┴──────> failed

1. A run is finished only when its events show that a quorum took part in every round
   (`took_part`) and its result is there; the ServerApp's own word is not enough.
2. A result is held in memory until it is fetched once or `RESULT_S` is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from federated.errors import IllegalMove, ResultGone, RunExists, TooBusy, UnknownRun
from federated.plan import TERMINAL, Event, Plan

RunState = Literal["starting", "running", "finished", "failed"]

MOVES: Final[dict[RunState, frozenset[RunState]]] = {
    "starting": frozenset({"running", "failed"}),
    "running": frozenset({"finished", "failed"}),
    "finished": frozenset(),
    "failed": frozenset(),
}
"""State → the states that may follow it."""

RESULT_S = 900.0
"""Seconds that a finished model waits in memory for the gateway."""

MAX_ACTIVE = 16
"""Runs at once: each has a ServerApp process of some 200 MiB."""

MAX_KNOWN = 256
"""Runs that are remembered; the oldest ended one makes room."""


class Run:
    """One run. Not thread-safe: it lives in the coordinator's event loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state: RunState = "starting"
        self.events: list[Event] = []
        self.flower_id: int | None = None
        self._result: bytes | None = None
        self._changed = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether the state is final."""
        return not MOVES[self.state]

    def take(self, event: Event) -> None:
        """Append an event; a terminal one moves the state.

        Raises:
            IllegalMove: The run has ended, or the event does not fit its state.
        """
        if self.has_ended:
            raise IllegalMove
        begins = event.type == "run_started"
        if event.type != "run_failed" and begins != (self.state == "starting"):
            raise IllegalMove
        if event.type == "run_finished" and not self._has_succeeded():
            event = Event(type="run_failed", code="participation")
        if event.type in TERMINAL:
            self._move("finished" if event.type == "run_finished" else "failed")
        elif begins:
            self._move("running")
        self.events.append(msgspec.structs.replace(event, seq=len(self.events) + 1))
        self._changed.set()
        self._changed = asyncio.Event()

    def keep(self, result: bytes) -> None:
        """Hold the finished model.

        Raises:
            IllegalMove: The run is not running.
        """
        if self.state != "running":
            raise IllegalMove
        self._result = result

    def fetch(self) -> bytes:
        """Return the finished model, once.

        Raises:
            ResultGone: There is no model: not yet, or not any more.
        """
        if self.state != "finished" or self._result is None:
            raise ResultGone
        result, self._result = self._result, None
        return result

    def drop(self) -> None:
        """Forget the finished model."""
        self._result = None

    async def after(self, cursor: int, wait_s: float) -> Sequence[Event]:
        """Return events with `seq > cursor`, waiting up to `wait_s` seconds for the first one."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while len(self.events) <= cursor and not self.has_ended:
            try:
                await asyncio.wait_for(self._changed.wait(), until - loop.time())
            except TimeoutError:
                break
        return self.events[max(cursor, 0) :]

    def _has_succeeded(self) -> bool:
        return self._result is not None and took_part(self.plan, self.events)

    def _move(self, to: RunState) -> None:
        if to not in MOVES[self.state]:
            raise IllegalMove
        self.state = to
        if to == "failed":
            self._result = None


class RunBook:
    """All runs of a coordinator by id."""

    def __init__(self, later: Callable[[float, Callable[[], None]], object]) -> None:
        self._runs: dict[str, Run] = {}
        self._later = later

    def add(self, plan: Plan) -> Run:
        """Enter a run.

        Raises:
            RunExists: The id is taken.
            TooBusy: `MAX_ACTIVE` runs are under way.
        """
        if plan.run_id in self._runs:
            raise RunExists
        if sum(not run.has_ended for run in self._runs.values()) >= MAX_ACTIVE:
            raise TooBusy
        if len(self._runs) >= MAX_KNOWN:
            ended = next(key for key, run in self._runs.items() if run.has_ended)
            del self._runs[ended]
        run = self._runs[plan.run_id] = Run(plan)
        return run

    def same(self, plan: Plan) -> Run | None:
        """The run of exactly this plan, or None."""
        run = self._runs.get(plan.run_id)
        return run if run is not None and run.plan == plan else None

    def get(self, run_id: str) -> Run:
        """Return a run; raises `UnknownRun`."""
        try:
            return self._runs[run_id]
        except KeyError:
            raise UnknownRun from None

    def remove(self, run_id: str) -> None:
        """Forget a run; nothing happens when it is absent."""
        self._runs.pop(run_id, None)

    def active(self, tenant: str) -> list[Run]:
        """The tenant's runs that have not ended."""
        return [run for run in self._of(tenant) if not run.has_ended]

    def expire(self, run: Run) -> None:
        """Drop the run's result after `RESULT_S`, fetched or not."""
        self._later(RESULT_S, run.drop)

    def _of(self, tenant: str) -> list[Run]:
        return [run for run in self._runs.values() if run.plan.tenant == tenant]


def took_part(plan: Plan, events: Sequence[Event]) -> bool:
    """Whether every round was aggregated and had results of a quorum of listed sites."""
    listed = {site.name for site in plan.sites}
    results = Counter(
        number
        for number, site in {(e.round, e.site) for e in events if e.type == "site_result"}
        if site in listed
    )
    aggregated = {event.round for event in events if event.type == "round_aggregated"}
    return all(
        number in aggregated and results[number] >= plan.quorum
        for number in range(1, plan.rounds + 1)
    )
