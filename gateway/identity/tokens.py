"""Access tokens (RFC 9068): minted with Ed25519, and read back as claims or as our error.

A token that is read is a signed compact object (see `gateway.identity.signed`) that meets every
rule of `gateway.identity.token_rules`. The caller looks its issuer up before it picks any key.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from joserfc import jwt

from gateway.errors import ConfigurationError
from gateway.identity.errors import InvalidToken, SignatureRefused
from gateway.identity.key_admission import TrustedKey
from gateway.identity.mapped import agreed_client, granted, level_of, roles_of, tenant_of
from gateway.identity.people import SignIn
from gateway.identity.profiles import TYPED, UNTYPED
from gateway.identity.records import Client
from gateway.identity.signed import Unverified, numeric_date, parse, short_text
from gateway.identity.token_keys import ALGORITHM, TokenKeys
from gateway.identity.token_rules import RULES, Presented
from gateway.identity.trust import IssuerTrust

TOKEN_SECONDS: Final = 300
"""Lifetime of our tokens: short, so that a stolen one is soon worthless."""
LEEWAY_SECONDS: Final = 5
"""Clock difference that is forgiven: servers are expected to keep time."""

LEVELS: Final = ("1", "2")
"""Values of `acr` in our own tokens: one factor, several factors."""

_TYPES: Final = frozenset({TYPED, "jwt", UNTYPED})
"""Of any maker; which of them counts is in the issuer's profile."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a valid access token says.

    Attributes:
        issuer: `iss`, the key of a trust entry.
        subject: `sub`.
        client_id: The client, as the issuer names it.
        token_id: `jti` or what stands for it, unique within the issuer.
        issued: `iat`, Unix seconds.
        expires: `exp`, Unix seconds.
        scopes: What it may do.
        tenant: The tenant that it names, if the trust entry wants one.
        thumbprint: `cnf.jkt`: the key that the token is bound to (RFC 9449 section 6), or None.
        authenticated: `auth_time` or, for want of it, `iat`: Unix seconds.
        roles: Roles that it narrows those of the registration to, or None.
        acr: Level of the authentication; of our own tokens 0 unless they are about a person.
        confirmation: `cnf`, as it is; empty where it is bound to nothing.
        certificate: `cnf.x5t#S256`: the certificate that it is bound to (RFC 8705), or None.
        sign_in: Of our own tokens: `sid`, where a person is signed in; empty for services.
        amr: Likewise: how it authenticated (RFC 8176).
    """

    issuer: str
    subject: str
    client_id: str
    token_id: str
    issued: int
    expires: int
    scopes: frozenset[str]
    tenant: str | None
    thumbprint: str | None
    authenticated: int
    roles: frozenset[str] | None = None
    acr: int = 0
    confirmation: Mapping[str, str] = field(default_factory=dict)
    certificate: str | None = None
    sign_in: str = ""
    amr: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token just signed: the text to hand out, and what identifies it in the records."""

    text: str
    token_id: str
    expires: int
    issued: int = 0


