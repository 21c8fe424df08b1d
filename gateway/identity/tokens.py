"""Access tokens (RFC 9068): minted with Ed25519, and read back as claims or as our error.

What a token must pass before `read_access_token` returns its claims:

1. It is a signed compact object of type `at+jwt` (see `gateway.identity.signed`).
2. Its `iss` names a trust entry. The caller looks that entry up before it picks any key, and the
   key comes from that entry alone.
3. The signature holds under that key, whose algorithm the entry allows.
4. `iss`, `sub`, `aud`, `client_id`, `jti`, `iat` and `exp` are all there and of the right type:
   what is missing is refused, never skipped. `aud` contains this gateway.
5. It is neither expired nor from the future, and does not live longer than the entry allows.
6. Text that is kept is printable and bounded, so that it can go into a log or a database.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypedDict
from urllib.parse import urlsplit

from joserfc import jwt

from gateway.errors import ConfigurationError
from gateway.identity.errors import InvalidToken, SignatureRefused
from gateway.identity.key_admission import TrustedKey
from gateway.identity.people import SignIn
from gateway.identity.records import Client
from gateway.identity.signed import Unverified, numeric_date, parse, short_text, verify
from gateway.identity.token_keys import ALGORITHM, TokenKeys
from gateway.identity.trust import IssuerTrust

TOKEN_SECONDS: Final = 300
"""Lifetime of our tokens: short, so that a stolen one is soon worthless."""
LEEWAY_SECONDS: Final = 5
"""Clock difference that is forgiven: servers are expected to keep time."""
MAX_SCOPES: Final = 64
"""Scopes of one token: the gateway itself knows under ten."""

LEVELS: Final = ("1", "2")
"""Values of `acr`: one factor, several factors."""

_TYPES: Final = frozenset({"at+jwt"})
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,64}")


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What a valid access token says.

    Attributes:
        issuer: `iss`, the key of a trust entry.
        subject: `sub`.
        client_id: `client_id`, as the issuer names the client.
        token_id: `jti`, unique within the issuer.
        issued: `iat`, Unix seconds.
        expires: `exp`, Unix seconds.
        scopes: The words of `scope`.
        tenant: The tenant claim of the trust entry, if it has one.
        thumbprint: `cnf.jkt`: the key that the token is bound to (RFC 9449 section 6), or None.
        authenticated: `auth_time` or, for want of it, `iat`: Unix seconds.
        sign_in: Of our own tokens: `sid`, where a person is signed in; empty for services.
        acr: Of our own tokens about a person: the level of the authentication; else 0.
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
    sign_in: str = ""
    acr: int = 0
    amr: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token just signed: the text to hand out, and what identifies it in the records."""

    text: str
    token_id: str
    expires: int


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
        self, client: Client, scopes: frozenset[str], thumbprint: str | None = None
    ) -> MintedToken:
        """Sign a token for `client`.

        Args:
            client: Whom it is for; it acts for itself (`sub` is the client).
            scopes: What it may do; the caller has checked that the client may have them.
            thumbprint: RFC 7638 thumbprint of the key to bind it to, or None for a bearer token.
        """
        claims = {"sub": client.id, "client_id": client.id, "tenant": client.tenant}
        return self._signed(claims, scopes, thumbprint)

    def mint_for(
        self, sign_in: SignIn, scopes: frozenset[str], thumbprint: str | None = None
    ) -> MintedToken:
        """Sign a token by which a client acts for a person; arguments as of `mint`.

        Args:
            sign_in: Of the person, at the client.
            scopes: Within what the person let the client have.
            thumbprint: As of `mint`.
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
        return self._signed(claims, scopes, thumbprint)

    def _signed(
        self, about: Mapping[str, Any], scopes: frozenset[str], thumbprint: str | None
    ) -> MintedToken:
        now = int(self._clock())
        token_id = base64.urlsafe_b64encode(self._random_bytes(16)).rstrip(b"=").decode()
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "jti": token_id,
            "scope": " ".join(sorted(scopes)),
            **about,
        }
        if thumbprint is not None:
            claims["cnf"] = {"jkt": thumbprint}
        kid, key = self.keys.signing
        header = {"typ": "at+jwt", "alg": ALGORITHM, "kid": kid}
        text = jwt.encode(header, claims, key, algorithms=[ALGORITHM])
        return MintedToken(text, token_id, now + TOKEN_SECONDS)


def parse_access_token(token: bytes) -> tuple[str, str | None, Unverified]:
    """Take a token apart to learn whose key must verify it.

    Returns:
        The unverified `iss`, the unverified `kid` and the token for `read_access_token`.

    Raises:
        InvalidToken: It is not a well-formed access token.
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
        InvalidToken: Any of the claims in this module's docstring does not hold.
    """
    try:
        return _read(unverified, key, trust, now, expired_too)
    except SignatureRefused as cause:
        raise InvalidToken from cause


def _read(
    unverified: Unverified, key: TrustedKey, trust: IssuerTrust, now: float, expired_too: bool
) -> AccessClaims:
    if key.algorithm not in trust.algorithms:
        raise InvalidToken
    claims = verify(unverified, key)
    issued, expires = numeric_date(claims.get("iat")), numeric_date(claims.get("exp"))
    if expires <= now and not expired_too:
        raise InvalidToken("the access token has expired")
    latest = now + LEEWAY_SECONDS
    if issued > latest or numeric_date(claims.get("nbf", issued)) > latest:
        raise InvalidToken
    if not issued < expires <= issued + trust.max_token_seconds:
        raise InvalidToken
    if claims.get("iss") != trust.issuer or not _is_audience(claims.get("aud"), trust.audience):
        raise InvalidToken
    return AccessClaims(
        issuer=trust.issuer,
        subject=short_text(claims.get("sub")),
        client_id=short_text(claims.get("client_id")),
        token_id=short_text(claims.get("jti")),
        issued=issued,
        expires=expires,
        scopes=_scopes(claims.get("scope", "")),
        tenant=short_text(claims.get(trust.tenant_claim)) if trust.tenant_claim else None,
        thumbprint=_thumbprint(claims),
        authenticated=min(issued, numeric_date(claims.get("auth_time", issued))),
        **_of_a_person(claims, trust),
    )


class _OfAPerson(TypedDict, total=False):
    sign_in: str
    acr: int
    amr: frozenset[str]


def _of_a_person(claims: Mapping[str, Any], trust: IssuerTrust) -> _OfAPerson:
    """Read what only our own tokens say of a person; another issuer's words are not ours."""
    if not trust.own or "sid" not in claims:
        return {}
    acr, amr = claims.get("acr"), claims.get("amr")
    if acr not in LEVELS or not isinstance(amr, list):
        raise InvalidToken
    ways = frozenset(short_text(way) for way in amr)
    return {"sign_in": short_text(claims["sid"]), "acr": int(acr), "amr": ways}


def _is_audience(value: object, audience: str) -> bool:
    if isinstance(value, list):
        return all(isinstance(entry, str) for entry in value) and audience in value
    return isinstance(value, str) and value == audience


def _scopes(value: object) -> frozenset[str]:
    words = value.split() if isinstance(value, str) else [""]
    if len(words) > MAX_SCOPES or not all(_SCOPE.fullmatch(word) for word in words):
        raise InvalidToken
    return frozenset(words)


def _thumbprint(claims: Mapping[str, Any]) -> str | None:
    # INVARIANT: a confirmation that is not understood is refused, never read as "not bound".
    if "cnf" not in claims:
        return None
    confirmation = claims["cnf"]
    if not isinstance(confirmation, dict) or confirmation.keys() != {"jkt"}:
        raise InvalidToken
    return short_text(confirmation["jkt"])
