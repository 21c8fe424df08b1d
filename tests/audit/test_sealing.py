from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import AuditError, KeyUnavailable, SealInvalid, SubjectErased, SubjectInvalid
from audit.event import is_subject_ref
from audit.ports import SubjectRow, SubjectStore
from audit.sealing import CACHED_TENANTS, MAX_IDENTIFIER_CHARS, MAX_SEALED_BYTES, SubjectVault
from audit.stores.memory import MemorySubjectStore
from audit.stores.sqlite import SqliteSubjectStore
from tests.audit.samples import Keys, event, ref

EVENT = event().id


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SubjectStore]:
    made: SubjectStore = (
        MemorySubjectStore()
        if request.param == "memory"
        else SqliteSubjectStore(tmp_path / "subjects.db")
    )
    yield made
    made.close()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def vault(store: SubjectStore, keys: Keys) -> SubjectVault:
    return SubjectVault(store, keys, os.urandom)


def test_a_subject_keeps_its_reference(store: SubjectStore, keys: Keys) -> None:
    first = SubjectVault(store, keys, os.urandom).ref("acme", "somebody@example.org")
    again = SubjectVault(store, keys, os.urandom)
    assert is_subject_ref(first)
    assert again.find("acme", "somebody@example.org") == first
    assert again.ref("acme", "somebody@example.org") == first
    assert again.ref("acme", "Somebody@example.org") != first


def test_looking_for_a_subject_makes_none(vault: SubjectVault) -> None:
    assert vault.find("acme", "nobody") is None
    assert vault.find("acme", "nobody") is None


def test_a_person_has_another_reference_at_another_tenant(vault: SubjectVault) -> None:
    assert vault.ref("acme", "p") != vault.ref("globex", "p")


def test_what_is_sealed_opens_for_the_same_subject_and_event(
    store: SubjectStore, keys: Keys, vault: SubjectVault
) -> None:
    subject = vault.ref("acme", "p")
    sealed = vault.seal("acme", subject, b"detail", EVENT)
    assert b"detail" not in sealed
    assert sealed != vault.seal("acme", subject, b"detail", EVENT)
    assert SubjectVault(store, keys, os.urandom).open("acme", subject, sealed, EVENT) == b"detail"


def test_it_opens_for_no_other(vault: SubjectVault) -> None:
    subject, other = vault.ref("acme", "p"), vault.ref("acme", "q")
    foreign = vault.ref("globex", "p")
    sealed = vault.seal("acme", subject, b"detail", EVENT)
    for tenant, name, value, event_id in (
        ("acme", other, sealed, EVENT),
        ("globex", foreign, sealed, EVENT),
        ("acme", subject, sealed, event().id),
        ("acme", subject, sealed[:-1], EVENT),
        ("acme", subject, bytes([sealed[0] ^ 1]) + sealed[1:], EVENT),
        ("acme", subject, b"", EVENT),
    ):
        with pytest.raises(SealInvalid):
            vault.open(tenant, name, value, event_id)
    with pytest.raises(SubjectErased):
        vault.open("globex", subject, sealed, EVENT)


def test_after_an_erasure_nothing_of_the_subject_works(vault: SubjectVault) -> None:
    subject = vault.ref("acme", "p")
    bystander = vault.ref("acme", "q")
    sealed = vault.seal("acme", subject, b"detail", EVENT)
    vault.erase("acme", subject)
    assert vault.find("acme", "p") is None
    acts: list[Callable[[], bytes]] = [
        lambda: vault.open("acme", subject, sealed, EVENT),
        lambda: vault.seal("acme", subject, b"detail", EVENT),
    ]
    for act in acts:
        with pytest.raises(SubjectErased):
            act()
    vault.erase("acme", subject)
    assert vault.find("acme", "q") == bystander
    assert vault.ref("acme", "p") != subject


def test_an_erasure_in_another_tenant_changes_nothing(vault: SubjectVault) -> None:
    subject = vault.ref("acme", "p")
    vault.erase("globex", subject)
    assert vault.find("acme", "p") == subject


def test_a_destroyed_tenant_key_opens_nothing_once_caches_are_dropped(
    vault: SubjectVault, keys: Keys
) -> None:
    subject = vault.ref("acme", "p")
    sealed = vault.seal("acme", subject, b"detail", EVENT)
    keys.destroy("acme")
    vault.forget("acme")
    for act in (
        lambda: vault.open("acme", subject, sealed, EVENT),
        lambda: vault.find("acme", "p"),
        lambda: vault.ref("acme", "new"),
    ):
        with pytest.raises(KeyUnavailable):
            act()


