"""The journal: whatever is in it, readers, verifiers and the next process see the same log."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from audit import verify_folder
from audit.errors import DuplicateEvent, EntryTampered, ProofInvalid, StoreFault
from audit.event import ERASE_ACTION, PRUNE_ACTION, Event
from audit.log import Limits
from audit.ports import Filter, LogStore, SealedField, StoredEntry
from audit.reader import LogReader
from audit.sequencing import prepare, sequence
from audit.stores.sqlite import SCHEMA, SqliteLogStore
from tests.audit.samples import event, ref, signer, started
from tests.audit.test_log_store_contract import write

KEYS = [signer("acme").verifier_key, signer("globex").verifier_key]
END = 2**63 - 1


def batches(many: int = 40) -> list[tuple[str, list[Event]]]:
    """Commits of two tenants, of one to seven events, some with data subjects."""
    return [
        (
            tenant,
            [
                event(tenant, subject_refs=(ref(n), ref(n + at)), actor_ref="ab"[at % 2])
                for at in range(1 + n % 7)
            ],
        )
        for n in range(many)
        for tenant in ("acme", "globex")
    ]


def commit(store: LogStore, tenant: str, events: list[tuple[Event, SealedField]]) -> None:
    batch = [prepare(one, [field]) for one, field in events]
    with store.transaction() as transaction:
        sequence(transaction, tenant, batch, signer(tenant), floor=0, look_up=False)


def filled(path: Path, settle_after: Callable[[int], bool]) -> SqliteLogStore:
    store = SqliteLogStore(path)
    for number, (tenant, events) in enumerate(batches()):
        commit(
            store, tenant, [(one, SealedField(one.subject_refs[0], b"sealed")) for one in events]
        )
        if settle_after(number):
            store.settle()
    return store


def journal_rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    return int(rows)


def seen(store: LogStore) -> list[object]:
    """What a reader can ask of a store."""

    def found(tenant: str, **where: object) -> list[StoredEntry]:
        chosen = Filter(**where)  # type: ignore[arg-type]
        return store.search(tenant, chosen, after=3, before=90, limit=40, newest=True)

    return [
        [
            store.tree(tenant),
            [  # the order of an entry's subjects is not promised
                (row.index, row.event_id, row.leaf_hash, row.body, row.columns, {*row.subject_refs})
                for row in store.entries(tenant, 0, END)
            ],
            [store.tile(tenant, level, n) for level in (0, 1) for n in (0, 1)],
            [store.sealed(tenant, index) for index in range(160)],
            [row.index for row in found(tenant, actor_ref="a")],
            [row.index for row in found(tenant, subject_ref=ref(12))],
            [store.place(tenant, row.event_id) for row in store.entries(tenant, 100, 200)],
        ]
        for tenant in store.tenants()
    ]


def test_settling_changes_nothing_that_a_reader_sees(tmp_path: Path) -> None:
    store = filled(tmp_path / "audit.db", lambda number: number == 37)
    assert journal_rows(tmp_path / "audit.db") > 20
    before = seen(store)
    store.settle()
    assert journal_rows(tmp_path / "audit.db") == 0
    assert seen(store) == before
    store.close()


@pytest.mark.parametrize("every", [1, 5, 1000])
def test_whatever_is_settled_the_file_verifies_and_the_next_process_goes_on(
    tmp_path: Path, every: int
) -> None:
    path = tmp_path / "audit.db"
    store = filled(path, lambda number: number % every == 0)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for file in tmp_path.glob("audit.db*"):  # as a crash leaves the files
        shutil.copy(file, crashed)
    store.close()
    sizes = [155, 155]
    for place in (path, crashed / "audit.db"):
        report = verify_folder.verify_folder(place, KEYS)
        assert report.status == "VERIFIED", report
        assert [tree.size for tree in report.trees] == sizes
        again = SqliteLogStore(place)
        with started(again) as log:
            assert log.append_blocking(event()).index == 155
            assert len(LogReader(again, log.verifier).events("acme", limit=1000)) == 156
        again.close()
        assert journal_rows(place) == 0
        assert verify_folder.verify_folder(place, KEYS).status == "VERIFIED"


def test_an_id_is_refused_whether_it_is_settled_or_not(tmp_path: Path) -> None:
    store = SqliteLogStore(tmp_path / "audit.db")
    early, late = event(), event()
    write(store, *[event() for _ in range(70)], early)
    store.settle()
    write(store, late)
    for one in (early, late):
        with pytest.raises(DuplicateEvent):
            write(store, *[event() for _ in range(70)], one)
        assert write(store, one, look_up=True) == [store.place("acme", one.id)]
    store.close()
    again = SqliteLogStore(tmp_path / "audit.db")
    with pytest.raises(DuplicateEvent):
        write(again, late)
    again.close()


def test_another_process_that_wrote_is_noticed(tmp_path: Path) -> None:
    """Two gateways on one file are a mistake; their trees must not fork."""
    one, other = (SqliteLogStore(tmp_path / "audit.db") for _ in range(2))
    for turn in range(6):
        assert write(one, event()) == [2 * turn]
        assert write(other, event()) == [2 * turn + 1]
        if turn == 3:
            one.settle()
    one.close()
    other.close()
    assert verify_folder.verify_folder(tmp_path / "audit.db", KEYS[:1]).status == "VERIFIED"


def test_what_is_erased_or_pruned_right_after_its_commit_is_in_no_file(tmp_path: Path) -> None:
    store = SqliteLogStore(tmp_path / "audit.db")
    with started(store, limits=Limits(idle_seconds=60)) as log:
        log.append_blocking(event())  # after the first commit of a log everything is settled
        sealed = SealedField(ref(1), b"cipher-of-the-erased-subject")
        log.append_blocking(event(subject_refs=(ref(1),)), [sealed])
        log.append_blocking(event(reason="body-to-prune"))
        assert journal_rows(tmp_path / "audit.db") == 2
        log.append_blocking(event(action=ERASE_ACTION, phase="intent", subject_refs=(ref(1),)))
        assert log.erase_subject("acme", ref(1)) == 1
        log.prune(event(action=PRUNE_ACTION, outcome="done", pruned=((2, 3),)))
        on_disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert sealed.ciphertext not in on_disk
        assert b"body-to-prune" not in on_disk
    store.close()
    report = verify_folder.verify_folder(tmp_path / "audit.db", KEYS[:1])
    assert (report.status, report.trees[0].pruned, report.trees[0].erased) == ("VERIFIED", 1, 1)


def test_a_fault_while_settling_loses_nothing_and_the_log_stays_open(tmp_path: Path) -> None:
    store = SqliteLogStore(tmp_path / "audit.db", max_bytes=400_000)
    with started(store, limits=Limits(idle_seconds=0.01, settle_events=8)) as log:
        receipts = [log.append_blocking(event(reason="x" * 300)) for _ in range(60)]
        store.limit(1)
        with pytest.raises(StoreFault):
            write(store, *[event(reason="x" * 900) for _ in range(300)])
        store.limit(None)
        receipts.append(log.append_blocking(event()))
        assert [receipt.index for receipt in receipts] == list(range(61))
    store.close()
    assert verify_folder.verify_folder(tmp_path / "audit.db", KEYS[:1]).status == "VERIFIED"


@pytest.fixture
def unsettled(tmp_path: Path) -> Path:
    path = tmp_path / "audit.db"
    store = SqliteLogStore(path)
    write(store, *[event() for _ in range(5)])
    store.settle()
    for n in range(4):
        one = event(subject_refs=(ref(n),), reason=f"reason-{n}")
        commit(store, "acme", [(one, SealedField(ref(n), b"cipher-%d" % n))])
    store.close()
    return path


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        ("UPDATE journal SET bundle = CAST(replace(bundle, 'reason-2', 'Reason-2') AS BLOB)", "/7"),
        ("UPDATE journal SET leaves = randomblob(32) WHERE first = 6", "/6"),
        ("UPDATE journal SET leaves = X'00' WHERE first = 6", None),
        ("UPDATE journal SET sealed = CAST(replace(sealed, 'cipher-1', 'Cipher-1') AS BLOB)", "/6"),
        ("UPDATE journal SET sealed = X'' WHERE first = 8", "/8"),
        ("UPDATE journal SET note = X'00' WHERE first = 8", None),
        ("UPDATE journal SET frontier = X'00' WHERE first = 8", "/9"),
        ("UPDATE journal SET size = 8 WHERE first = 8", "/9"),
        ("UPDATE journal SET first = 9 WHERE first = 8", None),
        ("UPDATE journal SET first = -1 WHERE first = 6", "/6"),
        ("UPDATE journal SET bundle = X'0000' WHERE first = 7", "/7"),
        ("UPDATE journal SET bundle = CAST(bundle || X'00' AS BLOB) WHERE first = 7", None),
        ("UPDATE journal SET tree = 9 WHERE first = 7", None),
        ("DELETE FROM journal WHERE first = 7", "/7"),
        ("DELETE FROM journal WHERE first >= 7", None),
        ("INSERT INTO seq SELECT 1, 7, 'x', leaf_hash FROM seq WHERE idx = 1", None),
        ("DROP TABLE journal", None),
    ],
)
def test_an_insider_who_edits_the_journal_is_found(
    unsettled: Path, statement: str, entry: str | None
) -> None:
    assert verify_folder.verify_folder(unsettled, KEYS[:1]).status == "VERIFIED"
    kept = SqliteLogStore(unsettled)
    state = kept.tree("acme")
    kept.close()
    assert state is not None
    with closing(sqlite3.connect(unsettled, isolation_level=None)) as connection:
        connection.execute(statement)
    report = verify_folder.verify_folder(unsettled, KEYS[:1], [state.note])
    assert report.status == "FAILED"
    if entry is not None:
        assert report.first_bad == f"log.example/acme{entry}"


def test_an_altered_entry_of_the_journal_is_neither_shown_nor_built_upon(unsettled: Path) -> None:
    with closing(sqlite3.connect(unsettled, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE journal SET bundle = CAST(replace(bundle, 'reason-2', 'Reason-2') AS BLOB)"
        )
    store = SqliteLogStore(unsettled)
    reader = LogReader(store, lambda tenant: signer(tenant).verifier)
    with pytest.raises(EntryTampered, match="acme/7"):
        reader.events("acme")
    with pytest.raises(ProofInvalid):
        write(store, event())
    with pytest.raises(ProofInvalid):
        store.settle()
    store.close()


def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
        connection.execute("PRAGMA user_version = 1")
    store = SqliteLogStore(path)
    with started(store) as log:
        assert log.append_blocking(event()).index == 0
    store.close()
    assert verify_folder.verify_folder(path, KEYS[:1]).status == "VERIFIED"


def test_a_file_of_the_first_version_is_verified_as_it_is(unsettled: Path) -> None:
    store = SqliteLogStore(unsettled)
    store.settle()
    store.close()
    with closing(sqlite3.connect(unsettled, isolation_level=None)) as connection:
        connection.execute("DROP TABLE journal")
    assert verify_folder.verify_folder(unsettled, KEYS[:1]).status == "VERIFIED"
