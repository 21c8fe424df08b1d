"""Token introspection (RFC 7662): a resource server asks about a token that it was sent.

1. Who asks has authenticated as a client, and is told of tokens of its own tenant only.
2. Everything else is `{"active": false}` and nothing more (section 2.2): a token of another tenant,
   of another issuer, expired, revoked, malformed, or of a client that was shut out.
3. What is told is what the token is good for now, not what it was when it was signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.identity.errors import InvalidToken
from gateway.identity.own_tokens import GoodToken, OwnTokens
from gateway.identity.records import Client

INTROSPECTION_PATH: Final = "/oauth/introspect"
_INACTIVE: Final[Mapping[str, Any]] = {"active": False}


def introspected(tokens: OwnTokens, client: Client, token: str, audience: str) -> Mapping[str, Any]:
    """Return what an authenticated client is told about a token. Blocks.

    Args:
        tokens: Reads ours.
        client: Who asks.
        token: What it asks about.
        audience: Of our tokens.
    """
    try:
        found = tokens.read(token)
    except InvalidToken:
        return _INACTIVE
    return _told(found, audience) if found.principal.tenant == client.tenant else _INACTIVE


def _told(found: GoodToken, audience: str) -> dict[str, Any]:
    claims, principal = found.claims, found.principal
    told: dict[str, Any] = {
        "active": True,
        "iss": claims.issuer,
        "sub": claims.subject,
        "aud": audience,
        "client_id": claims.client_id,
        "scope": " ".join(sorted(principal.scopes)),
        "iat": claims.issued,
        "exp": claims.expires,
        "jti": claims.token_id,
        "token_type": "DPoP" if principal.binding == "dpop" else "Bearer",
        "tenant": principal.tenant,
    }
    if claims.confirmation:
        told["cnf"] = dict(claims.confirmation)
    if found.delegation is not None:
        told["act"] = found.delegation.claims()["act"]
    return told
