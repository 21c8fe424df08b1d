"""What the log says of a change that a person makes to its own way in."""

from __future__ import annotations

from gateway.authorization.recorder import Details
from gateway.authorization.records import Pending


def of_person(pending: Pending) -> Details:
    """Return the fields of an event about the person that the row of a change names."""
    person = pending.facts["person"]
    return {
        "actor_ref": person,
        "actor_type": "user",
        "reason": pending.kind,
        "resource": f"User::{pending.tenant}/{person}",
    }
