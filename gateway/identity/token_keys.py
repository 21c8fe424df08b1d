"""The keys that our access tokens are signed with: one that signs, and those that did before.

1. What signs, what is published and what is accepted are one value, swapped whole: no request sees
   the new key here and the old one there.
2. A key that was replaced is published and accepted until its end, and not a moment longer. The end
   is part of the key (`TrustedKey.until`), so that whoever remembers a token forgets it in time.
3. `generation` changes with every swap: what was verified before is verified again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from joserfc.jwk import OKPKey

from gateway.artifacts.keys import SigningRing
from gateway.identity.key_admission import TrustedKey, admit

ALGORITHM: Final = "Ed25519"
"""Of our tokens (RFC 9864)."""
PURPOSE: Final = "token"
"""Of the keys in the keystore."""

Jwk = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _InForce:
    """What holds between two rotations.

    Attributes:
        signing: Signs.
        kid: Of what signs.
        published: Every public key with its end (Unix seconds), what signs first.
        accepted: The same by `kid`.
    """

    signing: OKPKey
    kid: str
    published: tuple[tuple[Jwk, float], ...]
    accepted: Mapping[str, TrustedKey]


class TokenKeys:
    """The keys of our tokens. A `gateway.identity.issuers.KeySource`; safe in any thread.

    Args:
        read: Returns the ring of the keystore.
        clock: Unix seconds.
    """

    def __init__(self, read: Callable[[], SigningRing], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self.generation = 0
        self._now = _in_force(read())

    @classmethod
    def fixed(cls, key: Ed25519PrivateKey, clock: Callable[[], float]) -> TokenKeys:
        """Return the keys of an issuer that has one, and never another."""
        return cls(lambda: SigningRing(1, 0, key), clock)

    def reload(self) -> None:
        """Take over what the keystore holds. Blocks; holds for every later request."""
        # INVARIANT: the keys change before the generation does: nothing old is filed under the new.
        self._now = _in_force(self._read())
        self.generation += 1

    @property
    def signing(self) -> tuple[str, OKPKey]:
        """Id and key of what signs."""
        now = self._now
        return now.kid, now.signing

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys that are accepted, as a JWK set (RFC 7517 section 5)."""
        now = self._clock()
        return {"keys": [dict(jwk) for jwk, until in self._now.published if now < until]}

    def find(self, kid: str | None) -> TrustedKey | None:
        """Return the key of that id, or None when none is accepted."""
        key = None if kid is None else self._now.accepted.get(kid)
        return key if key is not None and self._clock() < key.until else None

    async def key(self, kid: str | None) -> TrustedKey | None:
        """See `gateway.identity.issuers.KeySource`."""
        return self.find(kid)


def key_id(public: bytes) -> str:
    """Return the `kid` of a public key (32 raw bytes): its RFC 7638 thumbprint."""
    return _public_jwk(public)["kid"]


def _in_force(ring: SigningRing) -> _InForce:
    own = ring.key.public_key().public_bytes_raw()
    published: list[tuple[Jwk, float]] = [(_public_jwk(own), math.inf)]
    for former in ring.former:
        until = math.inf if former.ends is None else float(former.ends)
        published.append((_public_jwk(former.public), until))
    accepted = {jwk["kid"]: replace(admit(jwk), until=until) for jwk, until in published}
    return _InForce(OKPKey.import_key(ring.key), published[0][0]["kid"], tuple(published), accepted)


def _public_jwk(public: bytes) -> dict[str, str]:
    key = OKPKey.import_key(Ed25519PublicKey.from_public_bytes(public))
    x = key.as_dict(private=False)["x"]
    assert isinstance(x, str)
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": x,
        "kid": key.thumbprint(),
        "use": "sig",
        "alg": ALGORITHM,
    }
