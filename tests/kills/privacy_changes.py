"""Rights of data subjects."""

from __future__ import annotations

from audit.ports import Filter
from gateway.composition.foundation import Foundation
from tests.gateway.web.test_subjects import consulted
from tests.kills.scenario import Notes, Scenario
from tests.kills.world import World, call

OFFICER = call("officer")
PERSON = "MRN-7"


def _known(world: World) -> Notes:
    for _ in range(3):
        ref = consulted(world.base, "acme", PERSON)
    return {"ref": ref}


def _sealed(base: Foundation, notes: Notes) -> int:
    """How many sealed fields of the person are kept."""
    found = base.reader.search("acme", Filter(subject_ref=notes["ref"], action="infer"))
    return sum(len(base.reader.sealed("acme", entry.index)) for entry in found)


SCENARIOS = (
    Scenario(
        "erase",
        _known,
        lambda world, notes: world.use.subjects.erase(OFFICER, notes["ref"], notes["ref"]),
        finished=lambda base, notes: (
            base.vault.find("acme", PERSON) is None
            and not base.vault.lives("acme", notes["ref"])
            and _sealed(base, notes) == 0
        ),
        undone=lambda base, notes: (
            base.vault.find("acme", PERSON) == notes["ref"] and _sealed(base, notes) == 3
        ),
    ),
)