def test_a_rotation_keeps_the_living_and_strands_older_copies(
    store: SubjectStore, keys: Keys, vault: SubjectVault
) -> None:
    subjects = [vault.ref("acme", f"p{n}") for n in range(5)]
    sealed = [vault.seal("acme", one, b"detail", EVENT) for one in subjects]
    copy = store.by_ref("acme", subjects[0])
    assert copy is not None
    assert vault.rotate("acme") == 2
    assert store.generation("acme", 1) is None
    fresh = SubjectVault(store, keys, os.urandom)
    for one, value in zip(subjects, sealed, strict=True):
        assert fresh.open("acme", one, value, EVENT) == b"detail"
    fresh.erase("acme", subjects[0])
    store.add("acme", b"m" * 32, copy)
    with pytest.raises(SubjectErased):
        fresh.open("acme", subjects[0], sealed[0], EVENT)


def test_an_interrupted_rotation_is_finished_by_the_next(
    store: SubjectStore, keys: Keys, vault: SubjectVault
) -> None:
    subject = vault.ref("acme", "p")
    sealed = vault.seal("acme", subject, b"detail", EVENT)
    store.add_generation("acme", 2, keys.wrap("acme", bytes(32), b"of another attempt"))
    assert vault.rotate("acme") == 3
    assert store.older("acme", 3, 10) == []
    assert store.generation("acme", 2) is None
    assert vault.open("acme", subject, sealed, EVENT) == b"detail"


def test_caches_are_bounded(store: SubjectStore, keys: Keys) -> None:
    vault = SubjectVault(store, keys, os.urandom, cached_subjects=2)
    subjects = [vault.ref("acme", f"p{n}") for n in range(5)]
    sealed = [vault.seal("acme", one, b"detail", EVENT) for one in subjects]
    for one, value in zip(subjects, sealed, strict=True):
        assert vault.open("acme", one, value, EVENT) == b"detail"
    assert len(vault._ciphers._entries) == len(vault._refs._entries) == 2
    assert CACHED_TENANTS < 10_000


@pytest.mark.parametrize("identifier", ["", "x" * (MAX_IDENTIFIER_CHARS + 1), "\ud800"])
def test_other_identifiers_are_refused(vault: SubjectVault, identifier: str) -> None:
    for act in (vault.ref, vault.find):
        with pytest.raises(SubjectInvalid):
            act("acme", identifier)


def test_a_field_to_seal_is_bounded(vault: SubjectVault) -> None:
    with pytest.raises(SealInvalid):
        vault.seal("acme", vault.ref("acme", "p"), bytes(MAX_SEALED_BYTES + 1), EVENT)


@given(st.text(max_size=60), st.binary(max_size=60), st.text(max_size=60))
def test_any_sealed_bytes_end_as_our_error(name: str, sealed: bytes, event_id: str) -> None:
    vault = SubjectVault(MemorySubjectStore(), Keys(), os.urandom)
    known = vault.ref("acme", "p")
    for subject in (name, known):
        with pytest.raises(AuditError):
            vault.open("acme", subject, sealed, event_id)


def test_the_store_keeps_the_first_of_two_rows_for_a_subject(store: SubjectStore) -> None:
    first, second = SubjectRow(ref(1), 1, b"a"), SubjectRow(ref(2), 1, b"b")
    assert store.add("acme", b"m", first) == first
    assert store.add("acme", b"m", second) == first
    assert store.add("globex", b"m", second) == second
    assert store.by_ref("acme", ref(2)) is None
    assert store.by_mac("acme", b"m") == first


def test_the_store_knows_generations_by_number(store: SubjectStore) -> None:
    assert store.generation("acme") is None
    assert store.add_generation("acme", 1, b"a")
    assert not store.add_generation("acme", 1, b"b")
    assert store.add_generation("acme", 10, b"c")
    assert store.generation("acme") == (10, b"c")
    assert store.generation("acme", 1) == (1, b"a")
    assert store.generation("globex") is None


def test_the_store_rewraps_only_who_still_lives(store: SubjectStore) -> None:
    store.add("acme", b"m", SubjectRow(ref(1), 1, b"a"))
    store.rewrap("acme", [SubjectRow(ref(1), 2, b"z"), SubjectRow(ref(2), 2, b"y")])
    assert store.by_ref("acme", ref(1)) == SubjectRow(ref(1), 2, b"z")
    assert store.by_ref("acme", ref(2)) is None
    assert store.delete("acme", ref(1))
    assert not store.delete("acme", ref(1))
