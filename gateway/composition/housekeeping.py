"""What a gateway does by itself while it runs: tell of refusals, settle changes, throw away.

Safety argument:
1. What is refused before a tenant is known is evidence, but nobody may fill a log from outside: it
   is recorded as one number a code, in the platform's log, once a minute at most.
2. A number that cannot be recorded is kept and added to the next one; it is lost only with the
   process. What is counted at the end of the process is recorded before the log closes.
3. A duty that fails is logged by its kind of fault and done again at its next time; it never ends
   the thread.
4. What comes first is done before the doors open: only then is nothing in the staging area in use.
   It is not tried again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from audit.event import PLATFORM_TENANT
from gateway.authorization.recorder import Recorder

ACTION: Final = "refuseUnauthenticated"
TELL_SECONDS: Final = 60.0
"""An event a minute and code at most: half a million a year under a flood that never ends."""
SWEEP_SECONDS: Final = 600.0
"""How long an upload may stay after it expired; it counts as absent from that moment."""
SETTLE_SECONDS: Final = 60.0
"""How often a change is looked at again whose end could not be recorded."""


class Refusals:
    """Records how many were refused before a tenant was known.

    Args:
        counted: Returns how many there were since the process began, by error code.
        recorder: Makes events durable.
    """

    def __init__(self, counted: Callable[[], Mapping[str, int]], recorder: Recorder) -> None:
        self._counted = counted
        self._recorder = recorder
        self._recorded: Counter[str] = Counter()

    def record(self) -> None:
        """Record what is not recorded yet: one event for each code that was met again.

        Raises:
            EvidenceUnavailable: It could not be recorded; the next call tries again.
        """
        for code, total in sorted(self._counted().items()):
            more = total - self._recorded[code]
            if more > 0:
                event = self._recorder.event_for(
                    None,
                    ACTION,
                    "deny",
                    tenant=PLATFORM_TENANT,
                    reason=code,
                    n_in=more,
                )
                self._recorder.write(event)
                self._recorded[code] = total


@dataclass(slots=True)
class Duty:
    """Something that is done again and again.

    Attributes:
        name: For the log.
        act: Does it; may raise anything.
        every: Seconds from one time to the next.
    """

    name: str
    act: Callable[[], object]
    every: float


class Housekeeping:
    """One thread that does what is due.

    Args:
        first: Done once, by `start`.
        duties: Done again and again, first one period after the start.
        last: Done once more, by `close`.
        monotonic: Seconds of a clock that is never set back.
    """

    def __init__(
        self,
        first: Callable[[], object],
        duties: Sequence[Duty],
        last: Callable[[], object],
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._first = first
        self._duties = duties
        self._last = last
        self._monotonic = monotonic
        self._due: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Do what comes first, then start the thread. Call it before anything can publish."""
        _attempt("first", self._first)
        now = self._monotonic()
        self._due = [now + duty.every for duty in self._duties]
        self._thread.start()

    def close(self) -> None:
        """End the thread and do what comes last. Call it after the doors have closed."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        _attempt("last", self._last)

    def catch_up(self) -> float:
        """Do what is due; return the seconds until something is due again."""
        now = self._monotonic()
        for at, duty in enumerate(self._duties):
            if self._due[at] <= now:
                self._due[at] = now + duty.every
                _attempt(duty.name, duty.act)
        return max(0.0, min(self._due) - self._monotonic())

    def _run(self) -> None:
        while not self._stop.wait(self.catch_up()):
            pass


def _attempt(name: str, act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as fault:
        structlog.get_logger().warning("duty_failed", duty=name, fault=type(fault).__name__)
