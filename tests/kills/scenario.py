"""A scenario: how a kind of change comes about, and how to see in a folder what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.composition.foundation import Foundation
from tests.kills.world import World

Notes = dict[str, Any]
"""What was prepared: ids and digests that the call and the looks need."""


@dataclass(frozen=True)
class Scenario:
    """One way in which a change of some kind comes about.

    Attributes:
        kind: Name of the kind of intent.
        way: What is special about it; empty for the usual way.
        prepare: Makes what must be there before; its steps are not counted.
        act: Calls the use case.
        finished: Tells whether the change is completely there.
        undone: Tells whether nothing of it is there.
        refused: What the use case raises; then the change is never there.
        lives: Tells whether the process that went on after a fault does what the change asks of it.
        leaves: Whether there is anything to see of it. A delivery or an export leaves nothing, so
            there is no telling one that ended from one that did not.
        tells: Another tenant finds it in its own log as well.
    """

    kind: str
    prepare: Callable[[World], Notes]
    act: Callable[[World, Notes], object]
    finished: Callable[[Foundation, Notes], bool]
    undone: Callable[[Foundation, Notes], bool]
    way: str = ""
    refused: type[Exception] | None = None
    lives: Callable[[World], bool] = lambda world: True
    leaves: bool = True
    tells: bool = False

    @property
    def name(self) -> str:
        """Kind and way."""
        return f"{self.kind} ({self.way})" if self.way else self.kind


def nothing(world: World) -> Notes:
    """Prepare nothing."""
    return {}


def never(base: Foundation, notes: Notes) -> bool:
    """See nothing of a change that is refused."""
    return False


def always(base: Foundation, notes: Notes) -> bool:
    """See no difference."""
    return True
