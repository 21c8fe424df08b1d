"""People are invited, suspended and deleted, as administrators ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.artifacts.errors import KeyUnwrapFailed
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, NotFound, StateConflict
from gateway.identity.errors import RegistrationRefused
from gateway.identity.people import Person, digest_of, is_person_id
from gateway.identity.person_details import PersonDetails
from gateway.people.administration import INVITATION, INVITATION_SECONDS, People
from gateway.people.rights import Rights
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house

ADMINISTRATOR = call("administrator", "platform")
ADA = PersonDetails("Ada@Clinic.example", "Ada Lovelace")
RIGHTS = Rights(frozenset({"caller"}), frozenset({"care"}), "care")


@pytest.fixture
def home() -> Iterator[House]:
    with house("rival") as made:
        admin = client_record("platform-administrator", "platform", "administrator")
        made.stores.clients.add(admin)
        yield made


def desk(home: House) -> People:
    return home.use.people.administration


def invited(home: House) -> Person:
    return desk(home).invite(ADMINISTRATOR, TENANT, ADA, RIGHTS)[0]


def stored(home: House, person: Person) -> Person:
    found = home.stores.people.get(person.id)
    assert found is not None
    return found


def test_an_invitation_is_told_once_and_only_its_digest_is_kept(home: House) -> None:
    person, invitation = desk(home).invite(ADMINISTRATOR, TENANT, ADA, RIGHTS)
    assert is_person_id(person.id)
    assert person.state == "invited"
    ticket = home.stores.tickets.get(INVITATION, digest_of(invitation.code))
    assert ticket is not None
    assert (ticket.person, ticket.expires) == (person.id, NOW + INVITATION_SECONDS)
    log = str(home.events("platform")) + str(home.events())
    assert invitation.code not in log
    assert digest_of(invitation.code).hex() not in log


def test_neither_log_nor_record_says_who_it_is(home: House) -> None:
    person = invited(home)
    desk(home).show(ADMINISTRATOR, TENANT, person.id)
    desk(home).suspend(ADMINISTRATOR, TENANT, person.id)
    desk(home).delete(ADMINISTRATOR, TENANT, person.id)
    log = str(home.events("platform")) + str(home.events())
    assert person.id in log
    for told in (log, str(person), person.details.decode("latin-1"), person.mark.decode("latin-1")):
        assert "lovelace" not in told.casefold()
        assert "ada@clinic" not in told.casefold()


def test_the_tenant_finds_every_change_in_its_own_log(home: House) -> None:
    person = invited(home)
    people = desk(home)
    people.change_roles(ADMINISTRATOR, TENANT, person.id, replace(RIGHTS, roles=frozenset()))
    people.suspend(ADMINISTRATOR, TENANT, person.id)
    people.enable(ADMINISTRATOR, TENANT, person.id)
    people.reinvite(ADMINISTRATOR, TENANT, person.id)
    people.delete(ADMINISTRATOR, TENANT, person.id)
    about = f"User::{TENANT}/{person.id}"
    told = [e["reason"] for e in home.events() if e["resource"] == about]
    assert told == [
        "invite_person", "change_person_roles", "suspend_person", "enable_person",
        "reinvite_person", "delete_person",
    ]  # fmt: skip


def test_a_look_at_who_people_are_is_recorded(home: House) -> None:
    person = invited(home)
    known = desk(home).show(ADMINISTRATOR, TENANT, person.id)
    assert known.details == ADA
    (listed,) = desk(home).list(ADMINISTRATOR, TENANT, after="", limit=10)
    assert listed.details == ADA
    looks = [
        e for e in home.events("platform") if e.get("reason") in {"show_person", "list_people"}
    ]
    assert [(e["outcome"], e.get("n_out")) for e in looks] == [("allow", None), ("allow", 1)]


def test_an_address_is_there_once_however_it_is_written(home: House) -> None:
    invited(home)
    for again in ("ada@clinic.example", "ADA@CLINIC.EXAMPLE"):
        with pytest.raises(AlreadyExists):
            desk(home).invite(ADMINISTRATOR, TENANT, PersonDetails(again, "A"), RIGHTS)
    desk(home).invite(ADMINISTRATOR, "rival", ADA, RIGHTS)


def test_equal_addresses_of_two_tenants_have_nothing_in_common(home: House) -> None:
    mine = invited(home)
    theirs, _ = desk(home).invite(ADMINISTRATOR, "rival", ADA, RIGHTS)
    assert mine.mark != theirs.mark
    assert mine.id != theirs.id


@pytest.mark.parametrize("address", ["", "zed", "@x", "zz@", "a b@c", "a\n@c", "a@" + "b" * 254])
def test_what_is_no_address_is_refused_and_not_repeated(home: House, address: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        desk(home).invite(ADMINISTRATOR, TENANT, PersonDetails(address, "A"), RIGHTS)
    assert not address or address not in refused.value.public


@pytest.mark.parametrize(
    "rights",
    [
        replace(RIGHTS, roles=frozenset({"administrator"})),
        replace(RIGHTS, roles=frozenset({"site"})),
        replace(RIGHTS, roles=frozenset({"delegate"})),
        replace(RIGHTS, roles=frozenset({"king"})),
        replace(RIGHTS, purposes=frozenset({"war"}), default_purpose=None),
        replace(RIGHTS, purposes=frozenset()),
    ],
)
def test_rights_that_contradict_the_tenant_are_refused(home: House, rights: Rights) -> None:
    with pytest.raises(RegistrationRefused):
        desk(home).invite(ADMINISTRATOR, TENANT, ADA, rights)
    assert not home.stores.people.list(TENANT, "", 9)


@pytest.mark.parametrize("who", [call("owner"), call("officer"), call("owner", "rival")])
def test_nobody_but_an_administrator_learns_of_people(home: House, who: object) -> None:
    person = invited(home)
    with pytest.raises((NotFound, Exception)) as refused:
        desk(home).show(who, TENANT, person.id)  # type: ignore[arg-type]
    assert getattr(refused.value, "code", "") in {"forbidden", "not_found"}


def test_another_tenants_person_is_absent(home: House) -> None:
    person = invited(home)
    for act in (
        desk(home).show,
        desk(home).suspend,
        desk(home).delete,
    ):
        with pytest.raises(NotFound):
            act(ADMINISTRATOR, "rival", person.id)
    assert stored(home, person) == person


def test_a_suspension_withdraws_the_invitation(home: House) -> None:
    person, invitation = desk(home).invite(ADMINISTRATOR, TENANT, ADA, RIGHTS)
    desk(home).suspend(ADMINISTRATOR, TENANT, person.id)
    assert home.stores.tickets.get(INVITATION, digest_of(invitation.code)) is None
    with pytest.raises(StateConflict):
        desk(home).reinvite(ADMINISTRATOR, TENANT, person.id)
    desk(home).enable(ADMINISTRATOR, TENANT, person.id)
    assert stored(home, person).state == "invited"


def test_another_invitation_ends_the_one_before(home: House) -> None:
    person, first = desk(home).invite(ADMINISTRATOR, TENANT, ADA, RIGHTS)
    _, second = desk(home).reinvite(ADMINISTRATOR, TENANT, person.id)
    assert home.stores.tickets.get(INVITATION, digest_of(first.code)) is None
    assert home.stores.tickets.get(INVITATION, digest_of(second.code)) is not None


def test_nobody_is_let_in_while_its_suspension_is_being_settled(home: House) -> None:
    person = invited(home)
    desk(home).suspend(ADMINISTRATOR, TENANT, person.id)
    facts = {"tenant": TENANT, "person": person.id}
    left = Pending(home.new_id(), "platform", "suspend_person", facts, int(NOW))
    home.stores.pending.add_pending(left)
    with pytest.raises(StateConflict):
        desk(home).enable(ADMINISTRATOR, TENANT, person.id)


def test_what_was_sealed_opens_for_its_own_tenant_only(home: House) -> None:
    person = invited(home)
    with pytest.raises(KeyUnwrapFailed):
        desk(home)._details.open("rival", person.sealed, person.details)


def test_a_rotated_key_takes_people_along(home: House) -> None:
    person = invited(home)
    home.base.keys.rotate(TENANT)
    home.use.keys._rewrapping(TENANT)
    home.base.keys.retire(TENANT, version=2)
    assert desk(home).show(ADMINISTRATOR, TENANT, person.id).details == ADA
