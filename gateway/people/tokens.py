"""Tokens by which a client acts for a person: for a code, a device code, and a refresh token.

Safety argument:
1. A code and a refresh token are stored as digests and spent by one caller only. Who brings one
   that was spent has a copy: what came of it ends, tokens included, before the refusal is told
   (RFC 9700 sections 4.2.4 and 4.14.2). There is no grace for a client that asks twice at once: a
   thief would have it too. Our own clients take turns.
2. A code is for its client, its redirect address and the verifier of its challenge. A mistake in
   one of these spends nothing: 256 bits are not guessed, and a stranger's try costs nobody.
3. Tokens for a person are bound as those of a client itself are. A public client's refresh token is
   bound to the key of its first proof (RFC 9449 section 5).
4. The person is looked up anew each time: who is shut out gets nothing. What is narrowed by the
   client's registration since is narrower. A client that was shut out and let in again asks people
   anew: what it held may be in other hands.
   Nothing is spent before its event is durable (`TokenAnswer.then`), and the refresh token that
   follows comes in the same transaction: a log or a database that is down signs nobody out.
5. `auth_time` stays that of the sign-in: refreshing makes nobody recently authenticated.
6. The subject is the pseudonym, never an address.
7. Refusals of a client that proved who it is are recorded. Anybody can ask in the name of a public
   one, so its refusals are counted only: nobody fills a log from outside. The end of a sign-in
   whose token came twice is in the log all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal, NoReturn

from gateway.identity.authorization_server import TokenAnswer, TokenEvent
from gateway.identity.client_authentication import NOWHERE, Connection
from gateway.identity.dpop import ProofChecker
from gateway.identity.errors import InvalidProof, NonceRequired, OAuthRefusal
from gateway.identity.people import SignIn, Ticket, digest_of, new_secret, new_sign_in_id
from gateway.identity.people_ports import SignInStore, TicketStore
from gateway.identity.principal import client_serves
from gateway.identity.public_clients import PersonClients
from gateway.identity.records import Client
from gateway.identity.revocation import RevocationState
from gateway.identity.token_grant import TOKEN_PATH
from gateway.identity.tokens import TOKEN_SECONDS, TokenMinter
from gateway.people.asking import fits_challenge
from gateway.people.consent import CODE, CODE_SECONDS
from gateway.people.devices import DEVICE, DEVICE_GRANT, Devices
from gateway.people.endings import Endings

CODE_GRANT: Final = "authorization_code"
REFRESH_GRANT: Final = "refresh_token"
GRANTS: Final = (CODE_GRANT, REFRESH_GRANT, DEVICE_GRANT)
REFRESH: Final = "refresh"
"""Kind of the tickets."""
IDLE_SECONDS: Final = 7 * 24 * 3600
"""Without use a client's sign-in ends: a week off is not the end of a working day, a month is."""
_WAITING: Final = ("authorization_pending", "slow_down")
"""Nothing was refused: a device that asks every five seconds fills no log."""
LONGEST_SECONDS: Final = 30 * 24 * 3600
"""Whatever is done (NIST SP 800-63B-4, section 2.1.3: at most 30 days at the lowest level)."""


