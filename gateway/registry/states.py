"""The life of a model version, as a table.

    quarantined ──> candidate ──> released ──> retired
         ↑└───────> rejected
         └──────────────┘

A refusal does not use up a version's name: the next push of it begins in quarantine again.

INVARIANT: a version that was retired never serves again, and nothing becomes released without
having been a candidate. `rollback` moves the release pointer between released versions and
is no move of this table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from gateway.registry.errors import IllegalMove
from gateway.registry.records import ModelVersion, VersionState

MOVES: Final[dict[VersionState, frozenset[VersionState]]] = {
    "quarantined": frozenset({"candidate", "rejected"}),
    "candidate": frozenset({"released", "retired"}),
    "released": frozenset({"retired"}),
    "retired": frozenset(),
    "rejected": frozenset({"quarantined"}),
}
"""State → the states that may follow it."""

Use = Literal["call", "deliver", "promote"]
"""Answering requests; being handed to a recipient; becoming what answers by the model's name."""

USES: Final[dict[VersionState, frozenset[Use]]] = {
    "quarantined": frozenset(),
    "candidate": frozenset({"call", "deliver", "promote"}),
    "released": frozenset({"call", "deliver", "promote"}),
    "retired": frozenset(),
    "rejected": frozenset(),
}
"""State → what a version may be used for, where the tenant's policies allow it.

The platform's policy `platform-stage` says the same; a test compares them.
"""


def _usable(use: Use) -> frozenset[VersionState]:
    return frozenset(state for state, uses in USES.items() if use in uses)


CALLABLE: Final = _usable("call")
DELIVERABLE: Final = _usable("deliver")
PROMOTABLE: Final = _usable("promote")
PUBLISHED: Final = CALLABLE | {"retired"}
"""States of a version whose publishing came to its end."""


def is_taken(version: ModelVersion | None) -> bool:
    """Tell whether a version's name is used up: by all but one that was refused."""
    return version is not None and "quarantined" not in MOVES[version.state]


def moved(version: ModelVersion, to: VersionState) -> ModelVersion:
    """Return `version` in state `to`.

    Raises:
        IllegalMove: The table has no such move.
    """
    if to not in MOVES[version.state]:
        raise IllegalMove
    return replace(version, state=to)
