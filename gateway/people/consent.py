"""A person lets a client act for it: from the request to a code for one use.

Safety argument:
1. A code is made for the person who is signed in with the browser that sent the form, after it has
   seen who asks and for what; each time anew. It lives a minute and is stored as its digest.
2. A pushed request (RFC 9126) is from a client that proved who it is, is good for one consent and
   for a minute and a half, and is taken by its own client only.
3. A sign-in that is too old or too weak for what is asked is not enough; the person signs in again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

from gateway.errors import InvalidRequest, LimitReached
from gateway.identity.client_authentication import NOWHERE, Connection
from gateway.identity.errors import OAuthRefusal
from gateway.identity.failure_bounds import Allowance
from gateway.identity.people import SignIn, Ticket, digest_of, new_secret
from gateway.identity.people_ports import TicketStore
from gateway.identity.principal import client_serves
from gateway.identity.public_clients import PersonClients
from gateway.identity.records import Client
from gateway.people.asking import Asked, read_asked
from gateway.people.browsers import Here
from gateway.people.room import Room

CODE: Final = "code"
"""Kind of the tickets that are authorization codes."""
CODE_SECONDS: Final = 60
"""RFC 6749 section 4.1.2 allows ten minutes; a client exchanges it at once."""
PUSHED: Final = "pushed_request"
PUSHED_SECONDS: Final = 90
"""RFC 9126 section 2.2: between 5 and 600."""
EACH: Final = Allowance(1000, 0.1)
"""Of one client: 1,900 are good at a time."""
MAX_PUSHED: Final = 10_000
"""Pushed requests at a time: some 10 MB."""
REQUEST_URN: Final = "urn:ietf:params:oauth:request_uri:"
ENOUGH_SECONDS: Final = 5
"""By how much a sign-in may be older than `max_age`: a person types and a page loads."""


class Consents:
    """Reads requests of clients, and makes codes of a person's consent. Blocks.

    Args:
        tickets: Where codes and pushed requests are kept.
        clients: Finds clients.
        room: Keeps room for the requests of others.
        issuer: Our `iss`, and the audience of our tokens.
        clock: Unix seconds.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self,
        tickets: TicketStore,
        clients: PersonClients,
        room: Room,
        *,
        issuer: str,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._tickets = tickets
        self._clients = clients
        self._room = room
        self.issuer = issuer
        self._clock = clock
        self._random_bytes = random_bytes

    def push(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        connection: Connection = NOWHERE,
    ) -> tuple[Client, dict[str, str | int]]:
        """Take a pushed request (RFC 9126 section 2); returns the client and the answer.

        Raises:
            OAuthRefusal: The client is not authenticated, or the request is not good.
            LimitReached: There are too many.
        """
        client = self._clients.authenticate(form, authorization, connection)
        if client.auth_method == "none":
            raise OAuthRefusal("unauthorized_client", "only a client with credentials may push")
        if "request_uri" in form:
            raise OAuthRefusal("invalid_request", "a pushed request names no other one")
        try:
            read_asked(form, client, self.issuer)
        except InvalidRequest as refusal:
            raise OAuthRefusal("invalid_request", refusal.public) from refusal
        self._room.take(client, connection)
        if self._tickets.count(PUSHED) >= MAX_PUSHED:
            raise LimitReached("too many requests are pushed at this moment").again_in(
                PUSHED_SECONDS
            )
        secret = new_secret(self._random_bytes)
        hidden = {"client_secret", "client_assertion", "client_assertion_type"}
        kept = {name: value for name, value in form.items() if name not in hidden}
        self._tickets.add(
            Ticket(
                digest=digest_of(secret),
                kind=PUSHED,
                tenant="",
                person="",
                sign_in="",
                expires=int(self._clock()) + PUSHED_SECONDS,
                facts={"client": client.id, "form": json.dumps(kept)},
            )
        )
        return client, {"request_uri": REQUEST_URN + secret, "expires_in": PUSHED_SECONDS}

    def read(self, form: Mapping[str, str]) -> Asked:
        """Read an authorization request, pushed or not.

        Raises:
            InvalidRequest: The person is to be told.
            NotAsked: The client is to be told.
        """
        client = self._clients.registered(form.get("client_id", ""))
        if "request_uri" in form:
            form = self._pushed(form)
        return read_asked(form, client, self.issuer)

    def is_enough(self, asked: Asked, sign_in: SignIn) -> bool:
        """Tell whether a sign-in is young and strong enough for what is asked."""
        age = int(self._clock()) - sign_in.authenticated
        young = asked.max_age is None or age <= asked.max_age + ENOUGH_SECONDS
        return young and sign_in.acr >= asked.acr

    def serves(self, asked: Asked, here: Here) -> bool:
        """Tell whether the client may act for people of that tenant."""
        return client_serves(asked.client, here.person.tenant)

    def allow(self, form: Mapping[str, str], here: Here) -> str:
        """Make a code of a person's consent; returns the address that tells the client.

        Raises:
            InvalidRequest: The person is to be told.
            NotAsked: The client is to be told.
        """
        asked = self.read(form)
        if not self.is_enough(asked, here.sign_in) or not self.serves(asked, here):
            raise InvalidRequest("sign in again: this sign-in is not enough for what is asked")
        secret, sign_in = new_secret(self._random_bytes), here.sign_in
        facts = {
            "client": asked.client.id,
            "redirect_uri": asked.redirect_uri if form.get("redirect_uri") else "",
            "challenge": asked.challenge,
            "scopes": " ".join(sorted(asked.scopes)),
            "thumbprint": asked.thumbprint,
            "acr": str(sign_in.acr),
            "amr": " ".join(sorted(sign_in.amr)),
            "authenticated": str(sign_in.authenticated),
        }
        if "request_uri" in form:
            facts["redirect_uri"] = asked.redirect_uri
        person = here.person
        expires = int(self._clock()) + CODE_SECONDS
        code = Ticket(digest_of(secret), CODE, person.tenant, person.id, "", expires, facts)
        if "request_uri" in form:
            self._use_up(form, code)
        else:
            self._tickets.add(code)
        return asked.answer(self.issuer, code=secret)

    def deny(self, form: Mapping[str, str]) -> str:
        """Return the address that tells the client that the person did not consent."""
        asked = self.read(form)
        if "request_uri" in form:
            self._use_up(form)
        return asked.answer(self.issuer, error="access_denied")

    def _pushed(self, form: Mapping[str, str]) -> dict[str, str]:
        ticket = self._tickets.get(PUSHED, self._pushed_digest(form))
        now = int(self._clock())
        known = ticket is not None and not ticket.spent and now < ticket.expires
        if ticket is None or not known or ticket.facts["client"] != form.get("client_id"):
            raise InvalidRequest("the request is too old: begin again in the application")
        found: dict[str, str] = json.loads(ticket.facts["form"])
        return found

    def _use_up(self, form: Mapping[str, str], code: Ticket | None = None) -> None:
        digest = self._pushed_digest(form)
        if not self._tickets.spend(PUSHED, digest, for_one=code):
            raise InvalidRequest("the request was used: begin again in the application")

    def _pushed_digest(self, form: Mapping[str, str]) -> bytes:
        return digest_of(form["request_uri"].removeprefix(REQUEST_URN))
