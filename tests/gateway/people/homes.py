"""A person of a house who is signed in, and a public client that acts for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.identity.authorization_server import TokenAnswer
from gateway.identity.people import Person, Ticket, digest_of
from gateway.identity.person_details import PersonDetails
from gateway.identity.records import Client
from gateway.people.administration import People
from gateway.people.browsers import Here
from gateway.people.consent import CODE, CODE_SECONDS
from gateway.people.devices import DEVICE_GRANT
from gateway.people.rights import Rights
from tests.gateway.parts import TENANT, House, call, client_record

ADMINISTRATOR = call("administrator", "platform")
RIGHTS = Rights(frozenset({"caller"}), frozenset({"care"}), "care")
TV = Client(
    "tv",
    TENANT,
    "The TV",
    scopes=frozenset({"infer"}),
    auth_method="none",
    token_binding="none",
    redirect_uris=("http://127.0.0.1/back",),
)
VERIFIER = "v" * 64
CHALLENGE = "w1TpKUdYE9hUAcNSeeSRFioHDxfUxuHho_JHAfZ_vDM"


@dataclass(frozen=True)
class Resident:
    """A person of the house who has accepted the invitation."""

    home: House
    person: Person
    browser: str

    @property
    def desk(self) -> People:
        return self.home.use.people.administration

    @property
    def here(self) -> Here:
        found = self.home.use.people.browsers.here(self.browser)
        assert found is not None
        return found

    def suspend(self) -> None:
        self.desk.suspend(ADMINISTRATOR, TENANT, self.person.id)

    def enable(self) -> None:
        self.desk.enable(ADMINISTRATOR, TENANT, self.person.id)

    def device(self) -> str:
        """Let a device in; returns its code."""
        devices = self.home.use.people.devices
        begun = devices.begin({"client_id": TV.id}, None)
        devices.decide(str(begun["user_code"]), self.here, allowed=True)
        return str(begun["device_code"])

    def ask(self, **form: str) -> TokenAnswer:
        """Ask for a token; the event of it is not recorded yet."""
        return self.home.use.people.tokens.token_response({"client_id": TV.id, **form}, None, None)

    def ask_for_device(self, code: str) -> TokenAnswer:
        return self.ask(grant_type=DEVICE_GRANT, device_code=code)

    def code(self, made: int, **facts: str) -> str:
        """An authorization code that was made at a moment."""
        known = {
            "client": TV.id,
            "redirect_uri": "",
            "challenge": CHALLENGE,
            "scopes": "infer",
            "thumbprint": "",
            "acr": "1",
            "amr": "pwd",
            "authenticated": str(made),
        }
        person, secret, expires = self.person.id, f"code of {made}", made + CODE_SECONDS
        self.home.stores.tickets.add(
            Ticket(digest_of(secret), CODE, TENANT, person, "", expires, known | facts)
        )
        return secret


def moved_in(home: House) -> Resident:
    """Invite a person into a house, and let it accept."""
    home.stores.clients.add(client_record("platform-administrator", "platform", "administrator"))
    home.stores.clients.add(TV)
    home.changed()
    desk: People = home.use.people.administration
    details = PersonDetails("ada@clinic.example", "Ada")
    person, invitation = desk.invite(ADMINISTRATOR, TENANT, details, RIGHTS)
    password = "correct horse battery staple"
    browser = home.use.people.signing_in.accept(
        TENANT, invitation.code, password, request_id="request"
    )
    return Resident(home, person, browser)


def given(answer: TokenAnswer) -> Mapping[str, str | int]:
    """Return what a client gets once the event is recorded; empty with a refusal."""
    return {} if answer.then is None else answer.then().body
