"""Proof of possession (RFC 9449): the twelve checks of section 4.3.

 1. at most one `DPoP` header: the caller hands over one value or refuses;
 2. it is a single well-formed signed object (`gateway.identity.signed`);
 3. `jti`, `htm`, `htu`, `iat`, and `ath` with a token, are all there;
 4. `typ` is `dpop+jwt`;
 5. `alg` is one of ours, all asymmetric, and the key's own;
 6. the signature holds under the proof's `jwk`;
 7. that `jwk` has no private member (`gateway.identity.key_admission`);
 8. `htm` is the method of the request;
 9. `htu` is its URL without query and fragment, on the *configured* public origin: the `Host`
    header is the caller's word and decides nothing;
10. where nonces are demanded it carries one of ours (`gateway.identity.dpop_nonces`). That is
    looked at last, so that a proof which is sent again with a nonce fails for nothing else;
11. `iat` is at most a minute old and not from the future;
12. `ath` is the hash of the token, and the key is the one that the token is bound to.

And a `jti` is good once. It is recorded last, after whoever sent it was authenticated, so that
nobody fills the cache from outside.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.errors import ConfigurationError
from gateway.identity.dpop_nonces import Nonces
from gateway.identity.errors import (
    InvalidProof,
    KeyRefused,
    NonceRequired,
    SignatureRefused,
)
from gateway.identity.key_admission import DEFAULT_ALGORITHMS, admit
from gateway.identity.replay import DEFAULT_CAPACITY, ReplayCache
from gateway.identity.signed import Unverified, numeric_date, parse, verify

PROOF_SECONDS: Final = 60
"""Age at which a proof is too old: room for slow networks and clocks."""
FUTURE_SECONDS: Final = 5
"""How far ahead a client's clock may be."""
MAX_JTI: Final = 128
"""Characters of a proof's `jti`: UUIDs have 36, 256 random bits 43."""
MIN_JTI: Final = 8
"""Shorter identifiers would collide by accident."""
MAX_HTU: Final = 2048
"""Characters of a proof's `htu`."""
ALGORITHMS: Final = tuple(sorted(DEFAULT_ALGORITHMS))
"""Algorithms of proofs, for the metadata and the challenge."""

_TYPES: Final = frozenset({"dpop+jwt"})
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "-._~")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that passed every check but the one for replay.

    Attributes:
        thumbprint: RFC 7638 thumbprint of the key that was proven.
        identifier: Its `jti`.
    """

    thumbprint: str
    identifier: str


class ProofChecker:
    """Checks proofs for one public origin.

    Args:
        public_url: Scheme, host and port under which callers reach the gateway, as configured.
        clock: Unix seconds.
        capacity: Most proofs remembered at a time.
        nonces: Those that proofs must carry; None where none are demanded.

    Raises:
        ConfigurationError: The URL has no scheme and host, or has a path.
    """

    def __init__(
        self,
        public_url: str,
        *,
        clock: Callable[[], float],
        capacity: int = DEFAULT_CAPACITY,
        nonces: Nonces | None = None,
    ) -> None:
        try:
            self._origin, path = _normalised(public_url)
        except InvalidProof as cause:
            raise ConfigurationError("the public URL is malformed") from cause
        if path != "/":
            raise ConfigurationError("the public URL is an origin: scheme, host and port")
        self._clock = clock
        self._nonces = nonces
        self._replay = ReplayCache(PROOF_SECONDS + FUTURE_SECONDS, clock, capacity)

    def check(self, proof: bytes, method: str, path: str, token: bytes | None = None) -> Proof:
        """Check everything about a proof except whether it was used before.

        Args:
            proof: The value of the one `DPoP` header.
            method: Method of the request, as sent.
            path: Path of the request, percent-encoded as sent, without query.
            token: The access token that came with it, or None at the token endpoint.

        Raises:
            InvalidProof: It must not be accepted.
            NonceRequired: It carries no nonce of ours, and is well otherwise.
        """
        try:
            unverified = parse(proof, _TYPES)
            key = admit(unverified.header.get("jwk"))
            verify(unverified, key)
            issued = numeric_date(unverified.claims.get("iat"))
        except (SignatureRefused, KeyRefused) as cause:
            raise InvalidProof from cause
        self._check_request(unverified, method, path)
        self._check_age(issued)
        if token is not None and not _equal(unverified.claims.get("ath"), token_hash(token)):
            raise InvalidProof("the proof is for another access token")
        made = Proof(key.thumbprint, _identifier(unverified.claims.get("jti")))
        if self._nonces is not None and not self._nonces.holds(unverified.claims.get("nonce")):
            raise NonceRequired(self._nonces.current())
        return made

    def use(self, proof: Proof, owner: str, bound_to: str | None = None) -> None:
        """Use a checked proof up, for a caller who has been authenticated.

        Args:
            proof: From `check`.
            owner: The client, which has its own share of the replay cache.
            bound_to: The thumbprint that the access token is bound to.

        Raises:
            InvalidProof: It is of another key, or was used before.
        """
        if bound_to is not None and not _equal(proof.thumbprint, bound_to):
            raise InvalidProof("the proof is of another key")
        if not self._replay.first(owner, f"{proof.thumbprint} {proof.identifier}"):
            raise InvalidProof("the proof was used before")

    def _check_request(self, unverified: Unverified, method: str, path: str) -> None:
        htm, htu = unverified.claims.get("htm"), unverified.claims.get("htu")
        if htm != method or not isinstance(htu, str) or len(htu) > MAX_HTU:
            raise InvalidProof("the proof is for another request")
        if _normalised(htu) != (self._origin, _normalised_path(path)):
            raise InvalidProof("the proof is for another request")

    def _check_age(self, issued: int) -> None:
        if not -FUTURE_SECONDS <= self._clock() - issued <= PROOF_SECONDS:
            raise InvalidProof("the proof is too old or from the future")


def token_hash(token: bytes) -> str:
    """Return `ath`: the base64url SHA-256 of an access token (RFC 9449 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token).digest()).rstrip(b"=").decode()


def _identifier(value: object) -> str:
    if not isinstance(value, str) or not MIN_JTI <= len(value) <= MAX_JTI or not value.isascii():
        raise InvalidProof
    return value


def _equal(claimed: object, expected: str) -> bool:
    return isinstance(claimed, str) and hmac.compare_digest(
        claimed.encode("utf-8", "replace"), expected.encode()
    )


def _normalised(url: str) -> tuple[tuple[str, str, int], str]:
    """Return origin and path as RFC 3986 section 6.2 compares them; query and fragment are left."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        host = parts.hostname
    except (ValueError, KeyError) as cause:
        raise InvalidProof from cause
    if not host or "@" in parts.netloc:
        raise InvalidProof
    return (parts.scheme, host, port), _normalised_path(parts.path)


def _normalised_path(path: str) -> str:
    # Section 6.2.2: `%7e` is `~`; but `%2F` is not `/`, so nothing reserved is decoded.
    return _ESCAPE.sub(_normalised_escape, path) or "/"


def _normalised_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()
