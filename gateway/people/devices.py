"""A person lets a device act for it that has no browser, such as a terminal (RFC 8628).

Safety argument:
1. The device holds a code of 256 random bits, stored as its digest. The person types a code of
   eight letters, 20^8 of them, that lives ten minutes, can be guessed by a signed-in person only,
   and a few times a minute: with ten thousand in flight a guesser needs a million tries for one.
2. The code is never in a link: who wants to be let in cannot send one that does it by a click. The
   page says who asks, since when, and that nobody but the person itself has a reason to ask.
3. Allowing or declining happens once: the row is changed from what it was, by one caller, before
   what was typed is spent: who meets a fault types it again.
4. What is let in is bound to the key whose thumbprint the device named when it began.
5. A device may ask for a stronger or younger sign-in (RFC 9470); what the person did since it asked
   is young enough.
6. Devices of one origin take a small part of the room (`gateway.people.room`).
7. A device that asks too often is told to slow down, and its interval grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from gateway.errors import InvalidRequest
from gateway.identity.client_authentication import NOWHERE, Connection
from gateway.identity.errors import OAuthRefusal, SignInLater
from gateway.identity.failure_bounds import Allowance
from gateway.identity.metadata import DEVICE_GRANT
from gateway.identity.people import Ticket, digest_of, new_secret
from gateway.identity.people_ports import TicketStore
from gateway.identity.principal import client_serves
from gateway.identity.public_clients import PersonClients
from gateway.identity.records import Client
from gateway.identity.throttle import Throttle
from gateway.identity.token_grant import granted_scopes
from gateway.people.asking import read_level
from gateway.people.browsers import Here, young_enough
from gateway.people.room import Room

__all__ = ["DEVICE", "DEVICE_GRANT", "Device", "Devices"]

DEVICE: Final = "device"
USER_CODE: Final = "user_code"
DEVICE_SECONDS: Final = 600
"""To find the page, sign in and type eight letters."""
INTERVAL: Final = 5
"""Seconds between two questions of a device (RFC 8628 section 3.2)."""
EACH: Final = Allowance(60, 5.0)
"""Of one origin or client: 180 are under way at most; a hospital behind one address signs in."""
MAX_DEVICES: Final = 10_000
"""Under way at a time: some 10 MB."""
LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Without vowels there are no words, and nothing looks like a digit (RFC 8628 section 6.1)."""
CODE_LETTERS: Final = 8
_TRIES: Final = 5
"""How often a change is tried again that met a question of the device."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that asks.

    Attributes:
        client: Whose it is.
        scopes: What it asks for.
        began: Unix seconds.
        ticket: Where that is kept.
        code: The person's, as it is compared.
        max_age: Seconds since the person authenticated, at most; None: any.
        acr: Level of the authentication, at least.
    """

    client: Client
    scopes: frozenset[str]
    began: int
    ticket: Ticket
    code: str
    max_age: int | None = None
    acr: int = 0


