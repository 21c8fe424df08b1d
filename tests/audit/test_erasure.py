"""After an erasure no file holds key, mapping or ciphertext, and the tree still holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audit import verify_folder
from audit.errors import ErasureIncomplete, KeyUnavailable, SubjectErased
from audit.event import ERASE_ACTION, PRUNE_ACTION
from audit.ports import SealedField
from audit.reader import LogReader
from audit.sealing import SubjectVault, _generation_aad
from audit.stores.sqlite import SqliteLogStore, SqliteSubjectStore
from tests.audit.samples import Keys, event, signer, started

KEY = signer("acme").verifier_key


def on_disk(folder: Path) -> bytes:
    """Return every byte of every file, write-ahead logs included."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


def test_nothing_of_an_erased_subject_is_left_and_the_log_still_verifies(tmp_path: Path) -> None:
    log_store = SqliteLogStore(tmp_path / "audit.db")
    subject_store = SqliteSubjectStore(tmp_path / "subjects.db")
    vault = SubjectVault(subject_store, Keys(), os.urandom)
    victim, bystander = vault.ref("acme", "victim"), vault.ref("acme", "bystander")
    mac = vault._mac("acme", "victim")
    row = subject_store.by_ref("acme", victim)
    assert row is not None
    ciphertexts: dict[str, list[bytes]] = {victim: [], bystander: []}
    with started(log_store) as log:
        for number in range(300):
            ref = victim if number % 3 else bystander
            one = event(subject_refs=(ref,))
            sealed = vault.seal("acme", ref, b"personal detail %d" % number, one.id)
            ciphertexts[ref].append(sealed)
            log.append_blocking(one, [SealedField(ref, sealed)])
        before = on_disk(tmp_path)
        assert mac in before
        assert row.wrapped_key in before
        assert all(sealed in before for sealed in ciphertexts[victim])

        log.append_blocking(event(action=ERASE_ACTION, phase="intent", subject_refs=(victim,)))
        assert log.erase_subject("acme", victim) == 200
        vault.erase("acme", victim)

        after = on_disk(tmp_path)
        assert mac not in after
        assert row.wrapped_key not in after
        assert not any(sealed in after for sealed in ciphertexts[victim])
        assert all(sealed in after for sealed in ciphertexts[bystander])
        with pytest.raises(SubjectErased):
            vault.open("acme", victim, ciphertexts[victim][0], one.id)
        reader = LogReader(log_store, log.verifier)
        assert len(reader.events("acme", limit=1_000)) == 301
        assert reader.sealed("acme", 0) == [SealedField(bystander, ciphertexts[bystander][0])]
        assert reader.sealed("acme", 1) == []
    log_store.close()
    subject_store.close()
    report = verify_folder.verify_folder(tmp_path / "audit.db", KEY)
    assert (report.status, report.trees[0].erased) == ("VERIFIED", 200)


def test_a_pruned_body_is_in_no_file(tmp_path: Path) -> None:
    store = SqliteLogStore(tmp_path / "audit.db")
    with started(store) as log:
        for number in range(20):
            log.append_blocking(event(reason=f"reason-{number:04d}"))
        assert b"reason-0007" in on_disk(tmp_path)
        log.prune(event(action=PRUNE_ACTION, outcome="done", pruned=((7, 8),)))
        assert b"reason-0007" not in on_disk(tmp_path)
        assert b"reason-0008" in on_disk(tmp_path)
    store.close()


def test_an_erasure_that_a_reader_holds_up_says_so_and_is_finished_later(tmp_path: Path) -> None:
    store = SqliteSubjectStore(tmp_path / "subjects.db", busy_seconds=0.01)
    vault = SubjectVault(store, Keys(), os.urandom)
    victim = vault.ref("acme", "victim")
    row = store.by_ref("acme", victim)
    assert row is not None
    with store._file.reading() as reader:
        reader.execute("SELECT count(*) FROM subject").fetchone()
        with pytest.raises(ErasureIncomplete):
            vault.erase("acme", victim)
        assert row.wrapped_key in on_disk(tmp_path)
    vault.erase("acme", victim)
    assert row.wrapped_key not in on_disk(tmp_path)
    store.close()


def test_a_generation_key_that_was_rotated_away_is_in_no_file(tmp_path: Path) -> None:
    store = SqliteSubjectStore(tmp_path / "subjects.db")
    vault = SubjectVault(store, Keys(), os.urandom)
    vault.ref("acme", "somebody")
    old = store.generation("acme", 1)
    assert old is not None
    assert old[1] in on_disk(tmp_path)
    vault.rotate("acme")
    assert old[1] not in on_disk(tmp_path)
    store.close()


def test_a_rewrapping_that_a_reader_holds_up_is_wiped_by_the_next_which_has_nothing_to_wrap(
    tmp_path: Path,
) -> None:
    """The next one saw the newest wrapping, did nothing, and the one before stayed on the disk."""
    store = SqliteSubjectStore(tmp_path / "subjects.db", busy_seconds=0.01)
    vault = SubjectVault(store, Keys(), os.urandom)
    vault.ref("acme", "somebody")
    old = store.generation("acme", 1)
    assert old is not None
    with store._file.reading() as reader:
        reader.execute("SELECT count(*) FROM subject").fetchone()
        with pytest.raises(ErasureIncomplete):
            vault.rewrap("acme", lambda wrapped: wrapped != old[1])
        assert old[1] in on_disk(tmp_path)
    assert vault.rewrap("acme", lambda wrapped: wrapped != old[1]) == 0
    assert old[1] not in on_disk(tmp_path)
    store.close()


def test_a_generation_that_is_lost_keeps_no_other_from_being_wrapped_anew(tmp_path: Path) -> None:
    """It was the last that was looked at, and the key that the others needed was destroyed."""
    store, keys = SqliteSubjectStore(tmp_path / "subjects.db"), Keys()
    vault = SubjectVault(store, keys, os.urandom)
    vault.ref("acme", "somebody")
    lost, wrapped = bytes(60), keys.wrap("acme", bytes(32), _generation_aad("acme", 2))
    store.rewrap_generation("acme", 1, lost)
    store.add_generation("acme", 2, wrapped)
    with pytest.raises(KeyUnavailable):
        vault.rewrap("acme", lambda _: False)
    assert store.generation("acme", 1) == (1, lost)
    assert store.generation("acme", 2) != (2, wrapped)
    store.close()
