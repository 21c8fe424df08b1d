"""What every `LogStore` promises. A past bug of one store becomes a case for all."""

from __future__ import annotations

import pytest

from audit.errors import DuplicateEvent, LogRolledBack
from audit.event import Event, columns, encode
from audit.ports import Filter, LogStore, NewEntry, SealedField, TreeState
from audit.sequencing import Pending, sequence
from audit.tree import Frontier, leaf_hash
from tests.audit.samples import event, ref, signer

END = 2**63 - 1


def pending(one: Event, *sealed: SealedField) -> Pending:
    return Pending(one.id, encode(one), columns(one), one.subject_refs, sealed)


def write(
    store: LogStore, *events: Event, tenant: str = "acme", look_up: bool = False, floor: int = 0
) -> list[object]:
    with store.transaction() as transaction:
        outcomes, _ = sequence(
            transaction,
            tenant,
            [pending(one) for one in events],
            signer(tenant),
            floor=floor,
            look_up=look_up,
        )
    return list(outcomes)


def find(store: LogStore, tenant: str = "acme", newest: bool = False, **where: object) -> list[int]:
    rows = store.search(
        tenant,
        Filter(**where),  # type: ignore[arg-type]
        after=-1,
        before=END,
        limit=100,
        newest=newest,
    )
    return [row.index for row in rows]


def test_an_empty_store_has_nothing(store: LogStore) -> None:
    assert store.tenants() == []
    assert store.tree("acme") is None
    assert store.tile("acme", 0, 0) == b""
    assert store.place("acme", event().id) is None
    assert store.entries("acme", 0, 10) == []
    assert find(store) == []
    assert store.sealed("acme", 0) == []
    assert store.erase_sealed("acme", ref(1)) == 0
    assert store.prune("acme", [(0, 10)]) == 0


def test_entries_come_back_as_they_went_in(store: LogStore) -> None:
    events = [event(subject_refs=(ref(2), ref(1), ref(2))), event(action="deny", outcome="deny")]
    assert write(store, *events) == [0, 1]
    first, second = store.entries("acme", 0, 10)
    assert first.body == encode(events[0])
    assert first.leaf_hash == leaf_hash(encode(events[0]))
    assert first.event_id == events[0].id
    assert first.columns == columns(events[0])
    assert set(first.subject_refs) == {ref(1), ref(2)}
    assert second.index == 1
    assert [row.index for row in store.entries("acme", 1, 2)] == [1]


def test_the_tree_is_the_one_that_was_written(store: LogStore) -> None:
    events = [event() for _ in range(600)]
    write(store, *events[:100])
    write(store, *events[100:])
    frontier = Frontier()
    for one in events:
        frontier.append(leaf_hash(encode(one)))
    state = store.tree("acme")
    assert state is not None
    assert (state.size, state.frontier) == (600, frontier.to_bytes())
    assert signer("acme").verifier.open_checkpoint(state.note).root == frontier.root()
    assert len(store.tile("acme", 0, 1)) == 256 * 32
    assert len(store.tile("acme", 0, 2)) == 88 * 32
    assert len(store.tile("acme", 1, 0)) == 2 * 32
    assert store.tile("acme", 0, 3) == b""


def test_tenants_have_trees_of_their_own(store: LogStore) -> None:
    write(store, event(), event())
    write(store, event("globex"), tenant="globex")
    assert store.tenants() == ["acme", "globex"]
    assert len(store.entries("globex", 0, 10)) == 1
    assert find(store, "globex") == [0]
    assert find(store, "initech") == []


def test_tenants_that_differ_in_case_or_by_a_wildcard_are_others(store: LogStore) -> None:
    write(store, event("a_c"), tenant="a_c")
    assert store.tree("A_C") is None
    assert store.tree("abc") is None


def test_a_transaction_given_up_leaves_nothing(store: LogStore) -> None:
    write(store, event())
    before = store.tree("acme")

    def attempt() -> None:
        with store.transaction() as transaction:
            sequence(
                transaction,
                "acme",
                [pending(event(subject_refs=(ref(1),)), SealedField(ref(1), b"x"))],
                signer("acme"),
                floor=0,
                look_up=False,
            )
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt()
    assert store.tree("acme") == before
    assert len(store.entries("acme", 0, 10)) == 1
    assert store.sealed("acme", 1) == []
    assert find(store, subject_ref=ref(1)) == []


