"""What an operator hears of federations: which sites call, and how far their runs are.

It is kept in the memory of the process and told as metrics, by names that convenors registered: a
site is known here only after its key was found and its signature was verified, so nobody invents
one. What is kept is bounded (`MAX_KEPT`); it is no evidence, the log is.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.federation.coordinator import RunEvent
from gateway.federation.records import Run, Site

CONNECTED_SECONDS: Final = 90.0
"""A site asks for work again within the 40 s that a pull is held at most."""
MAX_KEPT: Final = 1_000
"""Sites, and federations; the one that has been silent for longest makes way."""


class Watching:
    """Takes note. For any thread.

    Args:
        clock: Unix seconds.

    Attributes:
        steps: How many steps of runs were recorded since the start, by type.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._contacts: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._rounds: OrderedDict[tuple[str, str], float] = OrderedDict()
        self.steps: Counter[str] = Counter()

    def contact(self, site: Site) -> None:
        """Note that a site called, and may pass."""
        with self._lock:
            _put(self._contacts, (site.tenant, site.name), self._clock())

    def step(self, run: Run, step: RunEvent) -> None:
        """Note a step of a run that is recorded."""
        with self._lock:
            self.steps[step.type] += 1
            if step.type == "round_aggregated":
                _put(self._rounds, (run.tenant, run.federation), self._clock())

    @property
    def contacts(self) -> dict[tuple[str, str], float]:
        """When each site (tenant, name) called last: Unix seconds."""
        with self._lock:
            return dict(self._contacts)

    @property
    def rounds(self) -> dict[tuple[str, str], float]:
        """When the last round of each federation (tenant, name) was aggregated: Unix seconds."""
        with self._lock:
            return dict(self._rounds)

    def connected(self) -> int:
        """Return how many sites called within `CONNECTED_SECONDS`."""
        since = self._clock() - CONNECTED_SECONDS
        return sum(at >= since for at in self.contacts.values())


def _put(kept: OrderedDict[tuple[str, str], float], key: tuple[str, str], at: float) -> None:
    kept[key] = at
    kept.move_to_end(key)
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)
