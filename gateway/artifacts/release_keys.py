"""How one release key follows another: a statement that both keys sign, and what a chain proves.

The safety argument:

1. A statement names tenant, number, both keys and the time, and is signed by both keys: the one
   before says who follows, the one after says whom it follows. Neither half is any use alone.
2. A chain has no gap: each statement begins with the key and the number at which the one before
   ended. So whoever trusts one key of it knows all of it, and no second key of the same number.
3. What a key signed counts until it was replaced, by the signed time of the link; afterwards it
   signs nothing. A chain says nothing of keys that are not in it: a key that was lost is not.
4. Whoever holds a replaced key can still date a link back. That is what the owner's signature and
   the newest release that was seen are for (`release_document`, `trust`); a key that is in wrong
   hands is not followed but lost, and a person brings the next one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.artifacts.canonical import encode_canonical, parse_canonical
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import ReleaseKey, release_key_id
from gateway.artifacts.manifest import Name, Seconds
from gateway.artifacts.signature import LinkStatement, verify_link

PREFIX: Final = b"sealgate release key succession v1\n"
"""What is signed begins so, and nothing else that a release key signs does."""
STATEMENT_LIMIT: Final = 2048
"""Bytes of one statement; they take some 420."""
MAX_SUCCESSIONS: Final = 64
"""Of one chain: a key each month for five years. Each is sent with every version."""
CHAIN_LIMIT: Final = MAX_SUCCESSIONS * 2 * STATEMENT_LIMIT
"""Bytes of a chain's file: base64 takes a third more than the bytes."""
CLOCK_LEEWAY: Final = 300
"""Seconds by which the clocks of one gateway's machines may differ."""

Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Number = Annotated[int, msgspec.Meta(ge=2, le=2**31)]


class Succession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a release key follows another.

    Attributes:
        tenant: Whose.
        number: Of the key that follows; 1 was the first.
        before: The key that was replaced.
        after: The key that follows.
        at: When: Unix seconds.
    """

    tenant: Name
    number: Number
    before: ReleaseKey
    after: ReleaseKey
    at: Seconds


class SignedSuccession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A succession with the signatures of both keys (Ed25519, RFC 8032)."""

    statement: Succession
    by_before: Signature
    by_after: Signature

    def encode(self) -> bytes:
        """Return its canonical bytes."""
        return encode_canonical(self, STATEMENT_LIMIT)


