from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.batch.records import BatchState, PartState, Progress, Usage
from gateway.errors import AlreadyExists, StateConflict
from gateway.storage.errors import ValueRefused
from gateway.storage.stores import ControlStores
from tests.contracts.samples import BATCH, PART, PAYLOAD

STATES: tuple[PartState, ...] = ("ready", "erased", "kept", "waiting")


def test_a_batch_comes_back_as_it_was(stores: ControlStores) -> None:
    assert stores.batches.get_batch("acme", "b1") is None
    stores.batches.add_batch(replace(BATCH, revision=7))
    assert stores.batches.get_batch("acme", "b1") == BATCH
    assert stores.batches.get_batch("other", "b1") is None
    bare = replace(BATCH, id="b2", source=None, subject_sealed=b"", subject_ref="")
    stores.batches.add_batch(bare)
    assert stores.batches.get_batch("acme", "b2") == bare


def test_a_taken_id_changes_nothing(stores: ControlStores) -> None:
    stores.batches.add_batch(BATCH)
    with pytest.raises(AlreadyExists):
        stores.batches.add_batch(replace(BATCH, tenant="other"))
    assert stores.batches.get_batch("acme", "b1") == BATCH


def test_a_batch_is_replaced_at_its_revision_only(stores: ControlStores) -> None:
    stores.batches.add_batch(BATCH)
    stored = stores.batches.replace_batch(replace(BATCH, state="running", source=None))
    assert stored == replace(BATCH, state="running", source=None, revision=1)
    assert stores.batches.get_batch("acme", "b1") == stored
    for stale in (BATCH, replace(stored, tenant="other"), replace(stored, id="b2")):
        with pytest.raises(StateConflict):
            stores.batches.replace_batch(stale)
    assert stores.batches.get_batch("acme", "b1") == stored


def test_batches_are_listed_for_their_client(stores: ControlStores) -> None:
    for name, tenant, client in [
        ("b", "acme", "app"),
        ("B", "acme", "app"),
        ("a", "acme", "other"),
        ("c", "rival", "app"),
        ("d", "acme", "app"),
    ]:
        stores.batches.add_batch(replace(BATCH, id=name, tenant=tenant, client=client))
    listed = stores.batches.list_batches("acme", "app", after="", limit=9)
    assert [batch.id for batch in listed] == ["B", "b", "d"]
    listed = stores.batches.list_batches("acme", "app", after="B", limit=1)
    assert [batch.id for batch in listed] == ["b"]


def test_unfinished_batches_of_every_tenant_are_found(stores: ControlStores) -> None:
    states: dict[str, BatchState] = {
        "a": "queued",
        "b": "running",
        "c": "finished",
        "d": "cancelled",
        "e": "queued",
    }
    for name, state in states.items():
        stores.batches.add_batch(replace(BATCH, id=name, tenant=f"t-{name}", state=state))
    found = stores.batches.unfinished_batches(after="", limit=9)
    assert [batch.id for batch in found] == ["a", "b", "e"]
    found = stores.batches.unfinished_batches(after="a", limit=1)
    assert [batch.id for batch in found] == ["b"]


def test_expired_batches_are_walked_by_time_and_id(stores: ControlStores) -> None:
    for name, expires in [("b", 5), ("a", 5), ("c", 4), ("d", 6)]:
        stores.batches.add_batch(replace(BATCH, id=name, expires=expires))
    found = stores.batches.expired_batches(5, after=(-1, ""), limit=9)
    assert [batch.id for batch in found] == ["c", "a", "b"]
    found = stores.batches.expired_batches(5, after=(5, "a"), limit=9)
    assert [batch.id for batch in found] == ["b"]


def test_what_a_tenant_takes_is_added_up(stores: ControlStores) -> None:
    assert stores.batches.usage("acme", 0) == Usage()
    made: list[tuple[str, int, BatchState]] = [
        ("a", 5, "queued"),
        ("b", 9, "finished"),
        ("c", 10, "running"),
    ]
    for name, created, state in made:
        stores.batches.add_batch(
            replace(BATCH, id=name, created=created, state=state, rows=2**40, length=3)
        )
    stores.batches.add_batch(replace(BATCH, id="d", tenant="other", created=10))
    assert stores.batches.usage("acme", 9) == Usage(2, 2 * 2**40, 6)


