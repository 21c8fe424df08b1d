"""Client authentication at the token and revocation endpoints.

`private_key_jwt` (RFC 7523 section 2.2) and client secrets (RFC 6749 section 2.3.1).

1. Exactly one way of authenticating in a request, and it must be the registered one.
2. An unknown client, a disabled one, a suspended tenant and a wrong secret or signature get the
   same answer after the same work: a stand-in is used where there is nothing real to compare with.
3. A secret has 256 random bits, so its SHA-256 is enough; the comparison takes constant time.
4. What a client authenticated with before a rotation is accepted until its end, with the same work
   for clients that have none such and for those that do not exist.
5. An assertion is for this issuer and nobody else (`aud`), lives at most five minutes and counts
   once. Its `jti` is recorded only after its signature held.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from joserfc.jwk import ECKey, OKPKey
from joserfc.util import int_to_base64

from gateway.identity.errors import KeyRefused, OAuthRefusal, SignatureRefused
from gateway.identity.key_admission import DEFAULT_ALGORITHMS, TrustedKey, admit
from gateway.identity.records import MAX_FORMER, AuthMethod, Client, FormerCredential
from gateway.identity.replay import ReplayCache
from gateway.identity.revocation import RevocationState
from gateway.identity.signed import Unverified, numeric_date, parse, short_text, verify
from gateway.identity.tokens import LEEWAY_SECONDS
from gateway.names import is_name

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS: Final = 300
"""Longest lifetime of an assertion, so that its `jti` need not be remembered for longer."""
UNNAMED: Final = 2
"""Keys that are tried where an assertion names none: the one in force and the one before it."""
MIN_JTI: Final = 8
"""Shorter identifiers would collide by accident."""
MAX_CLIENT_KEYS: Final = 8
"""Keys of one client: a few, for a rotation."""
MAX_CREDENTIAL: Final = 512
"""Bytes of a `Basic` credential: id and secret have under 120."""

_TYPES: Final = frozenset({"", "jwt", "client-authentication+jwt"})
_NO_HASH: Final = bytes(32)


class ClientAuthenticator:
    """Tells which registered client a request at our endpoints comes from.

    Args:
        revocation_state: The registered clients, and whether they are valid.
        issuer: Our issuer, which assertions must be for.
        clock: Unix seconds.

    Attributes:
        refusals: Number of refusals by OAuth error code.
    """

    def __init__(
        self, revocation_state: RevocationState, issuer: str, *, clock: Callable[[], float]
    ) -> None:
        self._revocation_state = revocation_state
        self._issuer = issuer
        self._clock = clock
        self._replay = ReplayCache(ASSERTION_SECONDS + LEEWAY_SECONDS, clock)
        self._counting = threading.Lock()
        self.refusals: Counter[str] = Counter()

    def authenticate(self, form: Mapping[str, str], authorization: bytes | None) -> Client:
        """Return the client that a request comes from. Blocks.

        Args:
            form: The form fields, none repeated.
            authorization: Value of the one `Authorization` header, or None.

        Raises:
            OAuthRefusal: `invalid_request` when it authenticates in two ways at once, else
                `invalid_client`.
        """
        try:
            return self._identify(form, authorization)
        except OAuthRefusal as refusal:
            with self._counting:
                self.refusals[refusal.error] += 1
            raise

    def _identify(self, form: Mapping[str, str], authorization: bytes | None) -> Client:
        asserted = "client_assertion" in form or "client_assertion_type" in form
        ways = (authorization is not None, "client_secret" in form, asserted)
        if sum(ways) > 1:
            raise OAuthRefusal("invalid_request", "use one way of client authentication")
        if asserted:
            client = self._by_assertion(form)
        elif authorization is not None:
            client = self._by_secret(*_basic(authorization))
        else:
            client = self._by_secret(form.get("client_id", ""), form.get("client_secret", ""))
        if form.get("client_id", client.id) != client.id:
            raise _refused()
        return client

    def _registered(self, client_id: str, method: AuthMethod) -> Client | None:
        if not is_name(client_id):
            return None
        client, tenant = self._revocation_state.look_up(client_id)
        if client is None or client.disabled or tenant is None or tenant.suspended:
            return None
        return client if client.auth_method == method else None

    def _by_secret(self, client_id: str, secret: str) -> Client:
        client = self._registered(client_id, "client_secret_basic")
        presented = secret_hash(secret)
        # All are compared, always the same number of them.
        fits = [hmac.compare_digest(presented, one) for one in self._secrets(client)]
        if client is None or not any(fits):
            raise _refused()
        return client

    def _secrets(self, client: Client | None) -> list[bytes]:
        """Return the hash in force and those of before that are accepted, filled up."""
        hashes = [client.secret_hash or _NO_HASH] if client is not None else []
        hashes += [one.secret_hash or _NO_HASH for one in self._former(client)]
        return [*hashes, *[_NO_HASH] * (1 + MAX_FORMER)][: 1 + MAX_FORMER]

    def _former(self, client: Client | None) -> list[FormerCredential]:
        now = self._clock()
        return [one for one in client.former if now < one.until] if client is not None else []

    def _by_assertion(self, form: Mapping[str, str]) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise _refused()
        try:
            unverified = parse(form.get("client_assertion", "").encode("utf-8", "replace"), _TYPES)
            client = self._registered(short_text(unverified.claims.get("sub")), "private_key_jwt")
            self._verify(client, unverified)
        except (SignatureRefused, KeyRefused) as cause:
            raise _refused() from cause
        if client is None:
            raise _refused()
        if not self._replay.first(client.id, str(unverified.claims["jti"])):
            raise _refused()
        return client

    def _verify(self, client: Client | None, unverified: Unverified) -> None:
        """Verify an assertion with the key that it names; one that names none with two in turn.

        Raises:
            SignatureRefused: No key of the client has signed it, or it says what it must not.
            KeyRefused: A registered key is not acceptable.
        """
        sets = [] if client is None else [client.jwks, *(one.jwks for one in self._former(client))]
        named = unverified.header.get("kid") is not None
        keys = [_key_of(jwks, unverified) for jwks in sets]
        chosen = [key for key in keys if key is not None][:1] if named else keys[:UNNAMED]
        wanted = 1 if named else UNNAMED
        fits = False
        for key in [*chosen, *[None] * wanted][:wanted]:
            try:
                claims = verify(unverified, key or _stand_in(unverified))
            except SignatureRefused:
                continue
            self._check(claims)
            fits = fits or key is not None
        if not fits:
            raise SignatureRefused

    def _check(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        expires = numeric_date(claims.get("exp"))
        starts = max(numeric_date(claims.get(name, 0)) for name in ("iat", "nbf"))
        if claims.get("iss") != claims.get("sub") or claims.get("aud") not in self._audiences:
            raise SignatureRefused
        if not now < expires <= now + ASSERTION_SECONDS or starts > now + LEEWAY_SECONDS:
            raise SignatureRefused
        if len(short_text(claims.get("jti"))) < MIN_JTI:
            raise SignatureRefused

    @property
    def _audiences(self) -> tuple[str, list[str]]:
        return self._issuer, [self._issuer]


def secret_hash(secret: str) -> bytes:
    """Return what is stored of a client secret of 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def client_keys(jwks: object) -> list[TrustedKey]:
    """Admit the registered keys of a client.

    Raises:
        KeyRefused: There are none or too many, one is not acceptable, or a `kid` repeats or is
            missing where there are several.
    """
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_CLIENT_KEYS:
        raise KeyRefused("a client needs one to eight public keys")
    admitted = [admit(jwk) for jwk in keys]
    kids = {key.kid for key in admitted}
    if len(admitted) > 1 and (None in kids or len(kids) < len(admitted)):
        raise KeyRefused("several keys need different key ids")
    return admitted