def test_an_id_is_in_a_tree_once(store: LogStore) -> None:
    one = event()
    write(store, one)
    with pytest.raises(DuplicateEvent):
        write(store, event(), one)
    assert len(store.entries("acme", 0, 10)) == 1
    assert write(store, event(), one, look_up=True) == [1, 0]


def test_the_same_id_may_be_in_two_trees(store: LogStore) -> None:
    one = event()
    write(store, one)
    assert write(store, event("globex", id=one.id), tenant="globex") == [0]


def test_another_event_under_a_known_id_is_a_conflict(store: LogStore) -> None:
    one = event()
    write(store, one)
    other = event(id=one.id, reason="other")
    index, conflict = write(store, event(), other, look_up=True)
    assert index == 1
    assert getattr(conflict, "code", None) == "event_conflict"


def test_an_id_twice_in_a_batch_is_written_once(store: LogStore) -> None:
    one = event()
    assert write(store, one, one) == [0, 0]


def test_an_event_is_found_by_its_id(store: LogStore) -> None:
    events = [event() for _ in range(3)]
    write(store, *events[:2])
    assert [store.place("acme", one.id) for one in events] == [0, 1, None]
    write(store, events[2])
    assert [store.place("acme", one.id) for one in events] == [0, 1, 2]


def test_an_id_is_found_in_its_own_tree_only(store: LogStore) -> None:
    one = event()
    write(store, event(), one)
    assert store.place("globex", one.id) is None
    write(store, event("globex", id=one.id), tenant="globex")
    assert (store.place("acme", one.id), store.place("globex", one.id)) == (1, 0)


def test_an_id_or_a_tenant_that_differs_in_case_or_by_a_wildcard_is_not_found(
    store: LogStore,
) -> None:
    one = event("a_c", id="0190a000-0000-7000-8000-00000000000a")
    write(store, one, tenant="a_c")
    assert store.place("a_c", one.id) == 0
    assert store.place("a_c", one.id.upper()) is None
    assert store.place("a_c", one.id.replace("a", "_")) is None
    assert store.place("A_C", one.id) is None
    assert store.place("abc", one.id) is None


