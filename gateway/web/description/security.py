"""How a caller shows who it is, and what its token has to be good for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.identity.dpop import ALGORITHMS
from gateway.identity.records import SCOPES
from gateway.identity.token_grant import TOKEN_PATH
from policies.starting import Grant, grants

TOKEN: Final = "token"  # noqa: S105 - the name of a scheme
BOUND_TOKEN: Final = "bound_token"  # noqa: S105 - the name of a scheme
CLIENT: Final = "client"
_GOOD_FOR: Final[Mapping[str, str]] = {
    "admin": "Administer the platform: tenants and clients.",
    "artifacts": "Download sealed models.",
    "audit": "Read evidence, and exercise the rights of data subjects.",
    "federate": "Run federations, or take part in them.",
    "infer": "Ask models.",
    "models": "Publish, release and describe models.",
    "policies": "Read and replace the policy set.",
}


def schemes() -> dict[str, Any]:
    """Return the security schemes of the document."""
    scopes = {scope: _GOOD_FOR[scope] for scope in sorted(SCOPES)}
    return {
        TOKEN: {
            "type": "oauth2",
            "description": "An access token that is not bound to a key, as `Authorization: Bearer`:"
            " for clients that are registered with `token_binding: none`. It lives five minutes.",
            "flows": {"clientCredentials": {"tokenUrl": TOKEN_PATH, "scopes": scopes}},
        },
        BOUND_TOKEN: {
            "type": "http",
            "scheme": "DPoP",
            "bearerFormat": "JWT",
            "description": "An access token that is bound to a key of the client (RFC 9449), as"
            " `Authorization: DPoP`, with a fresh proof of that key in the header `DPoP` of every"
            f" request, signed with {' or '.join(ALGORITHMS)}. It is what clients get unless they"
            " are registered otherwise. No nonce is asked for.",
        },
        CLIENT: {
            "type": "http",
            "scheme": "basic",
            "description": "Id and secret of the client. A client with a key sends"
            " `client_assertion` in the form instead (RFC 7523).",
        },
    }


def wanted(*decisions: tuple[str, str]) -> list[dict[str, list[str]]]:
    """Return the security requirement of an operation.

    Args:
        *decisions: Action and kind of thing, any of which is decided; without one any token does.
    """
    found = {scope for one in decisions for grant in grants(*one) for scope in grant.scopes}
    ways = [[scope] for scope in sorted(found)] or [[]]
    return [{scheme: way} for way in ways for scheme in (TOKEN, BOUND_TOKEN)]


def told(action: str, on: str) -> str:
    """Return a sentence about what is decided, and whom the first policies let."""
    found = " or ".join(_grant(grant) for grant in grants(action, on))
    decided = f"Decided: `{action}` on `{on}`."
    if action == "administer":
        return f"{decided} The platform's own policies want {found}."
    return (
        f"{decided} The policies that a tenant starts with want {found}; a tenant may replace them."
    )


def _grant(grant: Grant) -> str:
    roles = " or ".join(f"`{role}`" for role in grant.roles)
    scopes = " or ".join(f"`{scope}`" for scope in grant.scopes)
    return f"the role {roles} with the scope {scopes}"