class TokenMinter:
    """Signs access tokens for the clients of this gateway.

    Args:
        issuer: Our `iss`.
        audience: The resource that the tokens are for.
        keys: What signs, and what is published and accepted.
        clock: Unix seconds.
        random_bytes: Source of token ids.
        loopback_http: Accept an `http://` issuer on a loopback address, for a demonstration.

    Attributes:
        keys: As given.
        trust: The trust entry for reading our own tokens back.

    Raises:
        ConfigurationError: Issuer or audience are not safe.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        keys: TokenKeys,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        loopback_http: bool = False,
    ) -> None:
        if urlsplit(issuer).path:
            raise ConfigurationError("our issuer is an origin: scheme, host and port")
        self.issuer = issuer
        self.audience = audience
        self.keys = keys
        self.trust = IssuerTrust(
            issuer=issuer,
            audience=audience,
            allowed_tenants=frozenset(),
            algorithms=frozenset({ALGORITHM}),
            tenant_claim="tenant",
            max_token_seconds=TOKEN_SECONDS,
            loopback_http=loopback_http,
            own=True,
        )
        self._clock = clock
        self._random_bytes = random_bytes

    def mint(
        self,
        client: Client,
        scopes: frozenset[str],
        thumbprint: str | None = None,
        *,
        certificate: str | None = None,
        on_behalf: Mapping[str, Any] = MappingProxyType({}),
        until: float = math.inf,
    ) -> MintedToken:
        """Sign a token for `client`.

        Args:
            client: Whom it is for; it acts for itself (`sub` is the client).
            scopes: What it may do; the caller has checked that the client may have them.
            thumbprint: RFC 7638 thumbprint of the key to bind it to, or None for a bearer token.
            certificate: RFC 8705 thumbprint of the certificate to bind it to instead.
            on_behalf: What it says of whom the client acts for (`gateway.identity.delegation`).
            until: When it ends at the latest, Unix seconds.
        """
        claims = {
            "sub": client.id,
            "client_id": client.id,
            "tenant": client.tenant,
            **on_behalf,
        }
        return self._signed(claims, scopes, thumbprint, certificate, until, client.not_before)

    def mint_for(
        self,
        sign_in: SignIn,
        scopes: frozenset[str],
        thumbprint: str | None = None,
        *,
        not_before: int = 0,
    ) -> MintedToken:
        """Sign a token by which a client acts for a person; arguments as of `mint`.

        Args:
            sign_in: Of the person, at the client.
            scopes: Within what the person let the client have.
            thumbprint: As of `mint`.
            not_before: As of the client's registration.
        """
        claims = {
            "sub": sign_in.person,
            "client_id": sign_in.client,
            "tenant": sign_in.tenant,
            "sid": sign_in.id,
            "acr": str(sign_in.acr),
            "amr": sorted(sign_in.amr),
            "auth_time": sign_in.authenticated,
        }
        return self._signed(claims, scopes, thumbprint, not_before=not_before)

    def _signed(
        self,
        about: Mapping[str, Any],
        scopes: frozenset[str],
        thumbprint: str | None,
        certificate: str | None = None,
        until: float = math.inf,
        not_before: int = 0,
    ) -> MintedToken:
        # A client that was let in again this very second has tokens of the next: those of before
        # are told from them by the second (`gateway.identity.records.Client.not_before`).
        now = max(int(self._clock()), not_before)
        expires = int(min(now + TOKEN_SECONDS, until))
        token_id = base64.urlsafe_b64encode(self._random_bytes(16)).rstrip(b"=").decode()
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now,
            "nbf": now,
            "exp": expires,
            "jti": token_id,
            "scope": " ".join(sorted(scopes)),
            **about,
        }
        if thumbprint is not None:
            claims["cnf"] = {"jkt": thumbprint}
        elif certificate is not None:
            claims["cnf"] = {"x5t#S256": certificate}
        kid, key = self.keys.signing
        header = {"typ": "at+jwt", "alg": ALGORITHM, "kid": kid}
        text = jwt.encode(header, claims, key, algorithms=[ALGORITHM])
        return MintedToken(text, token_id, expires, now)


def parse_access_token(token: bytes) -> tuple[str, str | None, Unverified]:
    """Take a token apart to learn whose key must verify it.

    Returns:
        The unverified `iss`, the unverified `kid` and the token for `read_access_token`.

    Raises:
        InvalidToken: It is no well-formed signed object.
    """
    try:
        unverified = parse(token, _TYPES)
    except SignatureRefused as cause:
        raise InvalidToken from cause
    issuer, kid = unverified.claims.get("iss"), unverified.header.get("kid")
    if not isinstance(issuer, str) or not isinstance(kid, str | None):
        raise InvalidToken
    return issuer, kid, unverified


def read_access_token(
    unverified: Unverified,
    key: TrustedKey,
    trust: IssuerTrust,
    now: float,
    *,
    expired_too: bool = False,
) -> AccessClaims:
    """Verify a token and return what it says.

    Args:
        unverified: From `parse_access_token`.
        key: The key of `trust` that the token names.
        trust: The entry of the token's issuer.
        now: Unix seconds.
        expired_too: Read a token that has expired as well; for revoking it, never for letting in.

    Raises:
        InvalidToken: It breaks a rule of `gateway.identity.token_rules`.
    """
    seen = Presented(unverified.claims, trust, now, unverified, key, expired_too)
    for rule in RULES:
        rule.hold(seen)
    return _claims(seen, unverified.signing_input)


def read_told(
    claims: Mapping[str, Any], trust: IssuerTrust, now: float, token: bytes
) -> AccessClaims:
    """Return what an issuer says of an opaque token (RFC 7662 section 2.2).

    Args:
        claims: Its answer, completed with what the standard leaves out.
        trust: The entry of the issuer.
        now: Unix seconds.
        token: The token as sent, to name it by a digest where the answer has no `jti`.

    Raises:
        InvalidToken: It breaks a rule.
    """
    seen = Presented(claims, trust, now, None, None)
    for rule in RULES:
        if not rule.signed:
            rule.hold(seen)
    return _claims(seen, token)


def _claims(seen: Presented, identifying: bytes) -> AccessClaims:
    claims, trust = seen.claims, seen.trust
    profile = trust.profile
    issued = numeric_date(claims["iat"])
    confirmation = dict(claims.get("cnf", {}))
    person = _person(claims, trust)
    return AccessClaims(
        issuer=trust.issuer,
        subject=short_text(next(claims[name] for name in profile.subject if name in claims)),
        client_id=agreed_client(claims, profile),
        token_id=next(
            (short_text(claims[name]) for name in profile.token_id if name in claims), None
        )
        or _digest(identifying),
        issued=issued,
        expires=numeric_date(claims["exp"]),
        scopes=granted(claims, trust) or frozenset(),
        tenant=tenant_of(claims, trust),
        thumbprint=confirmation.get("jkt"),
        authenticated=min(issued, numeric_date(claims.get("auth_time", issued))),
        roles=roles_of(claims, trust),
        acr=level_of(claims, trust) if person is None else person.acr,
        confirmation=confirmation,
        certificate=confirmation.get("x5t#S256"),
        sign_in="" if person is None else person.sign_in,
        amr=frozenset() if person is None else person.amr,
    )


def _digest(identifying: bytes) -> str:
    digest = hashlib.sha256(identifying).digest()
    return "sha256." + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class _SignedIn:
    sign_in: str
    acr: int
    amr: frozenset[str]


def _person(claims: Mapping[str, Any], trust: IssuerTrust) -> _SignedIn | None:
    """Read what only our own tokens say of a person; another issuer's words are not ours."""
    if not trust.own or "sid" not in claims:
        return None
    acr, amr = claims.get("acr"), claims.get("amr")
    if acr not in LEVELS or not isinstance(amr, list):
        raise InvalidToken
    try:
        ways = frozenset(short_text(way) for way in amr)
        return _SignedIn(short_text(claims["sid"]), int(acr), ways)
    except SignatureRefused as cause:
        raise InvalidToken from cause
