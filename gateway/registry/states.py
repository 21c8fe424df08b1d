"""The life of a model version, as a table.

    quarantined ──> candidate ──> released ──> retired
         └────────> rejected

INVARIANT: a version that was rejected or retired never serves again, and nothing becomes released
without having been a candidate. `rollback` moves the release pointer between released versions and
is no move of this table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.registry.errors import IllegalMove
from gateway.registry.records import ModelVersion, VersionState

MOVES: Final[dict[VersionState, frozenset[VersionState]]] = {
    "quarantined": frozenset({"candidate", "rejected"}),
    "candidate": frozenset({"released", "retired"}),
    "released": frozenset({"retired"}),
    "retired": frozenset(),
    "rejected": frozenset(),
}
"""State → the states that may follow it."""

SERVABLE: Final[frozenset[VersionState]] = frozenset({"released"})
"""States in which a version may answer requests of callers."""

DELIVERABLE: Final[frozenset[VersionState]] = frozenset({"candidate", "released"})
"""States in which a version may be handed to a recipient, if policy allows it."""


def moved(version: ModelVersion, to: VersionState) -> ModelVersion:
    """Return `version` in state `to`.

    Raises:
        IllegalMove: The table has no such move.
    """
    if to not in MOVES[version.state]:
        raise IllegalMove
    return replace(version, state=to)
