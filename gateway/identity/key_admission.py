"""Which public keys may be trusted, and for which one algorithm each.

1. A key is admitted from its public members alone; one that brings a private member is refused as a
   whole, since whoever published it has lost it.
2. The algorithm belongs to the key, not to the token: key type and curve, narrowed by the caller's
   allow-list and by the key's own `alg`, must leave exactly one. A token can then only agree. Of a
   foreign issuer's RSA key that names none, both paddings that its entry allows are left.
3. RSA: 2048 to 4096 bits, exponent 65537 or above, no small factor, not of the ROCA family.
   EC: P-256 or P-384, on the curve. OKP: Ed25519, not of small order. Nothing symmetric, ever.
4. Sizes and counts are bounded before any arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from gateway.identity.errors import KeyRefused

Key = ECKey | OKPKey | RSAKey

DEFAULT_ALGORITHMS: Final = frozenset({"Ed25519", "ES256", "ES384", "PS256"})
"""What this gateway signs with or accepts from its own clients (RFC 9864 names)."""
KNOWN_ALGORITHMS: Final = DEFAULT_ALGORITHMS | {"RS256"}
"""What a foreign issuer may be configured for: most still sign with RS256."""
MAX_KID: Final = 255
"""Characters of a key id: thumbprints have 43, certificate-derived ones under 100."""
MAX_MEMBER: Final = 700
"""Base64url characters of one key member: a 4096-bit modulus has 683."""

_FORMER_NAME: Final = "EdDSA"
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_CANDIDATES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("OKP", "Ed25519"): ("Ed25519",),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("RSA", ""): ("PS256", "RS256"),
}
_MEMBERS: Final = {"OKP": ("crv", "x"), "EC": ("crv", "x", "y"), "RSA": ("n", "e")}
_RSA_BITS: Final = range(2048, 4097)
_RSA_MIN_EXPONENT: Final = 65537
_RSA_MAX_EXPONENT_BITS: Final = 32
_SMALL_PRIMES: Final = tuple(p for p in range(3, 168) if all(p % d for d in range(2, p)))
_ROCA_RESIDUES: Final = tuple(
    (p, frozenset(pow(65537, power, p) for power in range(p))) for p in _SMALL_PRIMES
)
_ED25519_P: Final = 2**255 - 19
_ED25519_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7
_SMALL_ORDER_Y: Final = frozenset(
    {0, 1, _ED25519_P - 1, _ED25519_ORDER_8, _ED25519_P - _ED25519_ORDER_8}
)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key that passed admission.

    Attributes:
        kid: The id it was published under, or None.
        algorithm: The only JWS algorithm it verifies, but for `others`.
        key: The key itself, holding public members only.
        thumbprint: RFC 7638 SHA-256 thumbprint, base64url.
        until: Unix seconds from which on nothing that it signed is accepted.
        others: More names that a token may give: the other padding of an RSA key, and `EdDSA`, the
            former name (RFC 9864) of what an Ed25519 key does.
    """

    kid: str | None
    algorithm: str
    key: Key
    thumbprint: str
    until: float = math.inf
    others: frozenset[str] = frozenset()


def admit(
    jwk: object, algorithms: Set[str] = DEFAULT_ALGORITHMS, *, several: bool = False
) -> TrustedKey:
    """Admit one public JWK (RFC 7517) for one of `algorithms`.

    Args:
        jwk: The key as published.
        algorithms: What it may verify.
        several: It is an issuer's: it may fit several of them, and bear the name `EdDSA`.

    Raises:
        KeyRefused: It is private, symmetric, weak, malformed, meant for something else than
            verifying, or fits none or, unless `several`, more than one of the algorithms.
    """
    if not isinstance(jwk, dict) or not all(isinstance(name, str) for name in jwk):
        raise KeyRefused
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise KeyRefused("the key carries private members")
    _check_purpose(jwk)
    members = _public_members(jwk)
    first, *others = _fitting(members, jwk.get("alg"), algorithms, several=several)
    try:
        key = _import(members)
        kid, more = _kid(jwk), frozenset(others)
        return TrustedKey(kid, first, key, key.thumbprint(), others=more)
    except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm) as cause:
        raise KeyRefused from cause


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    operations = jwk.get("key_ops")
    if jwk.get("use") not in (None, "sig"):
        raise KeyRefused("the key is for encryption, not for verifying")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        raise KeyRefused("the key is not meant for verifying")


def _kid(jwk: Mapping[str, Any]) -> str | None:
    kid = jwk.get("kid")
    if kid is None:
        return None
    if not isinstance(kid, str) or not 1 <= len(kid) <= MAX_KID or not kid.isprintable():
        raise KeyRefused
    return kid


def _public_members(jwk: Mapping[str, Any]) -> dict[str, str]:
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _MEMBERS:
        raise KeyRefused("the key type is not supported")
    members = {"kty": kty, **{name: jwk.get(name) for name in _MEMBERS[kty]}}
    public = {name: v for name, v in members.items() if isinstance(v, str) and v.isascii()}
    if public.keys() != members.keys() or any(len(v) > MAX_MEMBER for v in public.values()):
        raise KeyRefused
    return public


def _fitting(
    members: Mapping[str, str], named: object, allowed: Set[str], *, several: bool
) -> list[str]:
    candidates = _CANDIDATES.get((members["kty"], members.get("crv", "")), ())
    if several and named == _FORMER_NAME and candidates == ("Ed25519",):
        named = None
    fitting = [a for a in candidates if a in allowed and named in (None, a)]
    if not fitting or (len(fitting) > 1 and not several):
        raise KeyRefused("the key fits none, or more than one, of the accepted algorithms")
    return [*fitting, _FORMER_NAME] if several and fitting == ["Ed25519"] else fitting


def _import(members: dict[str, str]) -> Key:
    if members["kty"] == "RSA":
        _check_rsa(_integer(members["n"]), _integer(members["e"]))
        return RSAKey.import_key(dict(members))
    if members["kty"] == "EC":
        return ECKey.import_key(dict(members))
    _check_ed25519(urlsafe_b64decode(members["x"].encode()))
    return OKPKey.import_key(dict(members))


def _integer(member: str) -> int:
    return int.from_bytes(urlsafe_b64decode(member.encode()), "big")


def _check_rsa(modulus: int, exponent: int) -> None:
    if modulus.bit_length() not in _RSA_BITS:
        raise KeyRefused("the RSA key must have 2048 to 4096 bits")
    if exponent < _RSA_MIN_EXPONENT or exponent.bit_length() > _RSA_MAX_EXPONENT_BITS:
        raise KeyRefused
    if exponent % 2 == 0 or modulus % 2 == 0 or any(modulus % p == 0 for p in _SMALL_PRIMES):
        raise KeyRefused
    # ROCA (Nemec et al., CCS 2017): such a modulus is a power of 65537 modulo every small prime.
    if all(modulus % p in residues for p, residues in _ROCA_RESIDUES):
        raise KeyRefused("the RSA key comes from a broken generator")


def _check_ed25519(public: bytes) -> None:
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if len(public) != 32 or y >= _ED25519_P or y in _SMALL_ORDER_Y:
        raise KeyRefused
