"""A person proves who it is: by an invitation at first, then by a password.

Safety argument:
1. A wrong organisation, address, password, and a person who is shut out or has no password, get one
   answer after the same work. Waiting is by the digest of what was typed, so it tells nothing.
2. Refusals are counted, and told to the platform's log in sums: who is not known yet fills no log
   and leaves no trace that a clock could see. How many wrong guesses came before is in the record
   of the sign-in that follows.
3. An invitation is spent before the password is set, by one caller only; setting the password ends
   every other sign-in of the person. It is an intent, in the tenant's log.
4. A password that was right is hashed anew where the parameters are of another day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from gateway.artifacts.errors import KeyUnavailable
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Attribution, Kind, Settled
from gateway.authorization.records import Pending
from gateway.errors import StateConflict
from gateway.identity.errors import SignInLater, SignInRefused
from gateway.identity.passwords import Passwords
from gateway.identity.people import Person, digest_of
from gateway.identity.people_ports import PersonStore, TicketStore
from gateway.identity.person_details import SealedDetails
from gateway.identity.revocation import RevocationState
from gateway.identity.throttle import Throttle
from gateway.people.administration import INVITATION
from gateway.people.browsers import INVITED, PASSWORD, Browsers
from gateway.people.endings import Endings
from gateway.people.own_changes import of_person

ACCEPT: Final = "accept_invitation"
NOBODY: Final = b""
"""Instead of the digest of an address, where the organisation has no keys."""

_TRIES: Final = 5
"""How often a change is tried again that met one of another replica."""
_NOT_GOOD: Final = "the invitation is not good, or no more: ask for another one"


class SigningIn:
    """Signs people in. Blocks.

    Args:
        people: Where people are kept.
        tickets: Where invitations are kept.
        details: Makes the digests of addresses.
        passwords: Hashes and compares.
        throttle: Counts wrong guesses.
        browsers: Begins sign-ins.
        endings: Ends sign-ins.
        revocation_state: Changes people, and tells who is shut out.
        intents: Begin and end changes.
        clock: Unix seconds.

    Attributes:
        refusals: How many were refused before a person was known, by error code.
    """

    def __init__(
        self,
        people: PersonStore,
        tickets: TicketStore,
        details: SealedDetails,
        passwords: Passwords,
        throttle: Throttle,
        browsers: Browsers,
        endings: Endings,
        revocation_state: RevocationState,
        *,
        intents: Intents,
        clock: Callable[[], float],
    ) -> None:
        self._people = people
        self._tickets = tickets
        self._details = details
        self._passwords = passwords
        self._throttle = throttle
        self._browsers = browsers
        self._endings = endings
        self._revocation_state = revocation_state
        self._intents = intents
        self._clock = clock
        self.refusals: Counter[str] = Counter()
        intents.register(Kind(ACCEPT, "acceptInvitation", of_person, self._finish_accept))

    def with_password(
        self,
        tenant: str,
        address: str,
        password: str,
        *,
        caller: str,
        request_id: str,
        instead: str,
    ) -> str:
        """Sign a person in with a browser, and return the secret that the browser is to hold.

        Args:
            tenant: Id of the organisation, as it was typed.
            address: The e-mail address, likewise.
            password: Likewise.
            caller: Where who asks comes from, see `gateway.origins`.
            request_id: Of the request.
            instead: Id of the sign-in that the browser has, which ends; empty without.

        Raises:
            SignInRefused: Something is not right.
            SignInLater: Too many wrong guesses; nothing was looked at.
            SignInBusy: Too many sign in at this moment.
            EvidenceUnavailable: It could not be recorded: nobody is signed in.
        """
        mark = self._mark(tenant, address)
        account = mark or digest_of(f"{tenant}\n{address.casefold()}")
        if (wait := self._throttle.wait(account, caller)) > 0:
            self.refusals[SignInLater.code] += 1
            raise SignInLater().again_in(wait)
        person = self._people.find(tenant, mark) if mark else None
        encoded = person.password if person is not None else ""
        right = self._passwords.verify(encoded, password)
        if not right or person is None or not self.may_enter(person):
            self._throttle.failed(account, caller)
            self.refusals[SignInRefused.code] += 1
            raise SignInRefused
        failures = self._throttle.succeeded(account, caller)
        if self._passwords.is_outdated(encoded):
            self._renew(person, password)
        return self._browsers.begin(
            person, PASSWORD, request_id=request_id, failures=failures, instead=instead
        )

    def accept(self, tenant: str, code: str, password: str, *, request_id: str) -> str:
        """Set a person's password by an invitation, and sign it in; returns as `with_password`.

        Raises:
            SignInRefused: The invitation is not good, or no more.
            SignInBusy: As of `with_password`.
            InvalidRequest: The password is too short or too long; the invitation stays good.
            EvidenceUnavailable: It could not be recorded.
        """
        digest = digest_of(code)  # of 256 random bits: nobody guesses one
        ticket = self._tickets.get(INVITATION, digest)
        now = int(self._clock())
        if ticket is None or ticket.tenant != tenant or ticket.spent or ticket.expires <= now:
            self.refusals[SignInRefused.code] += 1
            raise SignInRefused(_NOT_GOOD)
        encoded = self._passwords.hash(password)
        row = {"person": ticket.person, "was": str(self._revision(ticket.person))}
        with self._intents.changing(ACCEPT, tenant, row, Attribution()):
            if not self._tickets.spend(INVITATION, digest):
                raise SignInRefused(_NOT_GOOD)

            def changed(person: Person) -> Person:
                if person.state == "suspended":
                    raise SignInRefused
                return replace(person, password=encoded, state="active")

            person = self._set(tenant, ticket.person, changed)
            self._endings.cut_all(person.id)
        return self._browsers.begin(person, INVITED, request_id=request_id)

    def _set(self, tenant: str, person_id: str, change: Callable[[Person], Person]) -> Person:
        """Change a person whose invitation is spent: another replica's change does not stop it."""
        for _ in range(_TRIES - 1):
            with suppress(StateConflict):
                return self._revocation_state.change_person(tenant, person_id, change)
        return self._revocation_state.change_person(tenant, person_id, change)

    def _mark(self, tenant: str, address: str) -> bytes:
        try:
            return self._details.mark(tenant, address)
        except KeyUnavailable:
            return NOBODY

    def may_enter(self, person: Person) -> bool:
        """Tell whether a person is not shut out."""
        registration, tenant = self._revocation_state.look_up(person.id)
        out = registration is None or registration.disabled or tenant is None or tenant.suspended
        return person.state == "active" and not out

    def _renew(self, person: Person, password: str) -> None:
        encoded = self._passwords.hash(password)
        try:
            self._people.update(replace(person, password=encoded))
        except StateConflict:
            return  # something else of the person was changed just now: another time

    def _revision(self, person_id: str) -> int:
        person = self._people.get(person_id)
        return -1 if person is None else person.revision

    def _finish_accept(self, pending: Pending) -> Settled:
        """Nobody can say the password again: it was set, or another invitation is needed."""
        person = self._people.get(pending.facts["person"])
        if person is None or str(person.revision) == pending.facts["was"]:
            return UNDONE
        self._endings.cut_all(person.id)
        self._revocation_state.changed()
        return FINISHED