def test_an_id_that_was_given_up_is_not_found(store: LogStore) -> None:
    one = event()
    with pytest.raises(LogRolledBack):
        write(store, one, floor=1)
    assert store.place("acme", one.id) is None

    def attempt() -> None:
        with store.transaction() as transaction:
            sequence(transaction, "acme", [pending(one)], signer("acme"), floor=0, look_up=False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt()
    assert store.place("acme", one.id) is None


def test_an_entry_beyond_the_signed_tree_is_not_found(store: LogStore) -> None:
    one = event()
    entry = NewEntry(0, one.id, leaf_hash(encode(one)), encode(one), columns(one), (), ())
    with store.transaction() as transaction:
        transaction.put_tree("acme", TreeState(0, b"", b"note"))
        transaction.insert("acme", [entry])
    assert len(store.entries("acme", 0, 10)) == 1
    assert store.place("acme", one.id) is None


def test_a_pruned_event_is_still_found(store: LogStore) -> None:
    one = event()
    write(store, one)
    store.prune("acme", [(0, 1)])
    assert store.place("acme", one.id) == 0


def test_a_tree_never_goes_back(store: LogStore) -> None:
    write(store, event())
    with pytest.raises(LogRolledBack):
        write(store, event(), floor=2)


def test_a_transaction_sees_what_it_wrote(store: LogStore) -> None:
    with store.transaction() as transaction:
        assert transaction.tree("acme") is None
        transaction.put_tree("acme", TreeState(0, b"", b"note"))
        assert transaction.tree("acme") == TreeState(0, b"", b"note")


def test_every_filter_finds_its_own(store: LogStore) -> None:
    write(
        store,
        event(actor_ref="a", action="infer", outcome="allow", model_id="m", ts=10),
        event(actor_ref="b", action="infer", outcome="deny", model_id="m", ts=20),
        event(actor_ref="a", action="promote", outcome="done", model_id="n", ts=15),
        event(actor_ref="A", subject_refs=(ref(1), ref(2)), model_id="", ts=30),
    )
    assert find(store) == [0, 1, 2, 3]
    assert find(store, newest=True) == [3, 2, 1, 0]
    assert find(store, actor_ref="a") == [0, 2]
    assert find(store, actor_ref="A") == [3]
    assert find(store, action="promote") == [2]
    assert find(store, outcome="deny") == [1]
    assert find(store, outcome="allow") == [0, 3]
    assert find(store, outcome="done") == [2]
    assert find(store, model_id="m") == [0, 1]
    assert find(store, model_id="") == [3]
    assert find(store, subject_ref=ref(2)) == [3]
    assert find(store, since=15) == [1, 2, 3]
    assert find(store, since=15, until=20) == [2]
    assert find(store, actor_ref="a", model_id="n", outcome="done") == [2]
    assert find(store, actor_ref="%") == []


def test_a_search_goes_on_from_a_cursor(store: LogStore) -> None:
    write(store, *(event(actor_ref="ab"[n % 2]) for n in range(10)))

    def page(after: int, before: int, newest: bool) -> list[int]:
        where = Filter(actor_ref="a")
        found = store.search("acme", where, after=after, before=before, limit=2, newest=newest)
        return [row.index for row in found]

    assert [page(-1, END, False), page(2, END, False), page(6, END, False)] == [[0, 2], [4, 6], [8]]
    assert [page(-1, END, True), page(-1, 6, True), page(-1, 2, True)] == [[8, 6], [4, 2], [0]]
    assert page(2, 5, False) == [4]


def test_sealed_fields_lie_beside_their_entry_until_their_subject_is_erased(
    store: LogStore,
) -> None:
    one, two = event(subject_refs=(ref(1), ref(2))), event(subject_refs=(ref(1),))
    fields = (SealedField(ref(1), b"x"), SealedField(ref(2), b"y"), SealedField(ref(1), b"z"))
    with store.transaction() as transaction:
        batch = [pending(one, *fields), pending(two, SealedField(ref(1), b"w"))]
        sequence(transaction, "acme", batch, signer("acme"), floor=0, look_up=False)
    assert store.sealed("acme", 0) == list(fields)
    assert store.erase_sealed("globex", ref(1)) == 0
    assert store.erase_sealed("acme", ref(1)) == 3
    assert store.sealed("acme", 0) == [fields[1]]
    assert store.sealed("acme", 1) == []
    assert store.erase_sealed("acme", ref(1)) == 0
    assert find(store, subject_ref=ref(1)) == [0, 1]


def test_pruning_keeps_the_leaf_and_nothing_else(store: LogStore) -> None:
    events = [event(subject_refs=(ref(1),)) for _ in range(5)]
    with store.transaction() as transaction:
        batch = [pending(one, SealedField(ref(1), b"x")) for one in events]
        sequence(transaction, "acme", batch, signer("acme"), floor=0, look_up=False)
    before = store.tile("acme", 0, 0)
    assert store.prune("acme", [(1, 3), (2, 4), (9, 9), (7, 2)]) == 3
    kept = store.entries("acme", 0, 5)
    assert [row.body is None for row in kept] == [False, True, True, True, False]
    assert [row.columns is None for row in kept] == [False, True, True, True, False]
    assert kept[1].leaf_hash == leaf_hash(encode(events[1]))
    assert kept[1].subject_refs == ()
    assert store.tile("acme", 0, 0) == before
    assert store.sealed("acme", 1) == []
    assert find(store) == find(store, subject_ref=ref(1)) == [0, 4]
    assert store.prune("acme", [(1, 4)]) == 0


def test_a_probe_changes_no_tree(store: LogStore) -> None:
    write(store, event())
    before = store.tree("acme")
    store.probe()
    store.probe()
    assert store.tree("acme") == before
