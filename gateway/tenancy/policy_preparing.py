"""Policy sets are looked at in a confined process that can be ended, a few at a time.

Safety argument:
1. A text is parsed and validated in a process of its own first: it holds nobody's lock, has bounded
   memory and output, and ends at a deadline whatever the text wants. The gateway parses only what
   came through, whose cost is bounded by then (`policies.cost`).
2. A tenant has one such process at a time and one request that waits; others wait in turn, for so
   many places, and beyond that are told to come again. So no tenant keeps another from publishing
   or takes the threads that requests are answered on.
3. Texts that were in force already are looked at many at a time; where that fails each is looked at
   alone, so that one costs nobody else the start.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from gateway.artifacts.errors import SandboxFailed
from gateway.artifacts.sandbox import Limits, RunSandboxed
from gateway.errors import LimitReached
from policies.compiled import Prepared, prepare, starter_text
from policies.errors import PolicySetInvalid, Problem
from policies.examination import Order, Report, reports
from policies.shape import MAX_TEXT_BYTES
from policies.standing import Standing

MODULE: Final = "gateway.tenancy.policy_job"
LIMITS: Final = Limits(
    memory_bytes=1 << 30, cpu_seconds=10, wall_seconds=30.0, output_bytes=16 << 20
)
"""The largest set within the bounds takes 0.6 s of processor time."""
PLACES: Final = 2
"""Processes at once: each keeps a processor busy."""
TENANT_PRESENT: Final = 2
"""Of one tenant: one that runs and one that waits."""
MOST_PRESENT: Final = 10
"""Of all: a quarter of the threads that requests are answered on."""
AGAIN_SECONDS: Final = 5
STORED_AT_ONCE: Final = 32


class ConfinedPreparing:
    """`policies.ports.Preparing`. For any thread.

    Args:
        run_sandboxed: Runs the job.
        clock: Unix seconds.
        limits: Of one job.

    Attributes:
        turns: Who is looked at now.
    """

    def __init__(
        self,
        run_sandboxed: RunSandboxed,
        clock: Callable[[], float],
        limits: Limits = LIMITS,
    ) -> None:
        self._run_sandboxed = run_sandboxed
        self._clock = clock
        self._limits = limits
        self.turns = FairTurns()

    def prepare(
        self, tenant: str, text: str, standing: Standing | None = None, current: str | None = None
    ) -> Prepared:
        """See the port.

        Raises:
            PolicySetInvalid: As the port says.
            LimitReached: Too many are looked at already, of the tenant or of all.
            Interrupted: The gateway is stopping.
        """
        if text == starter_text() and standing is None:
            return prepare(text)  # our own
        _check_bytes(text)
        order = Order((text,), False, int(self._clock()), standing, current)
        with self.turns.of(tenant):
            try:
                (report,) = self._work(order)
            except SandboxFailed as failure:
                raise PolicySetInvalid((_failed(failure),)) from failure
        return _prepared(report)

    def stored(self, texts: Sequence[str]) -> Sequence[Prepared | PolicySetInvalid]:
        """See the port."""
        found: list[Prepared | PolicySetInvalid] = []
        for start in range(0, len(texts), STORED_AT_ONCE):
            found += self._stored(texts[start : start + STORED_AT_ONCE])
        return found

    def _stored(self, texts: Sequence[str]) -> list[Prepared | PolicySetInvalid]:
        if list(texts) == [starter_text()]:
            return [prepare(texts[0])]
        try:
            return [_outcome(one) for one in self._work(Order(tuple(texts), True, 0))]
        except SandboxFailed as failure:
            if len(texts) > 1:
                return [one for text in texts for one in self._stored([text])]
            return [PolicySetInvalid((_failed(failure),))]

    def _work(self, order: Order) -> Sequence[Report]:
        encoded = msgspec.json.encode(order)
        result = self._run_sandboxed(MODULE, {"order": encoded}, {}, limits=self._limits)
        try:
            return reports(result.outputs["reports"], len(order.texts))
        except (ValueError, KeyError) as fault:
            raise SandboxFailed("output", "") from fault


class FairTurns:
    """Who may have a process now."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(PLACES)
        self._lock = threading.Lock()
        self._present: Counter[str] = Counter()
        self._running: dict[str, threading.Lock] = {}

    @contextmanager
    def of(self, tenant: str) -> Iterator[None]:
        """Wait for a turn of the tenant, and have it while the block runs.

        Raises:
            LimitReached: Too many wait.
        """
        with self.present(tenant) as mine, mine, self._places:
            yield

    @contextmanager
    def present(self, tenant: str) -> Iterator[threading.Lock]:
        """Be counted while the block runs; gives what the tenant's turns are taken by.

        Raises:
            LimitReached: Too many are there.
        """
        with self._lock:
            if self._present[tenant] >= TENANT_PRESENT or self._present.total() >= MOST_PRESENT:
                busy = "too many policy sets are being looked at; try again in some seconds"
                raise LimitReached(busy).again_in(AGAIN_SECONDS)
            self._present[tenant] += 1
            mine = self._running.setdefault(tenant, threading.Lock())
        try:
            yield mine
        finally:
            with self._lock:
                self._present[tenant] -= 1
                if not self._present[tenant]:
                    del self._present[tenant], self._running[tenant]


def _check_bytes(text: str) -> None:
    """Refuse what no process could be given."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise PolicySetInvalid((Problem("", "the text is not valid Unicode"),)) from None
    if size > MAX_TEXT_BYTES:
        raise PolicySetInvalid((Problem("", f"the text is longer than {MAX_TEXT_BYTES} bytes"),))


def _prepared(report: Report) -> Prepared:
    if report.prepared is None:
        raise PolicySetInvalid(report.problems, report.tenants)
    return report.prepared


def _outcome(report: Report) -> Prepared | PolicySetInvalid:
    return report.prepared or PolicySetInvalid(report.problems)


def _failed(failure: SandboxFailed) -> Problem:
    said = {
        "time": f"looking at it took more than {LIMITS.cpu_seconds} s of processor time",
        "memory": f"looking at it took more than {LIMITS.memory_bytes >> 20} MiB",
    }.get(failure.kind, "looking at it ended unexpectedly")
    return Problem("", f"{said}: publish fewer and smaller policies")
