"""Signed compact JSON objects (RFC 7515 section 3.1, RFC 7519): bytes in, claims or a refusal out.

Access tokens, DPoP proofs and client assertions all come through here.

1. Lengths are capped before anything is decoded, each segment by itself.
2. Exactly three segments: an encrypted object (five) or a detached payload is refused.
3. Header and payload are JSON objects in UTF-8 without repeated names, so no two readers disagree.
4. `crit`, `b64`, `zip` and `enc` are refused: no extension of RFC 7515 is understood here.
5. The caller names the acceptable `typ`; one kind of token can never pass as another.
6. `verify` takes a key from `key_admission`, never None, and the header's `alg` must be one of
   the key's. `none` and the HMAC family belong to no admitted key.
7. Whatever the libraries raise ends as `SignatureRefused`.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from joserfc import jws
from joserfc._rfc7515.model import JWSAlgModel
from joserfc.errors import JoseError
from joserfc.jws import CompactSignature, JWSRegistry
from joserfc.util import urlsafe_b64decode

from gateway.identity.errors import SignatureRefused
from gateway.identity.key_admission import TrustedKey
from gateway.strict_json import strict_json

MAX_HEADER: Final = 2048
"""Base64url bytes of a header: a proof that carries a 4096-bit RSA key needs about 1,100."""
MAX_PAYLOAD: Final = 16_384
"""Base64url bytes of the claims: Entra names up to 200 groups, in some 12,000; the head of a
request that holds it fits the doors' bound."""
MAX_SIGNATURE: Final = 700
"""Base64url bytes of a signature: RSA with 4096 bits has 683."""
MAX_COMPACT: Final = MAX_HEADER + MAX_PAYLOAD + MAX_SIGNATURE + 2
"""Bytes of a whole compact object."""

MAX_TEXT: Final = 255
"""Characters of `sub`, `client_id` and `jti`."""

_REFUSED_PARAMETERS: Final = frozenset({"crit", "b64", "zip", "enc"})
_FAULTS: Final = (
    JoseError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
    InvalidSignature,
    UnsupportedAlgorithm,
)


class _Registry(JWSRegistry):
    """The library's registry with our caps: its own header cap refuses every RSA proof."""

    max_header_length = MAX_HEADER
    max_payload_length = MAX_PAYLOAD
    max_signature_length = MAX_SIGNATURE

    def get_alg(self, name: str) -> JWSAlgModel:
        """Return an algorithm; the older name of Ed25519 without the library's warning of it."""
        if name == "EdDSA" and self.allowed == [name]:
            return self.algorithms[name]
        return super().get_alg(name)


@dataclass(frozen=True, slots=True)
class Unverified:
    """A well-formed signed object whose signature nobody has checked yet.

    Attributes:
        header: The protected header.
        claims: What it says; to be used for nothing but finding the key.
    """

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    _signature: CompactSignature

    @property
    def type(self) -> str | None:
        """The `typ` in lower case without `application/`; empty for none, None for no text."""
        return _type(self.header)

    @property
    def signing_input(self) -> bytes:
        """What the signature is over: no other text has this signature's claims."""
        segments = self._signature.segments
        return segments["header"] + b"." + segments["payload"]


def parse(compact: bytes, types: Set[str]) -> Unverified:
    """Take a compact object apart without trusting it.

    Args:
        compact: The object as sent.
        types: The acceptable `typ` values in lower case, without `application/`; an empty string
            among them accepts an object without `typ`.

    Raises:
        SignatureRefused: It is malformed, too long, of another type or uses an extension.
    """
    segments = compact.split(b".") if len(compact) <= MAX_COMPACT else []
    if len(segments) != 3 or not all(segments):
        raise SignatureRefused
    if any(len(s) > cap for s, cap in zip(segments, _CAPS, strict=True)):
        raise SignatureRefused
    try:
        payload = urlsafe_b64decode(segments[1])
        header = _object(urlsafe_b64decode(segments[0]))
        claims = _object(payload)
    except _FAULTS as cause:
        raise SignatureRefused from cause
    if not _REFUSED_PARAMETERS.isdisjoint(header) or _type(header) not in types:
        raise SignatureRefused
    signature = CompactSignature(header, payload)
    signature.segments.update(
        {"header": segments[0], "payload": segments[1], "signature": segments[2]}
    )
    return Unverified(header, claims, signature)


def verify(unverified: Unverified, key: TrustedKey) -> Mapping[str, Any]:
    """Check the signature with an admitted key and return the claims.

    Raises:
        SignatureRefused: The algorithm is not the key's or the signature does not verify.
    """
    if not isinstance(key, TrustedKey):
        raise SignatureRefused
    algorithm = unverified.header.get("alg")
    if algorithm != key.algorithm and not (isinstance(algorithm, str) and algorithm in key.others):
        raise SignatureRefused
    try:
        genuine = jws.validate_compact(
            unverified._signature, key.key, registry=_REGISTRIES[algorithm]
        )
    except _FAULTS as cause:
        raise SignatureRefused from cause
    if genuine is not True:
        raise SignatureRefused
    return unverified.claims


def numeric_date(value: object) -> int:
    """Return a NumericDate (RFC 7519 section 2) in whole Unix seconds; a fraction is cut off.

    Raises:
        SignatureRefused: It is absent, no number, negative or absurdly large.
    """
    # bool is an int in Python; 2**53 is where floats stop being exact.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise SignatureRefused
    return int(value)


def short_text(value: object) -> str:
    """Return a text claim that is safe to keep: printable and at most `MAX_TEXT` characters.

    Raises:
        SignatureRefused: It is absent, no text, empty, too long or holds control characters.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise SignatureRefused
    return value


def _object(data: bytes) -> dict[str, Any]:
    value = strict_json(data)
    if not isinstance(value, dict):
        raise SignatureRefused
    return value


def _type(header: Mapping[str, Any]) -> str | None:
    typ = header.get("typ", "")
    return typ.lower().removeprefix("application/") if isinstance(typ, str) else None


_CAPS: Final = (MAX_HEADER, MAX_PAYLOAD, MAX_SIGNATURE)
_REGISTRIES: Final = {
    name: _Registry(algorithms=[name], strict_check_header=False)
    for name in ("Ed25519", "EdDSA", "ES256", "ES384", "PS256", "RS256")
}
