"""One key of a log follows another."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import verify
from audit.errors import AuditUnavailable, EventInvalid, LogRolledBack, NoteInvalid, StoreFault
from audit.event import Event
from audit.export import export_log
from audit.log import AuditLog
from audit.note import LogSigner, checkpoint_of
from audit.pins import FilePins
from audit.ports import LogStore, TreeState
from audit.reader import LogReader
from audit.sequencing import prepare
from audit.stores.memory import MemoryLogStore
from audit.stores.sqlite import SqliteLogStore
from audit.stores.sqlite_journal import JournalTransaction
from audit.succession import ACTION, HEAD, endorsed, endorsement, in_force
from audit.verify import Report, verify_export
from audit.verify_folder import verify_folder
from tests.audit.samples import LOG_NAME, NOW, event

ORIGIN = f"{LOG_NAME}/acme"
OF_ACME = "log.example/acme"


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(b"log key %d" % number).digest())


def signer(number: int, successor: int | None = None) -> LogSigner:
    former = [LogSigner(ORIGIN, key(n)).verifier for n in range(number - 1, 0, -1)]
    coming = None if successor is None else key(successor)
    return LogSigner(ORIGIN, key(number), former=former, successor=coming)


VKEYS = {number: signer(number).verifier_key for number in range(1, 5)}


@dataclass
class Keeper:
    """The keeper of keys, as far as a log asks it: the key that signs and the one to come."""

    number: int = 1
    successor: int | None = None
    asked: list[str] = field(default_factory=list)

    def __call__(self, tenant: str) -> LogSigner:
        self.asked.append(tenant)
        if tenant != "acme":
            return LogSigner(f"{LOG_NAME}/{tenant}", key(9))
        return signer(self.number, self.successor)


@contextmanager
def opened(store: LogStore, keeper: Keeper, pins: FilePins | None = None) -> Iterator[AuditLog]:
    log = AuditLog(store, keeper, clock=lambda: NOW, random_bytes=bytes, pins=pins)
    log.start()
    try:
        yield log
    finally:
        log.close()


def follows(succession: str = "") -> Event:
    return event(action=ACTION, category="administration", outcome="done", succession=succession)


def append(log: AuditLog, count: int = 1) -> None:
    for _ in range(count):
        log.append_blocking(event())


def signers_of(store: LogStore) -> list[int]:
    """The numbers of the keys that signed the newest checkpoint."""
    state = store.tree("acme")
    assert state is not None
    return [n for n in VKEYS if signer(n).verifier.has_signed(state.note)]


def rotated(store: LogStore, *, before: int = 2, after: int = 2) -> None:
    """Write a log that goes from the first key to the second."""
    with opened(store, Keeper()) as log:
        append(log, before)
        log.rotate_key(follows(), signer(2))
        append(log, after)


def exported(store: LogStore, number: int, path: Path) -> Path:
    out = io.BytesIO()
    export_log(LogReader(store, lambda _: signer(number).verifier), "acme", out)
    path.write_bytes(out.getvalue())
    return path


def test_the_commit_that_names_the_next_key_is_signed_by_both_and_later_ones_by_it(
    store: LogStore,
) -> None:
    with opened(store, Keeper()) as log:
        append(log)
        assert signers_of(store) == [1]
        log.rotate_key(follows(), signer(2))
        assert signers_of(store) == [1, 2]
        append(log)
        assert signers_of(store) == [2]
        assert log.verifier("acme").vkey == VKEYS[2]


def test_the_event_says_which_key_follows_and_both_say_so(store: LogStore) -> None:
    rotated(store)
    reader = LogReader(store, lambda _: signer(2).verifier)
    found = [entry.event for entry in reader.events("acme") if entry.event.action == ACTION]
    assert len(found) == 1
    assert endorsed(found[0].succession, signer(1).verifier).vkey == VKEYS[2]


def test_an_endorsement_by_another_key_or_for_another_log_endorses_nothing() -> None:
    note = endorsement(signer(1), signer(2))
    for wrong in (
        lambda: endorsed(note, signer(2).verifier),
        lambda: endorsed(note.replace(VKEYS[2], VKEYS[3]), signer(1).verifier),
        lambda: endorsed(signer(1).checkpoint(1, bytes(32)).decode(), signer(1).verifier),
        lambda: endorsement(signer(1), signer(1)),
        lambda: endorsement(signer(1), LogSigner("log.example/other", key(2))),
    ):
        with pytest.raises(NoteInvalid):
            wrong()


def test_an_endorsement_cannot_pass_as_a_checkpoint() -> None:
    with pytest.raises(NoteInvalid):
        checkpoint_of(endorsement(signer(1), signer(2)).encode())


def test_no_other_event_can_name_a_key(store: LogStore) -> None:
    note = endorsement(signer(1), signer(2))
    with opened(store, Keeper()) as log:
        for wrong in (event(succession=note), follows(succession=note), follows()):
            with pytest.raises(EventInvalid):
                log.append_blocking(wrong)
        with pytest.raises(EventInvalid):
            log.rotate_key(event(), signer(2))
        append(log)
        assert signers_of(store) == [1]


def test_repeating_the_same_event_changes_the_key_once(store: LogStore) -> None:
    once = follows()
    with opened(store, Keeper()) as log:
        append(log)
        first = log.rotate_key(once, signer(2))
        assert log.rotate_key(once, signer(2)) == first
        append(log)
        assert signers_of(store) == [2]


def test_many_write_while_the_key_changes(store: LogStore, tmp_path: Path) -> None:
    go, faults = threading.Event(), list[Exception]()

    def write() -> None:
        go.wait()
        try:
            append(log, 20)
            LogReader(store, log.verifier).events("acme", limit=5, newest=True)
        except Exception as fault:
            faults.append(fault)

    with opened(store, Keeper()) as log:
        threads = [threading.Thread(target=write) for _ in range(6)]
        for thread in threads:
            thread.start()
        go.set()
        log.rotate_key(follows(), signer(2))
        log.rotate_key(follows(), signer(3))
        for thread in threads:
            thread.join()
        append(log)
    assert faults == []
    report = verify_export(exported(store, 3, tmp_path / "a.zip"), VKEYS[1])
    assert (report.status, report.trees[0].size) == ("VERIFIED", 123)
    assert report.trees[0].keys == [VKEYS[1], VKEYS[2], VKEYS[3]]


def test_after_a_death_before_the_commit_the_old_key_signs_on(store: LogStore) -> None:
    with opened(store, Keeper()) as log:
        append(log)
    with opened(store, Keeper(successor=2)) as log:
        append(log)
        assert signers_of(store) == [1]


def test_after_a_death_behind_the_commit_the_new_key_signs_on(store: LogStore) -> None:
    """Whether the keeper of keys knows of it yet or not."""
    once = follows()
    for later in (0, 2):
        with opened(store, Keeper(successor=2)) as log:
            append(log)
            log.rotate_key(once, signer(2))
            append(log, later)
    for keeper in (Keeper(successor=2), Keeper(number=2)):
        with opened(store, keeper) as log:
            append(log)
            assert signers_of(store) == [2]


def test_a_head_by_a_former_key_is_a_log_that_was_rolled_back(tmp_path: Path) -> None:
    with opened(SqliteLogStore(tmp_path / "audit.db"), Keeper()) as log:
        append(log)
    store = SqliteLogStore(tmp_path / "audit.db")
    with pytest.raises(LogRolledBack), opened(store, Keeper(number=2)):
        pass
    store.close()


def test_a_pin_of_before_the_change_still_pins(tmp_path: Path) -> None:
    store, pins = MemoryLogStore(), FilePins(tmp_path / "pins.json")
    with opened(store, Keeper(), pins) as log:
        append(log)
    rotated(store)
    with opened(store, Keeper(number=2), pins) as log:
        append(log)
    other = MemoryLogStore()
    rotated(other)
    pins.save({ORIGIN: signer(1).checkpoint(9, bytes(32))})
    with pytest.raises(LogRolledBack), opened(other, Keeper(number=2), pins):
        pass


class Failing(SqliteLogStore):
    """A store whose commits can fail after they were made, as a lost connection does."""

    lost = False

    @contextmanager
    def transaction(self) -> Iterator[JournalTransaction]:
        with super().transaction() as transaction:
            yield transaction
        if self.lost:
            self.lost = False
            raise StoreFault("the connection was lost")


def test_after_a_commit_whose_answer_was_lost_the_call_is_repeated_and_nothing_is_torn(
    tmp_path: Path,
) -> None:
    store, once = Failing(tmp_path / "audit.db"), follows()
    with opened(store, Keeper()) as log:
        append(log)
        store.lost = True
        with pytest.raises(AuditUnavailable):
            log.rotate_key(once, signer(2))
        receipt = log.rotate_key(once, signer(2))
        append(log)
        assert signers_of(store) == [2]
        assert log.find("acme", once.id) == receipt
    store.close()


def test_what_is_in_force_is_read_off_the_newest_checkpoint() -> None:
    coming = signer(1, successor=2)
    by_first = TreeState(1, b"", signer(1).checkpoint(1, bytes(32)))
    by_second = TreeState(1, b"", signer(2).checkpoint(1, bytes(32)))
    assert in_force(coming, None) is coming
    assert in_force(coming, by_first) is coming
    assert in_force(coming, by_second).verifier_key == VKEYS[2]


def test_an_officer_with_the_first_key_verifies_across_two_changes(tmp_path: Path) -> None:
    store = MemoryLogStore()
    with opened(store, Keeper()) as log:
        for number in (2, 3):
            append(log, 300)
            log.rotate_key(follows(), signer(number))
        append(log)
    path = exported(store, 3, tmp_path / "a.zip")
    for given in (1, 2, 3):
        report = verify_export(path, VKEYS[given])
        assert (report.status, report.trees[0].pinned) == ("VERIFIED", True)
    assert verify_export(path, VKEYS[4]).status == "FAILED"
    assert verify_export(path).status == "UNPINNED"


def test_the_folder_is_verified_with_the_first_key_too(tmp_path: Path) -> None:
    store = SqliteLogStore(tmp_path / "audit.db")
    rotated(store)
    store.close()
    for given in (1, 2):
        assert verify_folder(tmp_path, VKEYS[given]).status == "VERIFIED"
    assert verify_folder(tmp_path, VKEYS[3]).status == "FAILED"


def forged(tmp_path: Path, note: str, sign: LogSigner, more: int = 1) -> Report:
    """Verify, with the first key, a log whose keeper wrote that a key follows by `note`."""
    store = MemoryLogStore()

    log = AuditLog(store, lambda _: sign, clock=lambda: NOW, random_bytes=bytes)
    log.start()
    append(log)
    entry = follows(succession=note)
    _unchecked(log, entry)
    append(log, more)
    log.close()
    out = io.BytesIO()
    export_log(LogReader(store, lambda _: sign.verifier), "acme", out)
    (tmp_path / "forged.zip").write_bytes(out.getvalue())
    return verify_export(tmp_path / "forged.zip", VKEYS[1])


def _unchecked(log: AuditLog, entry: Event) -> None:
    log._append_blocking("acme", prepare(entry, (), succession=True))


def _by(text: str, *signers: LogSigner) -> str:
    return f"{text}\n" + "".join(one.signature(text) for one in signers)


TEXT = f"{HEAD}\n{OF_ACME}\n{VKEYS[1]}\n{VKEYS[2]}\n"


@pytest.mark.parametrize(
    "note",
    [
        _by(TEXT, signer(2)),  # the old key has not signed
        _by(TEXT, signer(1)),  # nor has the new one
        _by(TEXT, LogSigner(ORIGIN, key(3)), signer(2)),  # a stranger in its place
        _by(TEXT.replace(OF_ACME, "log.example/other", 1), signer(1), signer(2)),
        _by(TEXT.replace(HEAD, "sealgate log key succession v2"), signer(1), signer(2)),
        _by(TEXT + f"{VKEYS[3]}\n", signer(1), signer(2)),
        endorsement(signer(1), signer(2)).replace("\u2014", "-"),
        endorsement(signer(3), signer(2)),  # of another key than the one given
        "nonsense",
        "\n\n",
        "\ud800".encode("utf-8", "replace").decode(),
    ],
)
def test_a_key_that_the_one_before_has_not_endorsed_is_not_followed(
    tmp_path: Path, note: str
) -> None:
    report = forged(tmp_path, note, LogSigner(ORIGIN, key(2)))
    assert report.status == "FAILED"
    assert not report.trees[0].pinned


def test_who_kept_the_old_key_cannot_sign_on_after_the_change(tmp_path: Path) -> None:
    report = forged(tmp_path, endorsement(signer(1), signer(2)), LogSigner(ORIGIN, key(1)))
    assert report.status == "FAILED"
    assert "newest key" in report.trees[0].findings[-1].what


def test_keys_that_do_not_follow_one_another_are_found(tmp_path: Path) -> None:
    store = MemoryLogStore()
    with opened(store, Keeper()) as log:
        append(log)
        log.rotate_key(follows(), signer(2))
        _unchecked(log, follows(succession=endorsement(signer(1), signer(3))))
    path = exported(store, 2, tmp_path / "a.zip")
    report = verify_export(path, VKEYS[1])
    assert report.first_bad == f"{ORIGIN}/2"


def test_a_pruned_change_of_keys_needs_the_newest_key(tmp_path: Path) -> None:
    """What is gone cannot lead from the old key to the new one; the new one verifies it still."""
    store = MemoryLogStore()
    rotated(store)
    with opened(store, Keeper(number=2)) as log:
        log.prune(event(action="pruneEvents", outcome="done", pruned=((0, 3),)))
    path = exported(store, 2, tmp_path / "a.zip")
    assert verify_export(path, VKEYS[2]).status == "VERIFIED"
    assert verify_export(path, VKEYS[1]).status == "FAILED"


@pytest.mark.e2e
def test_the_command_verifies_across_the_change_with_nothing_but_the_old_key(
    tmp_path: Path,
) -> None:
    store = MemoryLogStore()
    rotated(store)
    path = exported(store, 2, tmp_path / "a.zip")
    alone = tmp_path / "verify.py"
    alone.write_bytes(Path(verify.__file__).read_bytes())
    command = [sys.executable, "-I", str(alone), str(path), "--key", VKEYS[1], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    assert json.loads(done.stdout)["trees"][0]["keys"] == [VKEYS[1], VKEYS[2]]
    with zipfile.ZipFile(path) as archive:
        assert b"PRIVATE" not in b"".join(archive.read(name) for name in archive.namelist())
