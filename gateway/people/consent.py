"""A person lets a client act for it: from the request to a code for one use.

Safety argument:
1. A code is made for the person who is signed in with the browser that sent the form, after it has
   seen who asks and for what; each time anew. It lives a minute and is stored as its digest.
2. A pushed request (RFC 9126) is from a client that proved who it is, is good for one consent and
   for five minutes, and is taken by its own client only. A proof that came with it binds the code
   to its key (RFC 9449 section 10.1).
3. A sign-in that is too old or too weak for what is asked is not enough; the person signs in again.
   What it did after it was sent to sign in is young enough, whatever `max_age` is: when it was sent
   is under our MAC, so neither client nor person can say it was earlier.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from typing import Final

from gateway.errors import InvalidRequest, LimitReached
from gateway.identity.client_authentication import NOWHERE, Connection
from gateway.identity.dpop import ProofChecker
from gateway.identity.errors import InvalidProof, NonceRequired, OAuthRefusal
from gateway.identity.failure_bounds import Allowance
from gateway.identity.metadata import PUSH_PATH
from gateway.identity.people import SignIn, Ticket, digest_of, new_secret
from gateway.identity.people_ports import TicketStore
from gateway.identity.principal import client_serves
from gateway.identity.public_clients import PersonClients
from gateway.identity.records import Client
from gateway.people.asking import Asked, read_asked
from gateway.people.browsers import Here, young_enough
from gateway.people.room import Room

CODE: Final = "code"
"""Kind of the tickets that are authorization codes."""
CODE_SECONDS: Final = 60
"""RFC 6749 section 4.1.2 allows ten minutes; a client exchanges it at once."""
PUSHED: Final = "pushed_request"
PUSHED_SECONDS: Final = 300
"""RFC 9126 section 2.2: between 5 and 600; a person may have to find its passkey meanwhile."""
EACH: Final = Allowance(1000, 0.1)
"""Of one client: 4,000 are good at a time."""
MAX_PUSHED: Final = 10_000
"""Pushed requests at a time: some 10 MB."""
REQUEST_URN: Final = "urn:ietf:params:oauth:request_uri:"
STAMP_SECONDS: Final = 900
"""To sign in, with a passkey that has to be found, and to consent."""


class Consents:
    """Reads requests of clients, and makes codes of a person's consent. Blocks.

    Args:
        tickets: Where codes and pushed requests are kept.
        clients: Finds clients.
        room: Keeps room for the requests of others.
        proofs: Checks proofs of possession.
        key: Returns the key of our MAC; any process of this gateway has the same.
        issuer: Our `iss`, and the audience of our tokens.
        clock: Unix seconds.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self,
        tickets: TicketStore,
        clients: PersonClients,
        room: Room,
        proofs: ProofChecker,
        *,
        key: Callable[[], bytes],
        issuer: str,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._tickets = tickets
        self._clients = clients
        self._room = room
        self._proofs = proofs
        self._key = key
        self.issuer = issuer
        self._clock = clock
        self._random_bytes = random_bytes

    def push(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        dpop: bytes | None,
        connection: Connection = NOWHERE,
    ) -> tuple[Client, dict[str, str | int]]:
        """Take a pushed request (RFC 9126 section 2); returns the client and the answer.

        Raises:
            OAuthRefusal: The client is not authenticated, or the request or its proof is not good.
            LimitReached: There are too many.
        """
        client = self._clients.authenticate(form, authorization, connection)
        if client.auth_method == "none":
            raise OAuthRefusal("unauthorized_client", "only a client with credentials may push")
        if "request_uri" in form:
            raise OAuthRefusal("invalid_request", "a pushed request names no other one")
        form = self._bound(form, client, dpop)
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

    def _bound(
        self, form: Mapping[str, str], client: Client, dpop: bytes | None
    ) -> Mapping[str, str]:
        """Return the request with the key that a proof beside it is of."""
        if dpop is None:
            return form
        try:
            proof = self._proofs.check(dpop, "POST", PUSH_PATH)
            self._proofs.use(proof, client.id)
        except InvalidProof as refusal:
            nonce = refusal.nonce if isinstance(refusal, NonceRequired) else ""
            raise OAuthRefusal(refusal.code, refusal.public, nonce) from refusal
        if form.get("dpop_jkt", proof.thumbprint) != proof.thumbprint:
            what = "`dpop_jkt` names another key than the proof is of"
            raise OAuthRefusal(InvalidProof.code, what)
        return {**form, "dpop_jkt": proof.thumbprint}

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

    def is_enough(self, asked: Asked, sign_in: SignIn, since: int | None = None) -> bool:
        """Tell whether a sign-in is young and strong enough for what is asked.

        Args:
            asked: By the client.
            sign_in: Of the browser.
            since: When the person was sent to sign in for it, Unix seconds; None: not yet.
        """
        return sign_in.acr >= asked.acr and self.is_young(asked, sign_in, since)

    def is_young(self, asked: Asked, sign_in: SignIn, since: int | None = None) -> bool:
        """Tell whether a sign-in is young enough; arguments as of `is_enough`."""
        return young_enough(sign_in, asked.max_age, int(self._clock()), since)

    def stamp(self, text: str) -> str:
        """Return what says later that a person was sent to sign in for a request just now."""
        now = str(int(self._clock()))
        return f"{now}.{self._stamp_mac(now, text)}"

    def stamped(self, text: str, stamp: str) -> int | None:
        """Return when a person was sent to sign in for a request; None for what is not our stamp.

        Args:
            text: The request.
            stamp: From `stamp`.
        """
        at, _, mac = stamp.partition(".")
        right = hmac.compare_digest(mac.encode(), self._stamp_mac(at, text).encode())
        if not right or int(self._clock()) - int(at) > STAMP_SECONDS:
            return None
        return int(at)

    def _stamp_mac(self, at: str, text: str) -> str:
        said = f"sealgate asked\n{at}\n{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key(), said, "sha256").hex()

    def serves(self, asked: Asked, here: Here) -> bool:
        """Tell whether the client may act for people of that tenant."""
        return client_serves(asked.client, here.person.tenant)

    def allow(self, form: Mapping[str, str], here: Here, since: int | None = None) -> str:
        """Make a code of a person's consent; returns the address that tells the client.

        Args:
            form: The request.
            here: Who consents.
            since: As of `is_enough`.

        Raises:
            InvalidRequest: The person is to be told.
            NotAsked: The client is to be told.
        """
        asked = self.read(form)
        if not self.is_enough(asked, here.sign_in, since) or not self.serves(asked, here):
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
        expires = max(int(self._clock()), asked.client.not_before) + CODE_SECONDS
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
