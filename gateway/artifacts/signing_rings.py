"""The signing keys of one purpose in a keystore's document: how one follows another. Pure.

The safety argument:

1. A seed is wrapped with its purpose and its number, so that no former seed can be put back.
2. The private half of a key goes with the change that replaces it: whoever copies the keystore
   afterwards can sign nothing of before.
3. A change names the key that it replaces. Two that are asked for at once do not both happen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.artifacts.key_document import (
    FormerRecord,
    KeyDocument,
    RingRecord,
    label_of,
    open_key,
)
from gateway.artifacts.keys import FormerKey, SigningRing
from gateway.errors import LimitReached, StateConflict

MAX_ACCEPTED: Final = 8
"""Former keys with an end that are accepted at a time: each is published to every verifier."""
MAX_FORMER: Final = 1_000
"""Former keys of one purpose: eighty years of one each month; each takes 700 bytes of the file."""

RELEASE: Final = "release/"
"""What the purpose of a tenant's release key begins with: its seed is among the tenant's keys."""

Fresh = Callable[..., bytes]
"""Makes a key, wrapped under the root with these labels."""


def release_purpose(tenant: str) -> str:
    """Return the purpose of a tenant's release key."""
    return f"{RELEASE}{tenant}"


def released_by(purpose: str) -> str | None:
    """Return the tenant whose release key a purpose is; None: it is one of the platform's."""
    return purpose.removeprefix(RELEASE) if purpose.startswith(RELEASE) else None


def seed_labels(purpose: str, number: int) -> tuple[str, ...]:
    """Return what the seed of a key is bound to; the first of a purpose has no number in it."""
    tenant = released_by(purpose)
    first = ("signing", purpose) if tenant is None else ("release", tenant)
    return first if number == 1 else (*first, str(number))


def seed_of(document: KeyDocument, purpose: str) -> bytes:
    """Return the wrapped seed of the key of a purpose that signs."""
    tenant = released_by(purpose)
    return document.signing[purpose] if tenant is None else document.tenants[tenant].release


def _keep_seed(document: KeyDocument, purpose: str, seed: bytes) -> None:
    tenant = released_by(purpose)
    if tenant is None:
        document.signing[purpose] = seed
    else:
        document.tenants[tenant].release = seed


def opened_ring(document: KeyDocument, root: bytes, purpose: str, now: float) -> SigningRing:
    """Return the keys of a purpose that has one.

    Raises:
        KeyUnwrapFailed: A seed was altered, or is another key's.
    """
    record = document.rings.get(purpose) or RingRecord()
    former = [_former(one) for one in reversed(record.former) if _accepted(one, now)]
    return SigningRing(
        record.number,
        record.made,
        _private(root, seed_of(document, purpose), purpose, record.number),
        (
            _private(root, record.successor, purpose, record.number + 1)
            if record.successor
            else None
        ),
        tuple(former),
    )


def prepare(document: KeyDocument, purpose: str, after: int, fresh: Fresh) -> None:
    """Make the successor of key `after`, unless it is there.

    Raises:
        StateConflict: Another key signs by now.
        LimitReached: There were too many.
    """
    record = document.rings.setdefault(purpose, RingRecord())
    if record.number != after:
        raise StateConflict
    if len(record.former) >= MAX_FORMER:
        raise LimitReached("too many keys of this kind followed one another")
    if not record.successor:
        record.successor = fresh(*seed_labels(purpose, after + 1))


def complete(
    document: KeyDocument,
    root: bytes,
    purpose: str,
    after: int,
    *,
    now: int,
    overlap: int | None,
    endorsement: str = "",
) -> None:
    """Let the successor of key `after` sign; does nothing when it does.

    Args:
        document: Changed in place.
        root: Opens the seeds.
        purpose: Whose ring.
        after: Number of the key that is replaced.
        now: Unix seconds.
        overlap: Seconds for which the former keys are accepted; None: for ever.
        endorsement: What the former key signed to name the one that follows.

    Raises:
        StateConflict: There is no such successor.
    """
    record = document.rings.get(purpose) or RingRecord()
    if record.number == after + 1:
        return
    if record.number != after or not record.successor:
        raise StateConflict
    private = _private(root, seed_of(document, purpose), purpose, after)
    public = private.public_key().public_bytes_raw()
    ends = None if overlap is None else now + overlap
    kept = [one for one in record.former if _accepted(one, now)]
    for one in kept:
        one.ends = one.ends if ends is None else min(ends, one.ends or ends)
    kept.append(FormerRecord(after, public, now, record.made, ends, endorsement))
    _keep_seed(document, purpose, record.successor)
    document.rings[purpose] = RingRecord(
        after + 1, now, former=[one for one in kept if _accepted(one, now)]
    )


def forget_former(document: KeyDocument, purpose: str) -> None:
    """Accept nothing any more that a former key signed."""
    if purpose in document.rings:
        document.rings[purpose].former = []


def check_room(document: KeyDocument, purpose: str, now: int, overlap: int) -> None:
    """Refuse another key while many former ones are accepted; one that ends all of them is not.

    Raises:
        LimitReached: So it is.
    """
    record = document.rings.get(purpose) or RingRecord()
    accepted = [one for one in record.former if _accepted(one, now)]
    if overlap and len(accepted) >= MAX_ACCEPTED:
        raise LimitReached(
            "too many former keys are accepted still: wait for one to end, or end all with an "
            "overlap of 0"
        ).again_in(min(one.ends or now for one in accepted) - now)


def _private(root: bytes, sealed: bytes, purpose: str, number: int) -> Ed25519PrivateKey:
    seed = open_key(root, sealed, label_of(*seed_labels(purpose, number)))
    return Ed25519PrivateKey.from_private_bytes(seed)


def _accepted(one: FormerRecord, now: float) -> bool:
    return one.ends is None or one.ends > now


def _former(one: FormerRecord) -> FormerKey:
    return FormerKey(one.number, one.public, one.made, one.replaced, one.ends, one.endorsement)
