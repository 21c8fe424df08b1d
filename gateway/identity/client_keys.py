"""The public keys of registered clients: admitted once, found by what an assertion's header says.

1. A key verifies the algorithms of its kind that the profile knows, and no other; one that names an
   algorithm (`alg`) verifies that one alone.
2. A set is admitted once, and remembered by the record that it came from: a changed record is
   another one, whose keys are admitted anew. How many are remembered is bounded.
3. A client that does not exist costs as much as one whose keys are remembered, and as much as one
   whose keys are not, each time for the same name: its place is taken by a stand-in.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import cache
from typing import Any, Final

from joserfc.jwk import ECKey, OKPKey
from joserfc.util import int_to_base64

from gateway.identity.errors import KeyRefused, SignatureRefused
from gateway.identity.key_admission import DEFAULT_ALGORITHMS, TrustedKey, admit
from gateway.identity.signed import Unverified

MAX_CLIENT_KEYS: Final = 8
"""Keys of one client: a few, for a rotation."""
REMEMBERED: Final = 4096
"""Clients whose admitted keys are kept: some kilobytes each."""
EDDSA: Final = "EdDSA"
"""The older name of `Ed25519` (RFC 8037 section 3.1), which most libraries still send."""
CLIENT_ALGORITHMS: Final = DEFAULT_ALGORITHMS | {"RS256", EDDSA}
"""What clients may sign with: RFC 7523 leaves it open, and RS256 is what libraries begin with."""

Sets = Sequence[Mapping[str, Any] | None]
"""The key sets of a client: that in force, and those of before that are accepted still."""
Keys = tuple[tuple[TrustedKey, ...], ...]
"""The same, admitted. A key stands there once for each algorithm that it may verify."""


def client_keys(jwks: object) -> list[TrustedKey]:
    """Admit the registered keys of a client.

    Raises:
        KeyRefused: There are none or too many, one is not acceptable, or a `kid` repeats or is
            missing where there are several.
    """
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_CLIENT_KEYS:
        raise KeyRefused("a client needs one to eight public keys")
    admitted = [_variants(jwk) for jwk in keys]
    kids = {variants[0].kid for variants in admitted}
    if len(admitted) > 1 and (None in kids or len(kids) < len(admitted)):
        raise KeyRefused("several keys need different key ids")
    return [key for variants in admitted for key in variants]


def _variants(jwk: object) -> list[TrustedKey]:
    """Admit one key for each algorithm that it may be used with."""
    if isinstance(jwk, dict) and jwk.get("alg") == EDDSA:
        jwk = {**jwk, "alg": "Ed25519"}
    if isinstance(jwk, dict) and jwk.get("kty") == "RSA" and jwk.get("alg") is None:
        pss = admit(jwk)
        return [pss, replace(pss, algorithm="RS256")]
    key = admit(jwk, CLIENT_ALGORITHMS)
    return [key, replace(key, algorithm=EDDSA)] if key.algorithm == "Ed25519" else [key]


class ClientKeys:
    """Remembers the admitted keys of clients. Safe for threads.

    Args:
        algorithms: What assertions may be signed with.
        capacity: Clients that are remembered.
    """

    def __init__(
        self, algorithms: Set[str] = CLIENT_ALGORITHMS, capacity: int = REMEMBERED
    ) -> None:
        self._algorithms = algorithms
        self._capacity = capacity
        self._known: dict[str, tuple[Sets, Keys]] = {}
        self._lock = threading.Lock()
        self.admissions = 0

    def of(self, client_id: str, sets: Sets) -> Keys:
        """Return the keys of each set; none for a set that is not acceptable.

        Args:
            client_id: Whose they are said to be.
            sets: Its key sets, as they are registered; none for a client that does not exist.
        """
        known = self._known.get(client_id)
        if known is not None and _same(known[0], sets):
            return known[1]
        keys = tuple(self._admitted(jwks) for jwks in sets or (_STAND_IN,))
        made: Keys = keys if sets else ()
        with self._lock:
            self.admissions += 1
            self._known.pop(client_id, None)
            self._known[client_id] = (tuple(sets), made)
            if len(self._known) > self._capacity:
                del self._known[next(iter(self._known))]
        return made

    def stand_in(self, unverified: Unverified) -> TrustedKey:
        """Return a key that opens nothing, and costs what one of that algorithm does.

        Raises:
            SignatureRefused: The algorithm is none that is accepted, from whomever.
        """
        algorithm = unverified.header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise SignatureRefused
        return _stand_ins()[algorithm]

    def _admitted(self, jwks: Mapping[str, Any] | None) -> tuple[TrustedKey, ...]:
        try:
            return tuple(key for key in client_keys(jwks) if key.algorithm in self._algorithms)
        except KeyRefused:
            return ()


def key_named(keys: Sequence[TrustedKey], unverified: Unverified) -> TrustedKey | None:
    """Return the key of one set that an assertion is to be verified with, or None.

    A `kid` is a hint (RFC 7515 section 4.1.4): a key that has none fits any, and the thumbprint
    (RFC 7638) names its key whatever else that is called. Of several keys one has to be named.
    """
    kid, alg = unverified.header.get("kid"), unverified.header.get("alg")
    fitting = [key for key in keys if key.algorithm == alg]
    if kid is None:
        return fitting[0] if len({key.thumbprint for key in keys}) == 1 and fitting else None
    if not isinstance(kid, str):
        return None
    return next((k for k in fitting if k.kid is None or kid in (k.kid, k.thumbprint)), None)


def _same(known: Sets, sets: Sets) -> bool:
    # By identity: a record is never changed in place, and comparing keys costs more than that.
    return len(known) == len(sets) and all(a is b for a, b in zip(known, sets, strict=True))


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
    return {key.algorithm: key for jwk in made for key in _variants(dict(jwk))}


def _coprime(number: int) -> bool:
    return all(number % divisor for divisor in range(3, 168, 2))


_STAND_IN: Final[Mapping[str, Any]] = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    ]
}
"""Admitted in place of the keys of a client that does not exist: an example of RFC 7515."""
