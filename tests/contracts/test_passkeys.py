"""What the store of passkeys promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import AlreadyExists, LimitReached, StateConflict
from gateway.identity.passkeys import Passkey
from gateway.storage.stores import ControlStores
from tests.contracts.backends import race
from tests.contracts.samples import PERSON

KEY = Passkey(
    id="passkey-1",
    tenant="acme",
    person=PERSON.id,
    credential=b"\x00credential\xff",
    handle=b"\x00handle",
    public_key=b"\xa5",
    counter=2**32 - 1,
    copied=False,
    label=b"\x00label\xff",
    created=11,
)
SPARE = replace(KEY, id="passkey-2", credential=b"2", created=12, counter=0)


def test_a_passkey_comes_back_and_is_found_by_its_credential(stores: ControlStores) -> None:
    stores.people.add(PERSON)
    assert stores.passkeys.find(KEY.credential) is None
    stores.passkeys.add(SPARE, 9)
    stores.passkeys.add(KEY, 9)
    assert stores.passkeys.get(KEY.id) == KEY == stores.passkeys.find(KEY.credential)
    assert stores.passkeys.list(PERSON.id) == [KEY, SPARE]
    assert stores.passkeys.list("person-x") == []


def test_a_credential_is_taken_once_whoever_has_it(stores: ControlStores) -> None:
    other = replace(PERSON, id="person-" + "0b" * 16, mark=b"other", tenant="rival")
    stores.people.add(PERSON)
    stores.people.add(other)
    stores.passkeys.add(KEY, 9)
    for taken in (
        replace(KEY, id="passkey-9"),
        replace(SPARE, id=KEY.id),
        replace(KEY, id="passkey-9", person=other.id, tenant="rival"),
    ):
        with pytest.raises(AlreadyExists):
            stores.passkeys.add(taken, 9)


def test_a_person_who_is_not_there_gets_none_and_one_who_has_enough_no_more(
    stores: ControlStores,
) -> None:
    with pytest.raises(StateConflict):
        stores.passkeys.add(KEY, 9)
    stores.people.add(PERSON)
    with pytest.raises(StateConflict):
        stores.passkeys.add(replace(KEY, tenant="rival"), 9)
    stores.passkeys.add(KEY, 1)
    with pytest.raises(LimitReached):
        stores.passkeys.add(SPARE, 1)
    assert stores.passkeys.list(PERSON.id) == [KEY]


def test_a_use_counts_from_what_was_seen_and_for_one_caller(stores: ControlStores) -> None:
    stores.people.add(PERSON)
    stores.passkeys.add(SPARE, 9)
    assert not stores.passkeys.used(SPARE.id, 1, 2, 50)
    won = race(4, lambda _: stores.passkeys.used(SPARE.id, 0, 7, 50))
    assert (won.count(True), won.count(False)) == (1, 3)
    assert stores.passkeys.get(SPARE.id) == replace(SPARE, counter=7, used=50)
    stores.passkeys.mark_copied(SPARE.id)
    stores.passkeys.mark_copied("passkey-none")
    assert not stores.passkeys.used(SPARE.id, 7, 8, 51)
    assert not stores.passkeys.used("passkey-none", 0, 1, 51)


def test_who_can_sign_in_strongly_is_told_by_tenant(stores: ControlStores) -> None:
    stores.people.add(PERSON)
    stores.passkeys.add(KEY, 9)
    assert stores.passkeys.holders("acme") == {PERSON.id}
    assert stores.passkeys.holders("rival") == frozenset()
    stores.passkeys.mark_copied(KEY.id)
    assert stores.passkeys.holders("acme") == frozenset()


def test_two_who_remove_at_once_leave_the_last_one(stores: ControlStores) -> None:
    stores.people.add(PERSON)
    for one in (KEY, SPARE):
        stores.passkeys.add(one, 9)
    both = (KEY, SPARE)
    won = race(2, lambda number: stores.passkeys.remove(both[number].id, keep=1))
    assert won.count(True) == won.count(False) == 1
    (left,) = stores.passkeys.list(PERSON.id)
    assert not stores.passkeys.remove(left.id, keep=1)
    assert stores.passkeys.remove(left.id)
    assert not stores.passkeys.remove(left.id)


def test_passkeys_go_with_their_person(stores: ControlStores) -> None:
    stores.people.add(PERSON)
    stores.passkeys.add(KEY, 9)
    stores.people.remove("acme", PERSON.id)
    assert stores.passkeys.get(KEY.id) is None
    with pytest.raises(StateConflict):
        stores.passkeys.add(KEY, 9)