def _key_of(jwks: Mapping[str, Any] | None, unverified: Unverified) -> TrustedKey | None:
    if jwks is None:
        return None
    keys = client_keys(jwks)
    kid, alg = unverified.header.get("kid"), unverified.header.get("alg")
    if kid is None and len(keys) > 1:
        return None
    return next((k for k in keys if kid in (None, k.kid) and k.algorithm == alg), None)


def _stand_in(unverified: Unverified) -> TrustedKey:
    algorithm = unverified.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in DEFAULT_ALGORITHMS:
        raise SignatureRefused
    return _stand_ins()[algorithm]


@cache
def _stand_ins() -> Mapping[str, TrustedKey]:
    # Verified against where there is no client key, for its cost alone; the result is not used.
    # The RSA modulus is merely a number of that size without small factors.
    modulus = next(n for n in range(2**2047 + 1, 2**2048, 2) if _coprime(n))
    rsa = {"kty": "RSA", "n": int_to_base64(modulus), "e": int_to_base64(65537)}
    made = (
        OKPKey.generate_key("Ed25519").as_dict(private=False),
        ECKey.generate_key("P-256").as_dict(private=False),
        ECKey.generate_key("P-384").as_dict(private=False),
        rsa,
    )
    return {key.algorithm: key for key in map(admit, made)}


def _coprime(number: int) -> bool:
    return all(number % divisor for divisor in range(3, 168, 2))


def _basic(authorization: bytes) -> tuple[str, str]:
    scheme, _, credential = authorization.partition(b" ")
    if scheme.lower() != b"basic" or len(credential) > MAX_CREDENTIAL:
        raise _refused()
    try:
        client_id, _, secret = base64.b64decode(credential, validate=True).partition(b":")
        return _unquoted(client_id), _unquoted(secret)
    except (binascii.Error, UnicodeDecodeError) as cause:
        raise _refused() from cause


def _unquoted(part: bytes) -> str:
    # RFC 6749 section 2.3.1: both halves are form-encoded before they are joined.
    return unquote_to_bytes(part.replace(b"+", b" ")).decode("ascii")


def _refused() -> OAuthRefusal:
    return OAuthRefusal("invalid_client", "client authentication failed")
