"""Whether a token of our own is good now, for those who ask about it rather than call with it.

Introspection (RFC 7662) and token exchange (RFC 8693) look here. What is good here is good at every
door, but for its proof of possession, which only a call can carry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.identity.delegation import Delegation, delegation_of, narrowed
from gateway.identity.errors import InvalidToken
from gateway.identity.principal import Principal, is_person, principal_of, registered_id
from gateway.identity.revocation import RevocationState
from gateway.identity.tokens import (
    AccessClaims,
    TokenMinter,
    parse_access_token,
    read_access_token,
)


@dataclass(frozen=True, slots=True)
class GoodToken:
    """A token of ours that is good now.

    Attributes:
        claims: What it says.
        principal: Whom it stands for.
        delegation: Who acts for whom with it; None where nobody does.
    """

    claims: AccessClaims
    principal: Principal
    delegation: Delegation | None


class OwnTokens:
    """Reads tokens that we signed. Blocks: from a thread.

    Args:
        minter: Signed them.
        revocation_state: Knows what was revoked since.
        clock: Unix seconds.
    """

    def __init__(
        self, minter: TokenMinter, revocation_state: RevocationState, clock: Callable[[], float]
    ) -> None:
        self._minter = minter
        self._revocation_state = revocation_state
        self._clock = clock

    def read(self, token: str) -> GoodToken:
        """Return what a token says and whom it stands for.

        Raises:
            InvalidToken: It is not ours, or not good now.
        """
        trust, now = self._minter.trust, self._clock()
        issuer, kid, unverified = parse_access_token(token.encode("utf-8", "replace"))
        key = self._minter.keys.find(kid)
        if issuer != trust.issuer or key is None:
            raise InvalidToken
        claims = read_access_token(unverified, key, trust, now)
        look_up = self._revocation_state.look_up
        registration = look_up(registered_id(claims, trust, own=True))
        app = look_up(claims.client_id)[0] if is_person(claims) else None
        principal = principal_of(claims, trust, *registration, now, own=True, app=app)
        delegation = delegation_of(unverified.claims)
        if delegation is not None:
            principal = narrowed(principal, delegation, map(look_up, delegation.others))
        if self._revocation_state.has_ended(principal, app):
            raise InvalidToken
        return GoodToken(claims, principal, delegation)
