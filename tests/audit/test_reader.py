from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from audit.errors import EntryTampered, EntryUnknown, LogEmpty
from audit.event import PRUNE_ACTION, Columns, encode
from audit.ports import Filter, LogStore, SealedField, StoredEntry
from audit.reader import LogReader
from audit.stores.memory import MemoryLogStore
from audit.tiles import TileAddress
from audit.tree import leaf_hash, verify_consistency, verify_inclusion
from tests.audit.samples import event, ref, signer, started


def reader_of(store: LogStore) -> LogReader:
    return LogReader(store, lambda tenant: signer(tenant).verifier)


def fill(store: LogStore, count: int, **fields: Any) -> None:
    with started(store) as log:
        for _ in range(count):
            log.append_blocking(event(**fields))


def test_an_empty_log_reads_as_empty(store: LogStore) -> None:
    reader = reader_of(store)
    assert reader.events("acme") == []
    assert reader.search("acme", Filter()) == []
    with pytest.raises(LogEmpty):
        reader.proof("acme", 0)
    with pytest.raises(LogEmpty):
        reader.checkpoint("acme")
    with pytest.raises(EntryUnknown):
        reader.entry("acme", 0)


def test_events_are_read_in_pages_both_ways(store: LogStore) -> None:
    fill(store, 7)
    reader = reader_of(store)
    assert [str(entry) for entry in reader.events("acme", limit=2)] == [
        "log.example/acme/0",
        "log.example/acme/1",
    ]
    assert [e.index for e in reader.events("acme", after=4, limit=5)] == [5, 6]
    assert [e.index for e in reader.events("acme", newest=True, limit=3)] == [6, 5, 4]
    assert [e.index for e in reader.events("acme", newest=True, before=4, limit=9)] == [3, 2, 1, 0]
    assert reader.events("acme", after=6) == []


def test_a_search_returns_what_was_written(store: LogStore) -> None:
    one = event(subject_refs=(ref(1),), actor_ref="a")
    with started(store) as log:
        log.append_blocking(event())
        log.append_blocking(one)
        log.append_blocking(event("globex", subject_refs=(ref(1),)))
    (found,) = reader_of(store).search("acme", Filter(subject_ref=ref(1)))
    assert found.event == one
    assert found.body == encode(one)
    assert reader_of(store).search("acme", Filter(actor_ref="b")) == []


@pytest.mark.parametrize(
    "cursor",
    [{"limit": 0}, {"limit": -1}, {"after": 2**70}, {"before": -(2**70)}, {"before": 0}],
)
def test_odd_cursors_read_nothing(store: LogStore, cursor: dict[str, int]) -> None:
    fill(store, 3)
    assert reader_of(store).events("acme", **cursor) == []  # type: ignore[arg-type]
    assert reader_of(store).search("acme", Filter(), **cursor) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "where", [Filter(actor_ref="\ud800"), Filter(since=2**70), Filter(until=-(2**70))]
)
def test_what_no_store_can_hold_is_not_found(store: LogStore, where: Filter) -> None:
    fill(store, 3)
    assert reader_of(store).search("acme", where) == []


def test_cursors_may_reach_beyond_the_log(store: LogStore) -> None:
    fill(store, 3)
    for read in (reader_of(store).events, lambda t, **k: reader_of(store).search(t, Filter(), **k)):
        assert len(read("acme", after=-(2**70), before=2**70, limit=2**70)) == 3


def test_proofs_lead_to_the_signed_root(store: LogStore) -> None:
    fill(store, 300)
    reader = reader_of(store)
    old = signer("acme").verifier.open_checkpoint(reader.checkpoint("acme"))
    for index in (0, 255, 256, 299):
        proof = reader.proof("acme", index)
        checkpoint = signer("acme").verifier.open_checkpoint(proof.checkpoint)
        leaf = leaf_hash(reader.entry("acme", index).body)
        verify_inclusion(leaf, index, checkpoint.size, proof.hashes, checkpoint.root)
    fill(store, 5)
    consistency = reader.consistency("acme", 300)
    new = signer("acme").verifier.open_checkpoint(consistency.checkpoint)
    verify_consistency(300, new.size, old.root, new.root, consistency.hashes)
    for unknown in (-1, 305):
        with pytest.raises(EntryUnknown):
            reader.proof("acme", unknown)
    with pytest.raises(EntryUnknown):
        reader.consistency("acme", 306)


def test_a_proof_file_has_the_form_of_the_specification(store: LogStore) -> None:
    fill(store, 3)
    proof = reader_of(store).proof("acme", 1)
    head, _, note = proof.to_bytes().partition(b"\n\n")
    kind, index, *hashes = head.decode().split("\n")
    assert (kind, index) == ("c2sp.org/tlog-proof@v1", "index 1")
    assert [base64.b64decode(h) for h in hashes] == list(proof.hashes)
    assert signer("acme").verifier.open_checkpoint(note).size == 3


def test_tiles_and_bundles_are_served_up_to_the_checkpoint(store: LogStore) -> None:
    fill(store, 258)
    reader = reader_of(store)
    assert len(reader.tile("acme", TileAddress(0, 0, 256))) == 8192
    assert len(reader.tile("acme", TileAddress(0, 1, 2))) == 64
    assert len(reader.tile("acme", TileAddress(0, 1, 1))) == 32
    assert len(reader.tile("acme", TileAddress(1, 0, 1))) == 32
    bundle = reader.tile("acme", TileAddress(None, 1, 2))
    length = int.from_bytes(bundle[:2], "big")
    assert bundle[2 : 2 + length] == reader.entry("acme", 256).body
    for beyond in (
        TileAddress(0, 1, 3),
        TileAddress(0, 2, 1),
        TileAddress(1, 0, 2),
        TileAddress(2, 0, 1),
        TileAddress(None, 1, 256),
    ):
        with pytest.raises(EntryUnknown):
            reader.tile("acme", beyond)