class Devices:
    """Begins device sign-ins, and puts them to people. Blocks.

    Args:
        tickets: Where they are kept.
        clients: Finds clients.
        throttle: Counts wrong codes of a person.
        room: Keeps room for others.
        page: Where people type the code.
        clock: Unix seconds.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self,
        tickets: TicketStore,
        clients: PersonClients,
        throttle: Throttle,
        room: Room,
        *,
        page: str,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._tickets = tickets
        self._clients = clients
        self._throttle = throttle
        self._room = room
        self._page = page
        self._clock = clock
        self._random_bytes = random_bytes

    def begin(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        connection: Connection = NOWHERE,
    ) -> dict[str, str | int]:
        """Answer a device authorization request (RFC 8628 section 3.2).

        Raises:
            OAuthRefusal: The client is not authenticated, may not have the scope, or too many are
                under way.
        """
        client = self._clients.authenticate(form, authorization, connection)
        scopes = granted_scopes(client, form.get("scope"))
        max_age, acr = read_level(form)
        self._room.take(client, connection)
        if self._tickets.count(DEVICE) >= MAX_DEVICES:
            raise OAuthRefusal("temporarily_unavailable", "too many devices sign in: try again")
        secret, code, now = new_secret(self._random_bytes), self._code(), int(self._clock())
        digest, expires = digest_of(secret), now + DEVICE_SECONDS
        facts = {
            "client": client.id,
            "scopes": " ".join(sorted(scopes)),
            "thumbprint": form.get("dpop_jkt", "")[:64],
            "began": str(max(now, client.not_before)),  # as of `Browsers.begin`
            "state": "waiting",
            "max_age": "" if max_age is None else str(max_age),
            "least_acr": str(acr),
            "interval": str(INTERVAL),
            "asked": "0",
        }
        self._tickets.add(Ticket(digest, DEVICE, "", "", "", expires, facts))
        of_person = {"device": digest.hex()}
        self._tickets.add(Ticket(digest_of(code), USER_CODE, "", "", "", expires, of_person))
        return {
            "device_code": secret,
            "user_code": f"{code[:4]}-{code[4:]}",
            "verification_uri": self._page,
            "expires_in": DEVICE_SECONDS,
            "interval": INTERVAL,
        }

    def find(self, typed: str, here: Here) -> Device:
        """Return the device of a code that a person typed.

        Raises:
            SignInLater: Too many wrong codes; nothing was looked at.
            InvalidRequest: There is none, or it is not for the person.
        """
        account = digest_of(f"device\n{here.person.id}")
        if (wait := self._throttle.wait(account, "")) > 0:
            raise SignInLater().again_in(wait)
        code = "".join(letter for letter in typed.upper()[:32] if letter in LETTERS)
        found = self._tickets.get(USER_CODE, digest_of(code))
        now = int(self._clock())
        if found is None or found.spent or now >= found.expires:
            self._throttle.failed(account, "")
            raise InvalidRequest("there is no such code, or no more: look at the device again")
        ticket = self._tickets.get(DEVICE, bytes.fromhex(found.facts["device"]))
        client = None if ticket is None else self._clients.registered(ticket.facts["client"])
        if ticket is None or client is None or not client_serves(client, here.person.tenant):
            raise InvalidRequest("this application is not for your organisation")
        scopes = frozenset(ticket.facts["scopes"].split())
        facts = ticket.facts
        max_age = int(facts["max_age"]) if facts.get("max_age") else None
        acr = int(facts.get("least_acr", "0"))
        return Device(client, scopes, int(facts["began"]), ticket, code, max_age, acr)

    def is_enough(self, device: Device, here: Here) -> bool:
        """Tell whether a sign-in is young and strong enough for what a device asks."""
        sign_in, now = here.sign_in, int(self._clock())
        strong = sign_in.acr >= device.acr
        return strong and young_enough(sign_in, device.max_age, now, device.began)

    def decide(self, typed: str, here: Here, *, allowed: bool) -> None:
        """Let the device of a code act for the person, or decline.

        Raises:
            SignInLater: As of `find`.
            InvalidRequest: As of `find`; or it was decided before.
        """
        device = self.find(typed, here)
        if allowed and not self.is_enough(device, here):
            raise InvalidRequest("sign in again: this sign-in is not enough for what is asked")
        person, sign_in = here.person, here.sign_in
        decided = {"state": "allowed" if allowed else "declined"}
        if allowed:
            decided |= {
                "tenant": person.tenant,
                "person": person.id,
                "acr": str(sign_in.acr),
                "amr": " ".join(sorted(sign_in.amr)),
                "authenticated": str(sign_in.authenticated),
            }
        for _ in range(_TRIES):
            ticket = self._tickets.get(DEVICE, device.ticket.digest)
            if ticket is None or ticket.facts["state"] != "waiting":
                raise InvalidRequest("this was decided before")
            fresh = {**ticket.facts, **decided}
            if self._tickets.change(DEVICE, ticket.digest, ticket.facts, fresh):
                self._tickets.spend(USER_CODE, digest_of(device.code))
                return
        raise InvalidRequest("the device asks too often: begin again")

    def decided(self, form: Mapping[str, str], client: Client, thumbprint: str | None) -> Ticket:
        """Return the ticket of a device that a person has let in, for its token.

        Raises:
            OAuthRefusal: Not yet, no more, or not for this client (RFC 8628 section 3.5).
        """
        digest = digest_of(form.get("device_code", ""))
        ticket, now = self._tickets.get(DEVICE, digest), int(self._clock())
        if ticket is None or ticket.facts["client"] != client.id:
            raise OAuthRefusal("invalid_grant", "the device code is not good, or no more")
        facts = ticket.facts
        if facts["thumbprint"] and facts["thumbprint"] != thumbprint:
            raise OAuthRefusal("invalid_grant", "the proof is of another key than at the beginning")
        if now >= ticket.expires and not ticket.spent:
            raise OAuthRefusal("expired_token", "the code was not typed in time: begin again")
        if facts["state"] == "declined":
            raise OAuthRefusal("access_denied", "the person declined")
        if facts["state"] != "allowed":
            self._wait(ticket, now)
        return replace(ticket, tenant=facts["tenant"], person=facts["person"])

    def _wait(self, ticket: Ticket, now: int) -> None:
        facts, interval = ticket.facts, int(ticket.facts["interval"])
        soon = now - int(facts["asked"]) < interval
        fresh = {**facts, "asked": str(now), "interval": str(interval + INTERVAL * soon)}
        self._tickets.change(DEVICE, ticket.digest, facts, fresh)
        if soon:
            raise OAuthRefusal("slow_down", "ask less often")
        raise OAuthRefusal("authorization_pending", "the person has not decided yet")

    def _code(self) -> str:
        """Return a code, each letter as likely as any other."""
        letters: list[str] = []
        most = 256 - 256 % len(LETTERS)
        while len(letters) < CODE_LETTERS:
            drawn = (byte for byte in self._random_bytes(16) if byte < most)
            letters += [LETTERS[byte % len(LETTERS)] for byte in drawn]
        return "".join(letters[:CODE_LETTERS])
