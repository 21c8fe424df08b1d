"""What the log gives back for an event that it holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an event is: durable, and under a signed checkpoint. Its text is `origin/index`."""

    origin: str
    index: int
    event_id: str

    def __str__(self) -> str:
        return f"{self.origin}/{self.index}"
