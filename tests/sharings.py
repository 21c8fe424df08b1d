"""Sharings for tests: accepted, of every released version, to call only, unless said otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.registry.records import Sharing

LATE = 1 << 40
"""Unix seconds after every test's clock: it was offered after any model was registered."""


def sharing(owner: str, model: str, tenant: str, **terms: Any) -> Sharing:
    """Return what a tenant shares of a model with another one."""
    made = Sharing(
        id=f"offer-of-{model}-to-{tenant}",
        owner=owner,
        model=model,
        tenant=tenant,
        versions=frozenset(),
        infer=True,
        download=False,
        purposes=frozenset(),
        until=None,
        offered=LATE,
        offered_by=f"{owner}-owner",
        accepted=LATE,
        accepted_by=f"{tenant}-owner",
    )
    return replace(made, **terms)
