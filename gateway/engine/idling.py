"""Engines that compute although nothing runs: found by processor time that no run accounts for.

A run has a deadline; what an engine does between runs had none, and one that its model has taken
over could keep a processor for ever. A sound engine waits at its bell then: it takes no time but to
give memory back after a peak, some milliseconds, and a run takes no more than its own length on
each processor. So an engine is ended that took more than `SHARE` of a processor beyond its runs, in
`LOOKS` looks one after the other. Time that it waited for a processor counts as taken: beside other
load it would pass for quiet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from gateway.engine.process import EngineProcess

LOOK_SECONDS: Final = 30.0
SHARE: Final = 0.25
LOOKS: Final = 2
_PROCESSORS: Final = os.cpu_count() or 1
_SCHEDULED: Final = 2  # CPUCLOCK_SCHED of the kernel, as in clock_getcpuclockid(3)


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    taken: float
    ran: float
    over: int = 0


class IdleWatch:
    """Looks at engines again and again. Used by one thread.

    Args:
        taken: Returns the seconds of processor time that a process took or waited for.
        monotonic: Seconds.
    """

    def __init__(
        self,
        taken: Callable[[int], float] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._taken = taken or taken_by
        self._monotonic = monotonic
        self._last: WeakKeyDictionary[EngineProcess, _Look] = WeakKeyDictionary()

    def burns(self, engine: EngineProcess, ran: float) -> bool:
        """Look at an engine; whether it is to be ended.

        Args:
            engine: Which.
            ran: Seconds that its runs took until now.
        """
        now = self._monotonic()
        try:
            taken = self._taken(engine.pid)
        except OSError:  # it has ended
            return False
        last = self._last.get(engine)
        over = 0
        if last is not None and now > last.at:
            threads = _PROCESSORS if engine.wide else 1
            beyond = (taken - last.taken) - threads * (ran - last.ran)
            over = last.over + 1 if beyond > SHARE * (now - last.at) else 0
        self._last[engine] = _Look(now, taken, ran, over)
        return over >= LOOKS


def taken_by(pid: int) -> float:
    """Return the seconds of processor time that a process took, and waited for in its main thread.

    The clock can be read where the kernel hides processes; the other is zero there.

    Raises:
        OSError: There is no such process.
    """
    taken = time.clock_gettime((~pid << 3) | _SCHEDULED)
    try:
        return taken + int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return taken