class Chain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file by which a partner learns of new keys without a gateway.

    Attributes:
        tenant: Whose keys.
        successions: Oldest first.
    """

    tenant: Name
    successions: Annotated[
        tuple[SignedSuccession, ...], msgspec.Meta(min_length=1, max_length=MAX_SUCCESSIONS)
    ]

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        return encode_canonical(self, CHAIN_LIMIT) + b"\n"


def parse_chain(data: bytes) -> Chain:
    """Read the file of a chain; nothing is verified yet.

    Raises:
        StatementInvalid: It is none, or is spelled otherwise.
    """
    if not data.endswith(b"\n"):
        raise StatementInvalid("these are no release keys that follow one another")
    return parse_canonical(data[:-1], Chain, CHAIN_LIMIT)


def sign_succession(
    tenant: str, number: int, before: Ed25519PrivateKey, after: Ed25519PrivateKey, at: int
) -> SignedSuccession:
    """Let a key name the one that follows.

    Args:
        tenant: Whose.
        number: Of the key that follows.
        before: Signs until now.
        after: Signs from now on.
        at: Unix seconds.
    """
    statement = Succession(
        tenant=tenant,
        number=number,
        before=release_key_id(before.public_key()),
        after=release_key_id(after.public_key()),
        at=at,
    )
    signed = _signed_bytes(statement)
    return SignedSuccession(
        statement=statement, by_before=before.sign(signed), by_after=after.sign(signed)
    )


def parse_succession(data: bytes) -> SignedSuccession:
    """Read a statement; nothing is verified yet.

    Raises:
        StatementInvalid: It is none, or is spelled otherwise.
    """
    return parse_canonical(data, SignedSuccession, STATEMENT_LIMIT)


@dataclasses.dataclass(frozen=True, slots=True)
class ReleaseRing:
    """Release keys of a tenant that stand in one chain.

    Attributes:
        keys: Newest first, each with the time until which what it signed counts; None: now.
    """

    keys: tuple[tuple[str, int | None], ...]

    @property
    def newest(self) -> str:
        """The key that signs now, as kits write it."""
        return self.keys[0][0]

    @property
    def former(self) -> tuple[str, ...]:
        """The keys that were replaced, newest first."""
        return tuple(key for key, _ in self.keys[1:])

    @classmethod
    def of(cls, pinned: str, tenant: str, chain: Sequence[SignedSuccession]) -> Self:
        """Return the ring of a chain.

        Args:
            pinned: The key that is trusted; it has to be in the chain.
            tenant: Whose keys they have to be.
            chain: Of anybody's, oldest first; empty: there is that key alone.

        Raises:
            StatementInvalid: A signature does not hold, there is a gap, or the trusted key is not
                in it.
        """
        check_chain(tenant, chain)
        ends = [(one.statement.before, one.statement.at) for one in chain]
        keys = [(chain[-1].statement.after if chain else pinned, None), *reversed(ends)]
        if pinned not in {key for key, _ in keys}:
            raise StatementInvalid("the release keys do not begin with the one that is trusted")
        return cls(tuple(keys))

    def verify(self, link: bytes) -> LinkStatement:
        """Check the signature of a link under the key of its time.

        Raises:
            StatementInvalid: None of the keys signed it, or one that was replaced before.
        """
        fault = StatementInvalid("the release is not signed by this key")
        for key, until in self.keys:
            try:
                statement = verify_link(
                    Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)), link
                )
            except StatementInvalid as error:
                fault = error
                continue
            if until is not None and statement.created > until + CLOCK_LEEWAY:
                raise StatementInvalid("the release is signed by a key that was replaced before")
            return statement
        raise fault


def check_chain(tenant: str, chain: Sequence[SignedSuccession]) -> None:
    """Check a chain of anybody's.

    Raises:
        StatementInvalid: A signature does not hold, there is a gap, or it is another tenant's.
    """
    if len(chain) > MAX_SUCCESSIONS:
        raise StatementInvalid("too many release keys follow one another")
    before: Succession | None = None
    for one in chain:
        statement, signed = one.statement, _signed_bytes(one.statement)
        _check_signature(statement.before, one.by_before, signed)
        _check_signature(statement.after, one.by_after, signed)
        if statement.tenant != tenant:
            raise StatementInvalid("the release keys are another tenant's")
        if before is not None and (before.after, before.number + 1) != (
            statement.before,
            statement.number,
        ):
            raise StatementInvalid("the release keys do not follow one another")
        before = statement


def merged(
    known: Iterable[SignedSuccession], told: Iterable[SignedSuccession]
) -> tuple[SignedSuccession, ...]:
    """Return both in order; `ReleaseRing.of` has to follow.

    Raises:
        StatementInvalid: They name two keys of the same number: somebody was shown two things.
    """
    found: dict[int, SignedSuccession] = {one.statement.number: one for one in known}
    for one in told:
        mine = found.setdefault(one.statement.number, one)
        if mine.statement != one.statement:
            raise StatementInvalid("the release key was followed by another one than you know")
    return tuple(found[number] for number in sorted(found))


def _signed_bytes(statement: Succession) -> bytes:
    return PREFIX + encode_canonical(statement, STATEMENT_LIMIT)


def _check_signature(key: str, signature: bytes, signed: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, signed)
    except (InvalidSignature, ValueError):
        raise StatementInvalid("a release key does not name the one that follows") from None
