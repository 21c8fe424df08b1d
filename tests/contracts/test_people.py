"""What the stores of people promise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import AlreadyExists, StateConflict
from gateway.storage.stores import ControlStores
from tests.contracts.backends import race
from tests.contracts.samples import PERSON, SIGN_IN, TICKET

OTHER = replace(PERSON, id="person-" + "0b" * 16, mark=b"other")


def test_a_person_comes_back_as_it_was(stores: ControlStores) -> None:
    assert stores.people.get(PERSON.id) is None
    stores.people.add(PERSON)
    assert stores.people.get(PERSON.id) == PERSON
    assert stores.people.find("acme", PERSON.mark) == PERSON
    assert stores.people.find("rival", PERSON.mark) is None
    bare = replace(OTHER, default_purpose=None, password="", roles=frozenset())
    stores.people.add(bare)
    assert stores.people.get(bare.id) == bare


def test_a_tenant_has_one_person_of_an_address(stores: ControlStores) -> None:
    stores.people.add(PERSON)
    for taken in (replace(OTHER, mark=PERSON.mark), replace(OTHER, id=PERSON.id)):
        with pytest.raises(AlreadyExists):
            stores.people.add(taken)
    stores.people.add(replace(OTHER, mark=PERSON.mark, tenant="rival"))
    assert stores.people.get(PERSON.id) == PERSON


def test_only_the_newest_revision_is_replaced(stores: ControlStores) -> None:
    stores.people.add(PERSON)
    fresh = stores.people.update(replace(PERSON, state="suspended"))
    assert fresh == replace(PERSON, state="suspended", revision=1)
    for late in (PERSON, replace(fresh, tenant="rival"), OTHER):
        with pytest.raises(StateConflict):
            stores.people.update(late)
    assert stores.people.get(PERSON.id) == fresh


def test_people_are_listed_by_id_within_their_tenant(stores: ControlStores) -> None:
    stores.people.add(OTHER)
    stores.people.add(PERSON)
    stores.people.add(replace(PERSON, id="person-" + "0c" * 16, tenant="rival"))
    assert stores.people.list("acme", "", 9) == [PERSON, OTHER]
    assert stores.people.list("acme", PERSON.id, 9) == [OTHER]
    assert stores.people.list("acme", "", 1) == [PERSON]


def test_a_person_goes_with_all_that_belongs_to_it(stores: ControlStores) -> None:
    for person in (PERSON, OTHER):
        stores.people.add(person)
    stores.sign_ins.add(SIGN_IN)
    stores.sign_ins.add(replace(SIGN_IN, id="signin-2", person=OTHER.id, secret=b"2"))
    stores.tickets.add(TICKET)
    stores.tickets.add(replace(TICKET, digest=b"2" * 32, person=OTHER.id, sign_in=""))
    stores.people.remove("rival", PERSON.id)
    assert stores.people.get(PERSON.id) == PERSON
    for _ in range(2):
        stores.people.remove("acme", PERSON.id)
    assert stores.people.get(PERSON.id) is None
    assert stores.sign_ins.get(SIGN_IN.id) is None
    assert stores.tickets.get("code", TICKET.digest) is None
    assert stores.people.get(OTHER.id) == OTHER
    assert stores.sign_ins.get("signin-2") is not None
    assert stores.tickets.get("code", b"2" * 32) is not None


def test_a_sign_in_comes_back_and_is_found_by_its_secret(stores: ControlStores) -> None:
    stores.sign_ins.add(SIGN_IN)
    of_client = replace(SIGN_IN, id="signin-2", kind="client", client="app", secret=b"", created=99)
    stores.sign_ins.add(of_client)
    assert stores.sign_ins.get(SIGN_IN.id) == SIGN_IN
    assert stores.sign_ins.find(SIGN_IN.secret) == SIGN_IN
    assert stores.sign_ins.find(b"") is None
    assert stores.sign_ins.find(b"1" * 32) is None
    assert stores.sign_ins.list(PERSON.id, 9) == [of_client, SIGN_IN]
    with pytest.raises(AlreadyExists):
        stores.sign_ins.add(SIGN_IN)
    assert stores.sign_ins.update(replace(SIGN_IN, seen=77))
    assert not stores.sign_ins.update(replace(SIGN_IN, id="signin-9"))
    assert stores.sign_ins.find(SIGN_IN.secret) == replace(SIGN_IN, seen=77)


def test_a_sign_in_goes_with_its_tickets_when_it_ends_or_expires(stores: ControlStores) -> None:
    stores.sign_ins.add(SIGN_IN)
    stores.sign_ins.add(replace(SIGN_IN, id="signin-2", secret=b"2", expires=1_001))
    stores.tickets.add(TICKET)
    stores.tickets.add(replace(TICKET, digest=b"2" * 32, sign_in="signin-2", expires=9_999))
    assert stores.sign_ins.remove(SIGN_IN.id)
    assert not stores.sign_ins.remove(SIGN_IN.id)
    assert stores.tickets.get("code", TICKET.digest) is None
    assert stores.sign_ins.prune(1_001) == 0
    assert stores.tickets.get("code", b"2" * 32) is not None
    assert stores.sign_ins.prune(1_002) == 1
    assert stores.tickets.get("code", b"2" * 32) is None


def test_a_ticket_is_spent_once_and_known_as_spent(stores: ControlStores) -> None:
    stores.tickets.add(TICKET)
    with pytest.raises(AlreadyExists):
        stores.tickets.add(TICKET)
    assert stores.tickets.get("code", TICKET.digest) == TICKET
    assert stores.tickets.get("refresh", TICKET.digest) is None
    assert not stores.tickets.spend("refresh", TICKET.digest)
    assert stores.tickets.spend("code", TICKET.digest, {"to": "x"})
    assert not stores.tickets.spend("code", TICKET.digest, {"to": "y"})
    assert stores.tickets.get("code", TICKET.digest) == replace(
        TICKET, spent=True, facts={"to": "x"}
    )


def test_a_ticket_is_changed_from_what_it_was(stores: ControlStores) -> None:
    stores.tickets.add(TICKET)
    assert not stores.tickets.change("code", TICKET.digest, {"nonce": "b"}, {})
    assert stores.tickets.change("code", TICKET.digest, TICKET.facts, {"a": "1", "b": "2"})
    assert stores.tickets.change("code", TICKET.digest, {"b": "2", "a": "1"}, {"c": "3"})
    stores.tickets.spend("code", TICKET.digest)
    assert not stores.tickets.change("code", TICKET.digest, {"c": "3"}, {})


def test_tickets_are_withdrawn_counted_and_forgotten(stores: ControlStores) -> None:
    stores.tickets.add(TICKET)
    stores.tickets.add(replace(TICKET, digest=b"2" * 32, kind="invitation"))
    stores.tickets.add(replace(TICKET, digest=b"3" * 32, kind="invitation"))
    stores.tickets.withdraw("invitation", PERSON.id, but=b"3" * 32)
    assert stores.tickets.get("invitation", b"3" * 32) is not None
    stores.tickets.withdraw("invitation", PERSON.id)
    assert (stores.tickets.count("code"), stores.tickets.count("invitation")) == (1, 0)
    assert stores.tickets.prune(1_000) == 0
    assert stores.tickets.prune(1_001) == 1
    assert stores.tickets.get("code", TICKET.digest) is None


def test_one_of_many_spends_a_ticket(stores: ControlStores) -> None:
    stores.tickets.add(TICKET)
    results = race(6, lambda n: stores.tickets.spend("code", TICKET.digest, {"by": str(n)}))
    assert results.count(True) == 1
    ticket = stores.tickets.get("code", TICKET.digest)
    assert ticket is not None
    assert ticket.facts == {"by": str(results.index(True))}


def test_a_ticket_and_what_it_is_spent_for_change_together(stores: ControlStores) -> None:
    follows = replace(TICKET, digest=b"2" * 32, kind="refresh")
    stores.tickets.add(TICKET)
    assert stores.tickets.spend("code", TICKET.digest, for_one=follows)
    assert stores.tickets.get("refresh", follows.digest) == follows
    late = replace(follows, digest=b"3" * 32)
    assert not stores.tickets.spend("code", TICKET.digest, for_one=late)
    assert stores.tickets.get("refresh", late.digest) is None
    with pytest.raises(AlreadyExists):
        stores.tickets.spend("refresh", follows.digest, for_one=replace(TICKET, kind="x"))
    unspent = stores.tickets.get("refresh", follows.digest)
    assert unspent is not None
    assert not unspent.spent
