"""Puts waiting events into a tenant's tree, inside one transaction of the store.

1. Size and frontier are read inside the transaction; what was known before serves only to
   notice that the tree went back.
2. Entries, tiles, tree and the checkpoint that signs them are written together or not at all.
3. An event id is in a tree once. The same event again gets its old index; another event under
   the same id is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from audit.errors import EventConflict, EventInvalid, LogRolledBack, ProofInvalid
from audit.event import PRUNE_ACTION, Columns, Event, SealedCommit, columns, encode
from audit.note import LogSigner
from audit.ports import LogTransaction, NewEntry, SealedField, TreeState
from audit.sealing import MAX_CIPHERTEXT_BYTES
from audit.succession import ACTION, Handover
from audit.tiles import grow
from audit.tree import Frontier, leaf_hash

NO_TREE = TreeState(0, b"", b"")


class Pending(msgspec.Struct, frozen=True):
    """An event on its way into the log."""

    event_id: str
    body: bytes
    columns: Columns
    subject_refs: tuple[str, ...]
    sealed: tuple[SealedField, ...]


def prepare(event: Event, sealed: Sequence[SealedField], *, succession: bool = False) -> Pending:
    """Encode an event with the digests of its sealed fields.

    Args:
        event: What happened.
        sealed: Personal fields of subjects that the event names.
        succession: The event endorses the log's next key; no other may.

    Raises:
        EventInvalid: It breaks a bound, or a sealed field's subject is not named in it.
    """
    if sealed or event.sealed_commit:
        if not {field.subject_ref for field in sealed} <= set(event.subject_refs):
            raise EventInvalid
        if any(len(field.ciphertext) > MAX_CIPHERTEXT_BYTES for field in sealed):
            raise EventInvalid
        commits = tuple(
            SealedCommit(field.subject_ref, sha256(field.ciphertext).hexdigest())
            for field in sealed
        )
        event = msgspec.structs.replace(event, sealed_commit=commits)
    if event.pruned and event.action != PRUNE_ACTION:
        raise EventInvalid
    if (bool(event.succession), event.action == ACTION) != (succession, succession):
        raise EventInvalid
    body = encode(event)
    return Pending(event.id, body, columns(event), event.subject_refs, tuple(sealed))


def sequence(
    transaction: LogTransaction,
    tenant: str,
    batch: Sequence[Pending],
    signer: LogSigner | Handover,
    *,
    floor: int,
    look_up: bool,
) -> tuple[list[int | EventConflict], TreeState]:
    """Append a batch to a tenant's tree.

    Args:
        transaction: The open transaction.
        tenant: Whose tree it is.
        batch: The events, in order.
        signer: Signs the new checkpoint.
        floor: The least size that the tree must have.
        look_up: Look for ids that are in the tree. Without it the store refuses those.

    Returns:
        For each event its index, or the conflict; and the head of the tree.

    Raises:
        LogRolledBack: The tree is smaller than `floor`.
        ProofInvalid: The stored tree contradicts itself.
        DuplicateEvent: Without `look_up`, an id is in the tree already.
    """
    before = transaction.tree(tenant) or NO_TREE
    if before.size < floor:
        raise LogRolledBack
    frontier = Frontier.from_bytes(before.size, before.frontier)
    places: dict[str, tuple[int, bytes]] = {}
    if look_up:
        places.update(transaction.existing(tenant, [event.event_id for event in batch]))
        if any(index >= before.size for index, _ in places.values()):
            raise ProofInvalid("there is an entry beyond the tree")
    entries: list[NewEntry] = []
    outcomes: list[int | EventConflict] = []
    for event in batch:
        leaf = leaf_hash(event.body)
        place = places.get(event.event_id)
        if place is None:
            place = places[event.event_id] = (before.size + len(entries), leaf)
            entries.append(_entry(place, event))
        outcomes.append(place[0] if place[1] == leaf else EventConflict())
    if not entries:
        return outcomes, before
    leaves = [entry.leaf_hash for entry in entries]
    tiles = grow(frontier, leaves, lambda level, n: transaction.tile(tenant, level, n))
    note = signer.checkpoint(frontier.size, frontier.root())
    after = TreeState(frontier.size, frontier.to_bytes(), note)
    transaction.put_tree(tenant, after)
    transaction.insert(tenant, entries)
    for (level, number), hashes in tiles.items():
        transaction.put_tile(tenant, level, number, hashes)
    return outcomes, after


def _entry(place: tuple[int, bytes], event: Pending) -> NewEntry:
    return NewEntry(
        place[0],
        event.event_id,
        place[1],
        event.body,
        event.columns,
        event.subject_refs,
        event.sealed,
    )