def test_a_part_is_put_and_replaced(stores: ControlStores) -> None:
    stores.batches.add_batch(BATCH)
    assert stores.batches.get_part("acme", "b1", 0) is None
    stores.batches.put_part(PART)
    assert stores.batches.get_part("acme", "b1", 0) == PART
    assert stores.batches.get_part("other", "b1", 0) is None
    done = replace(PART, state="ready", source=None, event="e", digest="d", length=2**40, refs=())
    stores.batches.put_part(done)
    assert stores.batches.get_part("acme", "b1", 0) == done


def test_parts_are_in_the_order_of_their_numbers(stores: ControlStores) -> None:
    stores.batches.add_batch(BATCH)
    for number in (10, 9, 0):
        stores.batches.put_part(replace(PART, number=number))
    listed = stores.batches.list_parts("acme", "b1", after=-1, limit=9)
    assert [part.number for part in listed] == [0, 9, 10]
    listed = stores.batches.list_parts("acme", "b1", after=0, limit=1)
    assert [part.number for part in listed] == [9]
    assert stores.batches.list_parts("other", "b1", after=-1, limit=9) == []


def test_the_next_part_is_the_first_that_has_not_ended(stores: ControlStores) -> None:
    stores.batches.add_batch(BATCH)
    for number, state in enumerate(STATES):
        stores.batches.put_part(replace(PART, number=number, state=state))
    found = stores.batches.next_part("acme", "b1")
    assert found is not None
    assert found.number == 2
    for number in (2, 3):
        stores.batches.put_part(replace(PART, number=number, state="ready"))
    assert stores.batches.next_part("acme", "b1") is None


def test_progress_counts_what_has_ended(stores: ControlStores) -> None:
    stores.batches.add_batch(BATCH)
    assert stores.batches.progress("acme", "b1") == Progress()
    for number, state in enumerate(STATES):
        stores.batches.put_part(replace(PART, number=number, state=state, rows=4, refused=1))
    assert stores.batches.progress("acme", "b1") == Progress(2, 8, 2)


def test_a_batch_goes_with_its_parts(stores: ControlStores) -> None:
    for name in ("b1", "b2"):
        stores.batches.add_batch(replace(BATCH, id=name))
        stores.batches.put_part(replace(PART, batch=name))
    stores.batches.remove_batch("other", "b1")
    assert stores.batches.get_part("acme", "b1", 0) is not None
    stores.batches.remove_batch("acme", "b1")
    stores.batches.remove_batch("acme", "b1")
    assert stores.batches.get_batch("acme", "b1") is None
    assert stores.batches.get_part("acme", "b1", 0) is None
    assert stores.batches.get_part("acme", "b2", 0) is not None


def test_parts_go_and_their_batch_stays(stores: ControlStores) -> None:
    stores.batches.add_batch(BATCH)
    stores.batches.put_part(PART)
    stores.batches.remove_parts("acme", "b1")
    assert stores.batches.list_parts("acme", "b1", after=-1, limit=9) == []
    assert stores.batches.get_batch("acme", "b1") == BATCH


def test_what_no_database_keeps_is_refused(stores: ControlStores) -> None:
    with pytest.raises(ValueRefused):
        stores.batches.add_batch(replace(BATCH, purpose="\0"))
    with pytest.raises(ValueRefused):
        stores.batches.put_part(replace(PART, source=replace(PAYLOAD, role="\ud800")))
    assert stores.batches.get_batch("acme", "\0") is None


def test_parts_are_found_by_whom_they_are_about(stores: ControlStores) -> None:
    ref, near = PART.refs[1], PART.refs[1][:-1]
    for name, tenant in (("b1", "acme"), ("b2", "acme"), ("b3", "rival")):
        stores.batches.add_batch(replace(BATCH, id=name, tenant=tenant))
        stores.batches.put_part(replace(PART, batch=name, tenant=tenant))
        stores.batches.put_part(replace(PART, batch=name, tenant=tenant, number=1, refs=()))
    stores.batches.put_part(replace(PART, batch="b2", number=2, state="erased"))
    found = stores.batches.parts_about("acme", ref, limit=9)
    assert [(part.batch, part.number) for part in found] == [("b1", 0), ("b2", 0)]
    assert stores.batches.parts_about("acme", ref, limit=1) == found[:1]
    for other in (near, ref.replace("_", "x"), "%", ""):
        assert stores.batches.parts_about("acme", other, limit=9) == []
