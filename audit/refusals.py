"""What the log refused for want of a durable place: counted, and told once the store works again.

An event that was refused is in no tree. So that the gap shows, its number goes into the platform's
tree, as one `recordGap` event, with the first write that succeeds.
"""

from __future__ import annotations

from audit.event import PLATFORM_TENANT, Event, new_event_id
from audit.ports import Clock, RandomBytes


class Refusals:
    """Counts refused events. Used under the log's lock.

    Args:
        clock: Unix seconds, for the event that tells the number.
        random_bytes: For its id.

    Attributes:
        total: How many were refused since the start.
        untold: How many of them no tree tells of yet.
    """

    def __init__(self, clock: Clock, random_bytes: RandomBytes) -> None:
        self.total = 0
        self.untold = 0
        self._clock, self._random = clock, random_bytes

    def add(self, events: int) -> None:
        """Count events that are refused now."""
        self.total += events
        self.untold += events

    def take(self) -> int:
        """Return how many are untold; the caller tells of them, or gives them back."""
        untold, self.untold = self.untold, 0
        return untold

    def give_back(self, events: int) -> None:
        """Count events as untold again: telling of them failed."""
        self.untold += events

    def told(self, events: int) -> Event:
        """Return the event that tells how many were refused."""
        return Event(
            id=new_event_id(self._clock, self._random),
            ts=int(self._clock() * 1e9),
            tenant=PLATFORM_TENANT,
            category="audit",
            action="recordGap",
            outcome="error",
            reason="audit_unavailable",
            n_in=events,
        )
