"""The keys that an issuer publishes: what of a JWK set (RFC 7517 section 5) counts. Pure.

1. What is wrong with one key costs that key: keys for encryption, of other kinds, weak ones and
   what is no key at all stand in the sets of sound issuers.
2. Two different keys of one id that both could verify are both left out: nobody knows which counts.
3. A token without `kid` is verified only where the issuer has a single usable key.
4. A set that is malformed or too large, or leaves nothing, is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import reduce
from types import MappingProxyType
from typing import Any, Final

from gateway.identity.errors import KeyRefused
from gateway.identity.key_admission import TrustedKey, admit

MAX_KEYS: Final = 32
"""Keys in one document: large providers publish under ten."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A key that does not count.

    Attributes:
        place: Its place in the set, from 0.
        why: What is wrong with it.
    """

    place: int
    why: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an issuer that count.

    Attributes:
        by_id: Those with an id.
        single: The only one that there is, or None.
        members: Id and thumbprint of each.
        left_out: What else the set holds.
    """

    by_id: Mapping[str, TrustedKey]
    single: TrustedKey | None
    members: frozenset[tuple[str | None, str]] = frozenset()
    left_out: tuple[LeftOut, ...] = ()

    def find(self, kid: str | None) -> TrustedKey | None:
        """Return the key that a token of that `kid`, or of none, is verified with."""
        return self.single if kid is None else self.by_id.get(kid)


NO_KEYS: Final = KeySet(MappingProxyType({}), None)
"""Before any were fetched."""


def read_key_set(document: object, algorithms: Set[str]) -> KeySet:
    """Admit the keys of an issuer's JWK set.

    Args:
        document: As decoded from JSON.
        algorithms: What the issuer may sign with.

    Raises:
        KeyRefused: It is no JWK set, holds too many keys, or leaves none.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise KeyRefused("the key set is malformed or too large")
    admitted: list[tuple[int, TrustedKey]] = []
    left_out: list[LeftOut] = []
    for place, jwk in enumerate(keys):
        try:
            admitted.append((place, admit(jwk, algorithms, several=True)))
        except KeyRefused as refusal:
            left_out.append(LeftOut(place, refusal.public))
    usable = _without_doubles(admitted, left_out)
    if not usable:
        raise KeyRefused("the key set holds no acceptable key")
    by_id: dict[str, TrustedKey] = {}
    for key in usable:
        if key.kid is not None:
            by_id[key.kid] = _both(by_id.get(key.kid), key)
    alone = len({key.thumbprint for key in usable}) == 1
    single = reduce(_both, usable) if alone else None
    members = frozenset((key.kid, key.thumbprint) for key in usable)
    return KeySet(MappingProxyType(by_id), single, members, tuple(left_out))


def admit_set(document: object, algorithms: Set[str]) -> Mapping[str, TrustedKey]:
    """Return the keys of an issuer's JWK set that have an id, by that; see `read_key_set`."""
    return read_key_set(document, algorithms).by_id


def _both(known: TrustedKey | None, key: TrustedKey) -> TrustedKey:
    """Return a key that was published twice, once for each algorithm, as one."""
    if known is None:
        return key
    return replace(known, others=(known.others | key.others | {key.algorithm}) - {known.algorithm})


def _without_doubles(
    admitted: list[tuple[int, TrustedKey]], left_out: list[LeftOut]
) -> list[TrustedKey]:
    seen: dict[Any, set[str]] = {}
    for _, key in admitted:
        seen.setdefault(key.kid, set()).add(key.thumbprint)
    usable = []
    for place, key in admitted:
        if key.kid is not None and len(seen[key.kid]) > 1:
            left_out.append(LeftOut(place, "the key set repeats a key id"))
        else:
            usable.append(key)
    return usable