class PersonTokens:
    """Answers token requests about people. Blocks.

    Args:
        clients: Finds clients.
        tickets: Where codes and refresh tokens are kept.
        sign_ins: Where sign-ins are kept.
        revocation_state: Tells who is shut out.
        endings: Ends sign-ins.
        devices: Knows which devices people have let in.
        minter: Signs access tokens.
        proofs: Checks proofs of possession.
        clock: Unix seconds.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self,
        clients: PersonClients,
        tickets: TicketStore,
        sign_ins: SignInStore,
        revocation_state: RevocationState,
        endings: Endings,
        devices: Devices,
        minter: TokenMinter,
        proofs: ProofChecker,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._clients = clients
        self._tickets = tickets
        self._sign_ins = sign_ins
        self._revocation_state = revocation_state
        self._endings = endings
        self._devices = devices
        self._minter = minter
        self._proofs = proofs
        self._clock = clock
        self._random_bytes = random_bytes

    def token_response(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        dpop: bytes | None,
        connection: Connection = NOWHERE,
    ) -> TokenAnswer:
        """Answer a token request whose `grant_type` is one of `GRANTS`.

        Args:
            form: Its form fields, none repeated.
            authorization: Value of its one `Authorization` header, or None.
            dpop: Value of its one `DPoP` header, or None.
            connection: What it came over.
        """
        try:
            client = self._clients.authenticate(form, authorization, connection)
        except OAuthRefusal as refusal:
            return TokenAnswer({}, refusal, None)
        try:
            if form.get("resource", self._minter.audience) != self._minter.audience:
                raise OAuthRefusal("invalid_target", "the resource is not served here")
            thumbprint = self._thumbprint(client, dpop)
            if form["grant_type"] == CODE_GRANT:
                return self._for_code(form, client, thumbprint)
            if form["grant_type"] == DEVICE_GRANT:
                ticket = self._devices.decided(form, client, thumbprint)
                if ticket.spent:
                    self._reused(DEVICE, ticket.digest)
                if int(ticket.facts["began"]) < client.not_before:
                    raise _invalid_grant()
                return self.begin(client, ticket, thumbprint, DEVICE)
            return self._for_refresh(form, client, thumbprint)
        except OAuthRefusal as refusal:
            return TokenAnswer({}, refusal, _denied(client, refusal.error))
        except InvalidProof as refusal:
            nonce = refusal.nonce if isinstance(refusal, NonceRequired) else ""
            refused = OAuthRefusal(refusal.code, refusal.public, nonce)
            return TokenAnswer({}, refused, _denied(client, refused.error))

    def find_refresh(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        connection: Connection = NOWHERE,
    ) -> tuple[bool, SignIn | None]:
        """Read a revocation request (RFC 7009) of a refresh token.

        Returns:
            Whether it is about a refresh token of ours, and what is to end.

        Raises:
            OAuthRefusal: The client is not authenticated, or it is another one's.
        """
        ticket = self._tickets.get(REFRESH, digest_of(form.get("token", "")))
        if ticket is None:
            return False, None
        client = self._clients.authenticate(form, authorization, connection)
        sign_in = self._sign_ins.get(ticket.sign_in)
        if sign_in is not None and sign_in.client != client.id:
            raise OAuthRefusal("invalid_grant", "the token belongs to another client")
        return True, sign_in

    def begin(
        self, client: Client, ticket: Ticket, thumbprint: str | None, spent: str
    ) -> TokenAnswer:
        """Begin a client's sign-in for a ticket that a person's consent made.

        Args:
            client: Who may have it.
            ticket: Not spent when it was looked at.
            thumbprint: Of the key that was proven, or None.
            spent: Kind of the ticket.
        """
        now, facts = int(self._clock()), ticket.facts
        self._require_person(client, ticket.person, int(facts["authenticated"]))
        sign_in = SignIn(
            id=new_sign_in_id(self._random_bytes),
            kind="client",
            tenant=ticket.tenant,
            person=ticket.person,
            client=client.id,
            scopes=frozenset(facts["scopes"].split()),
            thumbprint=thumbprint or "",
            acr=int(facts["acr"]),
            amr=frozenset(facts["amr"].split()),
            authenticated=int(facts["authenticated"]),
            created=max(now, client.not_before),
            seen=now,
            expires=now + LONGEST_SECONDS,
        )

        def spend(refresh: Ticket) -> None:
            self._endings.make_room(ticket.person)
            # INVARIANT: it can be found before the ticket is spent: who comes second ends it.
            self._sign_ins.add(sign_in)
            known = {**facts, "sign_in": sign_in.id}
            if not self._tickets.spend(spent, ticket.digest, known, for_one=refresh):
                self._sign_ins.remove(sign_in.id)
                self._reused(spent, ticket.digest)

        return self._answer(client, sign_in, sign_in.scopes, thumbprint, spend)

    def _for_code(
        self, form: Mapping[str, str], client: Client, thumbprint: str | None
    ) -> TokenAnswer:
        digest = digest_of(form.get("code", ""))
        ticket = self._tickets.get(CODE, digest)
        if ticket is None or ticket.facts["client"] != client.id:
            raise _invalid_grant()
        if ticket.spent:
            self._reused(CODE, digest)
        if int(self._clock()) >= ticket.expires:
            raise _invalid_grant()
        if ticket.expires - CODE_SECONDS < client.not_before:
            raise _invalid_grant()  # it was made before the client was shut out, and let in again
        wanted = ticket.facts["redirect_uri"]
        if wanted and form.get("redirect_uri") != wanted:
            raise OAuthRefusal("invalid_grant", "`redirect_uri` is not that of the request")
        if not fits_challenge(form.get("code_verifier", ""), ticket.facts["challenge"]):
            raise OAuthRefusal("invalid_grant", "`code_verifier` does not fit the challenge")
        if ticket.facts["thumbprint"] and ticket.facts["thumbprint"] != thumbprint:
            raise InvalidProof("the proof is of another key than the request named")
        return self.begin(client, ticket, thumbprint, CODE)

    def _for_refresh(
        self, form: Mapping[str, str], client: Client, thumbprint: str | None
    ) -> TokenAnswer:
        digest, now = digest_of(form.get("refresh_token", "")), int(self._clock())
        ticket = self._tickets.get(REFRESH, digest)
        sign_in = None if ticket is None else self._sign_ins.get(ticket.sign_in)
        if ticket is None or sign_in is None or sign_in.client != client.id:
            raise _invalid_grant()
        if client.auth_method == "none" and sign_in.thumbprint != (thumbprint or ""):
            raise InvalidProof("the proof is of another key than the refresh token is bound to")
        if ticket.spent:
            self._end_family(sign_in.id)
        if now >= min(ticket.expires, sign_in.expires):
            raise _invalid_grant()
        self._require_person(client, sign_in.person, sign_in.authenticated)
        if sign_in.created < client.not_before:
            raise _invalid_grant()
        scopes = _narrowed(sign_in.scopes, form.get("scope"))

        def spend(refresh: Ticket) -> None:
            if not self._tickets.spend(REFRESH, digest, for_one=refresh):
                self._end_family(sign_in.id)
            self._sign_ins.update(replace(sign_in, seen=now))

        return self._answer(client, sign_in, scopes, thumbprint, spend)

    def _answer(
        self,
        client: Client,
        sign_in: SignIn,
        scopes: frozenset[str],
        thumbprint: str | None,
        spend: Callable[[Ticket], None],
    ) -> TokenAnswer:
        secret = new_secret(self._random_bytes)
        expires = min(int(self._clock()) + IDLE_SECONDS, sign_in.expires)
        refresh = Ticket(
            digest_of(secret), REFRESH, sign_in.tenant, sign_in.person, sign_in.id, expires
        )
        allowed = scopes & client.scopes
        person, _ = self._revocation_state.look_up(sign_in.person)
        admitted = max(client.not_before, 0 if person is None else person.not_before)
        token = self._minter.mint_for(sign_in, allowed, thumbprint, not_before=admitted)
        body: dict[str, str | int] = {
            "access_token": token.text,
            "token_type": "DPoP" if thumbprint else "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": " ".join(sorted(allowed)),
            "refresh_token": secret,
        }

        def give() -> TokenAnswer:
            try:
                spend(refresh)
                self._require_lasting(client, sign_in)
            except OAuthRefusal as refusal:  # recorded in any case: an allow was
                return TokenAnswer({}, refusal, _event(client, "deny", refusal.error, sign_in))
            return TokenAnswer(body, None, None)

        given = _event(client, "allow", "ok", sign_in, token.token_id)
        return TokenAnswer({}, None, given, give)

    def _require_lasting(self, client: Client, sign_in: SignIn) -> None:
        # INVARIANT: looked at after the token was made: whoever ends it from now on ends the token.
        if self._sign_ins.get(sign_in.id) is None:
            raise _invalid_grant()
        if not self._is_let_in(client, sign_in.person, sign_in.authenticated):
            self._endings.cut(sign_in.id)  # who shut the person out may not have seen it
            raise _invalid_grant()

    def _thumbprint(self, client: Client, dpop: bytes | None) -> str | None:
        if client.token_binding == "mtls":  # noqa: S105 - a kind of binding
            raise OAuthRefusal(
                "unauthorized_client", "tokens about people are bound by DPoP, not to a certificate"
            )
        if dpop is None:
            if client.token_binding == "dpop":  # noqa: S105 - a kind of binding
                raise InvalidProof("a proof of possession is required")
            return None
        proof = self._proofs.check(dpop, "POST", TOKEN_PATH)
        self._proofs.use(proof, client.id)
        return proof.thumbprint

    def _require_person(self, client: Client, person_id: str, authenticated: int) -> None:
        if not self._is_let_in(client, person_id, authenticated):
            raise _invalid_grant()

    def _is_let_in(self, client: Client, person_id: str, authenticated: int) -> bool:
        """Tell whether a person who authenticated then may let a client act for it now."""
        person, tenant = self._revocation_state.look_up(person_id)
        if person is None or person.disabled or tenant is None or tenant.suspended:
            return False
        return authenticated >= person.not_before and client_serves(client, person.tenant)

    def _reused(self, kind: str, digest: bytes) -> NoReturn:
        """End what came of a ticket that was spent before."""
        ticket = self._tickets.get(kind, digest)
        if ticket is not None and "sign_in" in ticket.facts:
            self._end_family(ticket.facts["sign_in"])
        raise _invalid_grant()

    def _end_family(self, sign_in_id: str) -> NoReturn:
        sign_in = self._sign_ins.get(sign_in_id)
        if sign_in is not None:
            self._endings.end(sign_in, "used_twice")
        raise OAuthRefusal("invalid_grant", "it was used before: sign in again")


def _narrowed(scopes: frozenset[str], asked: str | None) -> frozenset[str]:
    words = scopes if asked is None else frozenset(asked.split(" "))
    if not words or not words <= scopes:
        raise OAuthRefusal("invalid_scope", "the person did not let the client have that scope")
    return words


def _invalid_grant() -> OAuthRefusal:
    return OAuthRefusal("invalid_grant", "the code or token is not good, or no more")


def _denied(client: Client, error: str) -> TokenEvent | None:
    if error in _WAITING or client.auth_method == "none":
        return None
    return _event(client, "deny", error)


def _event(
    client: Client,
    outcome: Literal["allow", "deny"],
    reason: str,
    sign_in: SignIn | None = None,
    token_id: str | None = None,
) -> TokenEvent:
    if sign_in is None:
        return TokenEvent("issueToken", client.tenant, client.id, outcome, reason, token_id)
    return TokenEvent(
        "issueToken",
        sign_in.tenant,
        client.id,
        outcome,
        reason,
        token_id,
        person=sign_in.person,
        sign_in=sign_in.id,
    )
