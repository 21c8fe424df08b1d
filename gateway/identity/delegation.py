"""Tokens by which one client acts for another (RFC 8693): who is behind them, and what that allows.

1. Such a token is never worth more than any of those it came through: its scopes are within those
   of the token that was exchanged, and whoever takes it part in it narrows roles, scopes and
   purposes to what that client is registered for *now*.
2. Everyone in it belongs to one tenant and is valid, or it is not: shutting any of them out, or
   revoking any token that it came from, ends it. Letting that one in again does not bring it back.
3. `act` (section 4.1) names who acts, and who acted before, and is bounded; only tokens that we
   signed ourselves are read so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.identity.errors import InvalidToken, SignatureRefused
from gateway.identity.principal import Principal
from gateway.identity.records import Client, Tenant
from gateway.identity.signed import short_text

MAX_ACTORS: Final = 3
"""Who may stand in one `act` chain: a service behind a service behind a service."""
ORIGINS: Final = "sealgate_of"
"""The claim that names the tokens it came from, by their `jti`."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """Who acts for whom.

    Attributes:
        subject: The client that is acted for.
        actors: Those that act, the one with the token first.
        origins: `jti` of the tokens it came from, the newest first.
    """

    subject: str
    actors: tuple[str, ...]
    origins: tuple[str, ...]

    @property
    def others(self) -> tuple[str, ...]:
        """Every client in it but the one that has the token."""
        return (self.subject, *self.actors[1:])

    def claims(self) -> dict[str, Any]:
        """Return what a token says of it, beside `client_id`."""
        act: dict[str, Any] = {}
        for actor in reversed(self.actors):
            act = {"sub": actor, "act": act} if act else {"sub": actor}
        return {"sub": self.subject, "act": act, ORIGINS: list(self.origins)}


def delegation_of(claims: Mapping[str, Any]) -> Delegation | None:
    """Read who acts for whom from the verified claims of a token of our own.

    Raises:
        InvalidToken: It says so in a way that is not ours.
    """
    if "act" not in claims and ORIGINS not in claims:
        return None
    try:
        actors = tuple(_actors(claims.get("act")))
        origins = claims.get(ORIGINS)
        if not isinstance(origins, list) or len(origins) != len(actors):
            raise InvalidToken
        subject = short_text(claims.get("sub"))
        tokens = tuple(short_text(one) for one in origins)
    except SignatureRefused as cause:
        raise InvalidToken from cause
    if actors[0] != claims.get("client_id"):
        raise InvalidToken
    return Delegation(subject, actors, tokens)


def _actors(act: object) -> Iterable[str]:
    for _ in range(MAX_ACTORS):
        if not isinstance(act, Mapping) or not act.keys() <= {"sub", "act"}:
            raise InvalidToken
        yield short_text(act.get("sub"))
        if "act" not in act:
            return
        act = act["act"]
    raise InvalidToken


def narrowed(
    principal: Principal,
    delegation: Delegation,
    others: Iterable[tuple[Client | None, Tenant | None]],
) -> Principal:
    """Return the caller as far as everyone in its token may act.

    Args:
        principal: Of the client that has the token.
        delegation: Who is in it.
        others: Client and tenant of each of `delegation.others`, now.

    Raises:
        InvalidToken: One of them is not valid, or of another tenant.
    """
    roles, scopes, purposes = principal.roles, principal.scopes, principal.purposes
    for client, tenant in others:
        if client is None or client.disabled or tenant is None or tenant.suspended:
            raise InvalidToken
        if client.tenant != principal.tenant or principal.issued < client.not_before:
            raise InvalidToken
        roles, scopes = roles & client.roles, scopes & client.scopes
        purposes = purposes & client.purposes
    default = principal.default_purpose
    return replace(
        principal,
        roles=roles,
        scopes=scopes,
        purposes=purposes,
        default_purpose=default if default in purposes else None,
        acting_for=delegation.others,
        origins=delegation.origins,
    )