def test_pruned_events_are_left_out_if_an_event_allows_it(store: LogStore) -> None:
    fill(store, 6)
    with started(store) as log:
        log.prune(event(action=PRUNE_ACTION, outcome="done", pruned=((1, 5),)))
    reader = reader_of(store)
    assert [e.index for e in reader.events("acme", limit=2)] == [0, 5]
    assert [e.index for e in reader.events("acme", limit=3, newest=True)] == [6, 5, 0]
    with pytest.raises(EntryUnknown):
        reader.entry("acme", 2)
    assert reader.proof("acme", 2).index == 2
    assert reader.tile("acme", TileAddress(None, 0, 2)).endswith(b"\x00\x00")


def test_a_body_that_vanished_stops_the_reading(store: LogStore) -> None:
    fill(store, 6)
    with started(store) as log:
        log.append_blocking(event(action=PRUNE_ACTION, outcome="deny", pruned=((2, 3),)))
    store.prune("acme", [(2, 3)])
    with pytest.raises(EntryTampered) as caught:
        reader_of(store).events("acme")
    assert (caught.value.origin, caught.value.index) == ("log.example/acme", 2)


def test_sealed_fields_are_those_that_were_committed_to(store: LogStore) -> None:
    field = SealedField(ref(1), b"x" * 40)
    with started(store) as log:
        log.append_blocking(event(subject_refs=(ref(1),)), [field])
    assert reader_of(store).sealed("acme", 0) == [field]
    store.erase_sealed("acme", ref(1))
    assert reader_of(store).sealed("acme", 0) == []


def forged(row: StoredEntry, **changes: object) -> StoredEntry:
    return msgspec.structs.replace(row, **changes)


def rewritten(row: StoredEntry) -> StoredEntry:
    """Change an entry, its leaf hash and columns with it: only the tree tells."""
    body = encode(event(id=row.event_id, actor_ref="client_2", ts=1))
    columns = Columns(1, "client_2", "infer", "allow", "risk")
    return forged(row, body=body, leaf_hash=leaf_hash(body), columns=columns)


TAMPERINGS: dict[str, Callable[[StoredEntry], StoredEntry]] = {
    "body": lambda row: forged(row, body=(row.body or b"").replace(b"risk", b"rusk")),
    "leaf hash": lambda row: forged(row, leaf_hash=bytes(32)),
    "both": rewritten,
    "id": lambda row: forged(row, event_id=event().id),
    "column": lambda row: forged(row, columns=row.columns and row.columns._replace(ts=5)),
    "actor": lambda row: forged(row, columns=row.columns and row.columns._replace(actor_ref="b")),
    "subjects": lambda row: forged(row, subject_refs=(ref(9),)),
    "no event": lambda row: forged(row, body=b"{}", leaf_hash=leaf_hash(b"{}")),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_what_was_tampered_with_is_named_and_never_shown(tampering: str) -> None:
    store = MemoryLogStore()
    fill(store, 300)
    entries = store._trees["acme"].entries
    entries[260] = TAMPERINGS[tampering](entries[260])
    reader = reader_of(store)
    for read in (
        lambda: reader.entry("acme", 260),
        lambda: reader.search("acme", Filter(), after=259, limit=1),
    ):
        with pytest.raises(EntryTampered) as caught:
            read()
        assert str(caught.value).startswith("entry log.example/acme/260 ")
    with pytest.raises(EntryTampered):
        reader.events("acme", newest=True)
    if tampering not in ("leaf hash", "both", "no event"):  # those spoil their neighbours' proofs
        assert reader.entry("acme", 259).index == 259


def test_a_tampered_tile_stops_proofs_and_reading() -> None:
    store = MemoryLogStore()
    fill(store, 300)
    store._trees["acme"].tiles[0, 0] = bytes(8192)
    reader = reader_of(store)
    with pytest.raises(EntryTampered):
        reader.proof("acme", 0)
    with pytest.raises(EntryTampered):
        reader.entry("acme", 0)
    store._trees["acme"].tiles[0, 0] = b""
    with pytest.raises(EntryTampered):
        reader.consistency("acme", 3)


def test_a_missing_entry_stops_the_reading() -> None:
    store = MemoryLogStore()
    fill(store, 5)
    del store._trees["acme"].entries[3]
    with pytest.raises(EntryTampered) as caught:
        reader_of(store).events("acme")
    assert caught.value.index == 3


def test_a_checkpoint_of_another_key_stops_the_reading() -> None:
    store = MemoryLogStore()
    fill(store, 2)
    state = store._trees["acme"].state
    store._trees["acme"].state = state._replace(note=signer("globex").checkpoint(2, bytes(32)))
    with pytest.raises(EntryTampered):
        reader_of(store).events("acme")


def test_a_swapped_ciphertext_is_noticed() -> None:
    store = MemoryLogStore()
    with started(store) as log:
        log.append_blocking(event(subject_refs=(ref(1),)), [SealedField(ref(1), b"x" * 40)])
    tree = store._trees["acme"]
    tree.sealed[0] = [replace(tree.sealed[0][0], ciphertext=b"y" * 40)]
    with pytest.raises(EntryTampered):
        reader_of(store).sealed("acme", 0)
