"""What the evidence says of a change: its kind, who makes it, how it ended when cut off. Pure.

A use case registers a `Kind` with `gateway.authorization.intents.Intents`, and makes each change of
that kind by an intent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from audit.event import Outcome
from gateway.authorization.recorder import Call, Details, of_call
from gateway.authorization.records import Pending
from gateway.identity.principal import Principal
from policies.engine import Decision

TOLD: Final = "told"
"""Among the facts of a row: the tenant that is told of the result in its own log."""


@dataclass(frozen=True, slots=True)
class Settled:
    """How a change that was cut off ended."""

    outcome: Outcome
    reason: str


FINISHED: Final = Settled("done", "reconciled")
UNDONE: Final = Settled("error", "interrupted")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of change.

    Attributes:
        name: Stored in rows: it never changes its meaning.
        action: The Cedar action of its events.
        details: Fields of its events that follow from its row.
        finish: Finishes or undoes a change that was cut off, and says which. It may be called again
            for the same row, and must then come to the same end. It raises when it cannot tell.
        told: Fields of the event by which another tenant is told (`TOLD`), which then names nobody
            of this one; None: it is told who acted.
    """

    name: str
    action: str
    details: Callable[[Pending], Details]
    finish: Callable[[Pending], Settled]
    told: Callable[[Pending], Details] | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who makes a change and by which decision; nobody, when the gateway does it by itself."""

    principal: Principal | None = None
    decision: Decision | None = None
    details: Details = field(default_factory=Details)


def by_call(call: Call, decision: Decision) -> Attribution:
    """Return the attribution of a change that a decided call asks for."""
    return Attribution(call.principal, decision, of_call(call))
