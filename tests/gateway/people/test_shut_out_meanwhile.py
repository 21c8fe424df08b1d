"""A person is shut out while a client's sign-in begins."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from gateway.identity.people import COMMAND_LINE, SignIn, Ticket, digest_of
from gateway.identity.people_ports import SignInStore
from gateway.identity.person_details import PersonDetails
from gateway.people.administration import People
from gateway.people.devices import DEVICE
from gateway.people.rights import Rights
from gateway.people.tokens import PersonTokens
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house

ADMINISTRATOR = call("administrator", "platform")
RIGHTS = Rights(frozenset({"caller"}), frozenset({"care"}), "care")


@pytest.fixture
def home() -> Iterator[House]:
    with house() as made:
        made.stores.clients.add(
            client_record("platform-administrator", "platform", "administrator")
        )
        yield made


class Meanwhile:
    """The store of sign-ins; something happens just before one is stored."""

    def __init__(self, store: SignInStore, happens: Callable[[], object]) -> None:
        self._happens = happens
        self.get, self.list, self.remove = store.get, store.list, store.remove
        self.find, self.update, self.prune = store.find, store.update, store.prune
        self._add = store.add

    def add(self, sign_in: SignIn) -> None:
        self._happens()
        self._add(sign_in)


def test_a_sign_in_that_begins_meanwhile_is_not_there_when_the_person_is_let_in_again(
    home: House,
) -> None:
    desk: People = home.use.people.administration
    person, invitation = desk.invite(
        ADMINISTRATOR, TENANT, PersonDetails("ada@clinic.example", "Ada"), RIGHTS
    )
    password = "correct horse battery staple"
    home.use.people.signing_in.accept(TENANT, invitation.code, password, request_id="r")
    tokens = PersonTokens(
        home.identity.person_clients,
        home.stores.tickets,
        Meanwhile(home.stores.sign_ins, lambda: desk.suspend(ADMINISTRATOR, TENANT, person.id)),
        home.base.revocation_state,
        home.use.people.endings,
        home.use.people.devices,
        home.identity.minter,
        home.identity.proofs,
        clock=lambda: NOW,
        random_bytes=secrets.token_bytes,
    )
    facts = {"scopes": "infer", "acr": "1", "amr": "pwd", "authenticated": str(int(NOW))}
    ticket = Ticket(digest_of("code"), DEVICE, TENANT, person.id, "", int(NOW) + 60, facts)
    home.stores.tickets.add(ticket)
    answer = tokens.begin(COMMAND_LINE, ticket, None, DEVICE)
    assert answer.then is not None
    assert answer.then().refusal is not None
    desk.enable(ADMINISTRATOR, TENANT, person.id)
    assert not home.stores.sign_ins.list(person.id, 9)
