"""The terms that a model is shared under, held to their rules. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.errors import InvalidRequest
from gateway.names import is_name, is_version, require_name

MAX_LISTED: Final = 16
"""Versions, or purposes, that terms name: all of them are told in one field of an event."""
WHAT: Final = "a sharing lets the other tenant do something: `infer`, `download`, or both"


@dataclass(frozen=True, slots=True)
class Terms:
    """What an owner offers; fields as of `gateway.registry.records.Sharing`."""

    tenant: str
    versions: frozenset[str] = frozenset()
    infer: bool = True
    download: bool = False
    purposes: frozenset[str] = frozenset()
    until: int | None = None


def check_terms(terms: Terms, owner: str, now: float) -> None:
    """Refuse what cannot be offered.

    Args:
        terms: What is offered.
        owner: By whom.
        now: Unix seconds.

    Raises:
        InvalidRequest: A field breaks its rule.
    """
    require_name("tenant", terms.tenant)
    if terms.tenant == owner:
        raise InvalidRequest("`tenant` must be another tenant: a model is its own tenant's already")
    if len(terms.versions) > MAX_LISTED or not all(map(is_version, terms.versions)):
        raise InvalidRequest(f"`versions` must be up to {MAX_LISTED} versions; none: all released")
    if len(terms.purposes) > MAX_LISTED or not all(map(is_name, terms.purposes)):
        raise InvalidRequest(f"`purposes` must be up to {MAX_LISTED} purposes; none: any")
    if not (terms.infer or terms.download):
        raise InvalidRequest(WHAT)
    if terms.until is not None and terms.until <= now:
        raise InvalidRequest("`until` must be in the future, or be left out")
