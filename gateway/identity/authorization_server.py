"""The embedded authorization server: client credentials in, a five-minute access token out.

For a client's own calls, or for calls that it makes for another client of its tenant (RFC 8693).

1. A token is issued as `gateway.identity.token_grant` promises, and in no other way.
2. A client can revoke its own tokens only, a public one by naming itself (RFC 7009 section 2.1):
   that fills no log, as each is revoked once, while it lives. A token that is not ours, or no token
   at all, is answered like one that was revoked (section 2.2).
3. A revocation is read first and carried out later, so that its intent can be recorded in between.
4. Every outcome of a token request of a known client is an event, which the caller records before
   it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.identity.assertion_rules import Profile
from gateway.identity.client_authentication import NOWHERE, ClientAuthenticator, Connection
from gateway.identity.dpop import ProofChecker
from gateway.identity.errors import InvalidProof, InvalidToken, NonceRequired, OAuthRefusal
from gateway.identity.introspection import introspected
from gateway.identity.own_tokens import OwnTokens
from gateway.identity.public_clients import PersonClients
from gateway.identity.records import Client
from gateway.identity.revocation import RevocationState
from gateway.identity.token_grant import TokenGrant, TokenRequest
from gateway.identity.tokens import (
    AccessClaims,
    TokenMinter,
    parse_access_token,
    read_access_token,
)


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """Something that happened to a token, for the audit log.

    Attributes:
        action: `issueToken`.
        tenant: The client's tenant.
        client_id: The client.
        outcome: `allow` or `deny`.
        reason: The OAuth error code of a refusal, else `ok`.
        token_id: `jti` of the token, or None when there is none.
        subject: For whom the client acts with it; empty where it acts for itself.
        person: Id of the person whom the token is about; empty for a service.
        sign_in: Of that person, at the client.
    """

    action: Literal["issueToken"]
    tenant: str
    client_id: str
    outcome: Literal["allow", "deny"]
    reason: str
    token_id: str | None = None
    subject: str = ""
    person: str = ""
    sign_in: str = ""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """The outcome of a token request: a body to send, or a refusal, and the event to record first.

    Attributes:
        body: Members of the JSON answer; empty with a refusal.
        refusal: Why there is no token.
        event: What to record; None while the client is not known.
        then: To be called once the event is durable: it spends what the token is given for, and
            returns the answer in the place of this one. Blocks.
    """

    body: Mapping[str, str | int]
    refusal: OAuthRefusal | None
    event: TokenEvent | None
    then: Callable[[], TokenAnswer] | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation that was asked for and is allowed, but not done yet."""

    client: Client
    claims: AccessClaims


class AuthorizationServer:
    """Issues and revokes access tokens. Its methods block: call them from a thread.

    Args:
        minter: Signs the tokens.
        clients: Authenticates the clients.
        proofs: Checks proofs of possession for our public URL.
        revocation_state: Keeps the revocations.
        clock: Unix seconds.
        certificates: Whether clients may show certificates (RFC 8705); for the metadata.
    """

    def __init__(
        self,
        minter: TokenMinter,
        clients: ClientAuthenticator,
        proofs: ProofChecker,
        revocation_state: RevocationState,
        *,
        clock: Callable[[], float],
        certificates: bool = False,
    ) -> None:
        self.certificates = certificates
        self._minter = minter
        self._clients = clients
        self._revokers = PersonClients(clients, revocation_state)
        self._revocation_state = revocation_state
        self._clock = clock
        self._trust = minter.trust
        self._tokens = OwnTokens(minter, revocation_state, clock)
        self._grant = TokenGrant(clients, minter, proofs, self._tokens)

    def token_response(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        dpop: bytes | None,
        connection: Connection = NOWHERE,
    ) -> TokenAnswer:
        """Answer a token request (RFC 6749 section 4.4).

        Args:
            form: Its form fields, none repeated.
            authorization: Value of its one `Authorization` header, or None.
            dpop: Value of its one `DPoP` header, or None.
            connection: What it came over.
        """
        request = TokenRequest(form, authorization, dpop, connection)
        try:
            self._grant.run(request)
        except OAuthRefusal as refusal:
            return TokenAnswer({}, refusal, _issued(request, "deny", refusal.error))
        except InvalidProof as refusal:
            nonce = refusal.nonce if isinstance(refusal, NonceRequired) else ""
            refused = OAuthRefusal(refusal.code, refusal.public, nonce)
            return TokenAnswer({}, refused, _issued(request, "deny", refused.error))
        return TokenAnswer(request.answer, None, _issued(request, "allow", "ok"))

    def read_revocation(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        connection: Connection = NOWHERE,
    ) -> Revocation | None:
        """Check a revocation request (RFC 7009), without carrying it out yet.

        Returns:
            What to revoke, or None when the token is not one of ours.

        Raises:
            OAuthRefusal: The client is not authenticated, names no token, or someone else's.
        """
        client = self._revokers.authenticate(form, authorization, connection)
        if "token" not in form:
            raise OAuthRefusal("invalid_request", "a token is required")
        try:
            issuer, kid, unverified = parse_access_token(form["token"].encode("utf-8", "replace"))
            key = self._minter.keys.find(kid)
            if issuer != self._trust.issuer or key is None:
                return None
            claims = read_access_token(
                unverified, key, self._trust, self._clock(), expired_too=True
            )
        except InvalidToken:
            return None
        if claims.client_id != client.id:
            raise OAuthRefusal("invalid_grant", "the token belongs to another client")
        return Revocation(client, claims) if self._is_worth_it(client, claims) else None

    def _is_worth_it(self, client: Client, claims: AccessClaims) -> bool:
        """Tell whether a revocation changes anything, where anybody can ask for it."""
        if client.auth_method != "none":
            return True
        revoked = self._revocation_state.is_revoked(claims.issuer, claims.token_id)
        return not revoked and claims.expires > self._clock()

    def introspect(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        connection: Connection = NOWHERE,
    ) -> Mapping[str, Any]:
        """Answer who asks about a token (RFC 7662).

        Raises:
            OAuthRefusal: The client is not authenticated, or names no token.
        """
        client = self._clients.authenticate(form, authorization, connection)
        if "token" not in form:
            raise OAuthRefusal("invalid_request", "a token is required")
        return introspected(self._tokens, client, form["token"], self._minter.audience)

    def revoke(self, issuer: str, token_id: str, expires: int) -> None:
        """Carry a revocation out; when it returns the token is accepted nowhere. May be repeated.

        Args:
            issuer: `iss` of the token.
            token_id: `jti` of the token.
            expires: Its expiry, Unix seconds.
        """
        if expires > self._clock():
            self._revocation_state.revoke_token(issuer, token_id, expires)

    @property
    def jwks(self) -> Mapping[str, Any]:
        """The public keys of the tokens, as a JWK set."""
        return self._minter.keys.jwks

    @property
    def refusals(self) -> Mapping[str, int]:
        """Number of refused requests whose client is not known, by OAuth error code."""
        return self._clients.refusals

    @property
    def profile(self) -> Profile:
        """Which rules hold for the assertions of clients."""
        return self._clients.rules.profile

    @property
    def issuer(self) -> str:
        """Our `iss`."""
        return self._minter.issuer


def _issued(
    request: TokenRequest, outcome: Literal["allow", "deny"], reason: str
) -> TokenEvent | None:
    if request.client is None:
        return None
    client = request.client.record
    token_id = request.token.token_id if request.token is not None else None
    return TokenEvent(
        "issueToken", client.tenant, client.id, outcome, reason, token_id, request.subject
    )
