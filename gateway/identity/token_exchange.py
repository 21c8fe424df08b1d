"""Token exchange (RFC 8693): a client that was called gets a token to call on, for its caller.

1. Only clients that are registered with the role `delegate` may, for tokens of their own tenant.
2. The new token is good for this gateway only, ends no later than the one that was exchanged, and
   is bound as the acting client's tokens are.
3. It never carries more scope than the exchanged token, nor more than the acting client may have;
   asking for more is refused. Roles and purposes are those that all who are in it have
   (`gateway.identity.delegation`).
4. `act` names who acts. A chain that would grow beyond its bound, or come back to a client that is
   in it, is refused.
5. Every refusal of a subject token is the same, whatever is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.identity.delegation import MAX_ACTORS, Delegation
from gateway.identity.errors import InvalidToken, OAuthRefusal
from gateway.identity.own_tokens import GoodToken, OwnTokens
from gateway.identity.records import Client

EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
DELEGATE: Final = "delegate"
"""The role of clients that may exchange tokens."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange that is allowed.

    Attributes:
        scopes: What the new token may carry at most.
        until: When it ends at the latest, Unix seconds.
        since: When the exchanged token was issued: the new one is no older.
        delegation: Who acts for whom with it.
    """

    scopes: frozenset[str]
    until: int
    since: int
    delegation: Delegation


def exchange_of(tokens: OwnTokens, client: Client, fields: Mapping[str, str]) -> Exchange:
    """Decide about an exchange that an authenticated client asks for. Blocks.

    Args:
        tokens: Reads ours.
        client: Who asks and will act.
        fields: Of the form.

    Raises:
        OAuthRefusal: It is not allowed.
    """
    if DELEGATE not in client.roles:
        what = "the client may not act for others: it needs the role `delegate`"
        raise OAuthRefusal("unauthorized_client", what)
    _check_form(fields)
    try:
        found = tokens.read(fields["subject_token"])
    except InvalidToken as cause:
        raise _no_subject() from cause
    if found.principal.tenant != client.tenant or client.disabled:
        raise _no_subject()
    claims = found.claims
    delegation = _extended(found, client)
    return Exchange(found.principal.scopes, claims.expires, claims.issued, delegation)


def _check_form(fields: Mapping[str, str]) -> None:
    if "subject_token" not in fields:
        raise OAuthRefusal("invalid_request", "a subject token is required")
    if fields.get("subject_token_type") not in {ACCESS_TOKEN, JWT}:
        raise OAuthRefusal("invalid_request", "the subject token must be an access token")
    if fields.get("requested_token_type", ACCESS_TOKEN) not in {ACCESS_TOKEN, JWT}:
        raise OAuthRefusal("invalid_request", "only access tokens are issued")
    if "actor_token" in fields or "actor_token_type" in fields:
        what = "the actor is the client that authenticates: send no actor token"
        raise OAuthRefusal("invalid_request", what)


def _extended(found: GoodToken, client: Client) -> Delegation:
    claims, before = found.claims, found.delegation
    if before is None and claims.subject != claims.client_id:
        raise _no_subject()
    actors = (client.id, *(before.actors if before else ()))
    if len(actors) > MAX_ACTORS or client.id in {claims.subject, *actors[1:]}:
        what = "the token has been passed on too often, or came from this client"
        raise OAuthRefusal("invalid_request", what)
    origins = (claims.token_id, *(before.origins if before else ()))
    return Delegation(claims.subject, actors, origins)


def _no_subject() -> OAuthRefusal:
    return OAuthRefusal("invalid_request", "the subject token is not acceptable")
