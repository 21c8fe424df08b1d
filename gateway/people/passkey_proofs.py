"""A person proves who it is with a passkey: to sign in, or once more where it is signed in.

Safety argument:
1. An answer counts once: its challenge is noted, by one caller only, after the signature was found
   right and before anything comes of it. Who knows no passkey fills no table.
2. A passkey that nobody has, one that was removed, a person who is shut out, and an answer that
   does not hold get one refusal. A credential's id is random: nobody is found by guessing one.
3. A counter that does not rise tells of a copy (WebAuthn level 3, section 6.1.1). Then the passkey
   is marked, every sign-in of the person ends, and the log says so, before the refusal is told.
4. Confirming is for the person who is signed in: another one's passkey does not confirm.
5. A sign-in that is confirmed is followed by a new one with another secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, Attribution, Kind, Settled
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists
from gateway.identity.errors import SignInLater, SignInRefused
from gateway.identity.passkeys import Passkey, PasskeyStore
from gateway.identity.people import Person, Ticket, digest_of
from gateway.identity.people_ports import PersonStore, TicketStore
from gateway.identity.throttle import Throttle
from gateway.people.browsers import Browsers, Here, Way
from gateway.people.ceremonies import (
    CHALLENGE_SECONDS,
    NO_PASSKEY,
    Answered,
    Ceremonies,
    Purpose,
)
from gateway.people.endings import Endings
from gateway.people.own_changes import of_person

COPIED: Final = "copied_passkey"
CHALLENGE: Final = "passkey_challenge"
"""Kind of the tickets of challenges that were used."""
PASSKEY: Final = Way(2, frozenset({"pop", "mfa", "user"}))
"""RFC 8176, and `pop` of the OpenID EAP ACR Values: the key of a device whose user was verified."""


@dataclass(frozen=True, slots=True)
class _Proof:
    passkey: Passkey
    person: Person
    counter: int
    challenge: bytes


class PasskeyProofs:
    """Signs people in with passkeys. Blocks.

    Args:
        passkeys: Where passkeys are kept.
        people: Where people are kept.
        tickets: Where used challenges are noted.
        ceremonies: Check answers.
        throttle: Counts answers that do not hold.
        browsers: Begins sign-ins.
        endings: Ends sign-ins.
        intents: Begin and end changes.
        may_enter: Tells whether a person is not shut out.
        clock: Unix seconds.
    """

    def __init__(
        self,
        passkeys: PasskeyStore,
        people: PersonStore,
        tickets: TicketStore,
        ceremonies: Ceremonies,
        throttle: Throttle,
        browsers: Browsers,
        endings: Endings,
        *,
        intents: Intents,
        may_enter: Callable[[Person], bool],
        clock: Callable[[], float],
    ) -> None:
        self._passkeys = passkeys
        self._people = people
        self._tickets = tickets
        self._ceremonies = ceremonies
        self._throttle = throttle
        self._browsers = browsers
        self._endings = endings
        self._intents = intents
        self._may_enter = may_enter
        self._clock = clock
        intents.register(Kind(COPIED, "markPasskey", of_person, self._finish))

    def ask(self, bound: str) -> dict[str, Any]:
        """Return what a browser is asked for to sign somebody in."""
        return self._ceremonies.ask("sign_in", bound)

    def ask_again(self, here: Here, bound: str) -> dict[str, Any] | None:
        """Return what the browser of a person is asked for to confirm; None without passkeys."""
        known = [one for one in self._passkeys.list(here.person.id) if not one.copied]
        return self._ceremonies.ask("confirm", bound, known) if known else None

    def sign_in(
        self, answered: Answered, bound: str, *, caller: str, request_id: str, instead: str
    ) -> str:
        """Sign a person in; arguments and result as of `SigningIn.with_password`.

        Raises:
            SignInRefused: The answer does not hold.
            SignInLater: Too many that did not.
            EvidenceUnavailable: It could not be recorded: nobody is signed in.
        """
        proof = self._proved(answered, "sign_in", bound, caller)
        self._note_use(proof)
        person = proof.person
        return self._browsers.begin(person, PASSKEY, request_id=request_id, instead=instead)

    def confirm(
        self, answered: Answered, bound: str, here: Here, *, caller: str, request_id: str
    ) -> str:
        """Let the person who is signed in prove it once more; returns the browser's new secret.

        Raises:
            SignInRefused: The answer does not hold, or is of another person.
            SignInLater: As of `sign_in`.
            EvidenceUnavailable: As of `sign_in`.
        """
        proof = self._proved(answered, "confirm", bound, caller)
        if proof.person.id != here.person.id:
            raise SignInRefused(NO_PASSKEY)
        self._note_use(proof)
        way = Way(PASSKEY.acr, PASSKEY.amr | (here.sign_in.amr & {"pwd"}))
        return self._browsers.begin(
            proof.person, way, request_id=request_id, instead=here.sign_in.id
        )

    def note_challenge(self, challenge: bytes, person: Person) -> None:
        """Let a challenge count once.

        Raises:
            SignInRefused: It was used before.
        """
        digest = hashlib.sha256(challenge).digest()
        expires = int(self._clock()) + CHALLENGE_SECONDS
        noted = Ticket(digest, CHALLENGE, person.tenant, person.id, "", expires, spent=True)
        try:
            self._tickets.add(noted)
        except AlreadyExists as cause:
            raise SignInRefused(NO_PASSKEY) from cause

    def _proved(self, answered: Answered, purpose: Purpose, bound: str, caller: str) -> _Proof:
        account = digest_of(f"passkey\n{answered.credential[:2048]}")
        if (wait := self._throttle.wait(account, caller)) > 0:
            raise SignInLater().again_in(wait)
        try:
            passkey = self._passkeys.find(self._ceremonies.credential(answered))
            person = None if passkey is None else self._people.get(passkey.person)
            if passkey is None or passkey.copied or person is None or not self._may_enter(person):
                raise SignInRefused(NO_PASSKEY)
            counter, challenge = self._ceremonies.signed(answered, passkey, purpose, bound)
        except SignInRefused:
            self._throttle.failed(account, caller)
            raise
        self._throttle.succeeded(account, caller)
        return _Proof(passkey, person, counter, challenge)

    def _note_use(self, proof: _Proof) -> None:
        passkey, person, counter = proof.passkey, proof.person, proof.counter
        self.note_challenge(proof.challenge, person)
        if (counter or passkey.counter) and counter <= passkey.counter:
            row = {"person": person.id, "passkey": passkey.id}
            with self._intents.changing(COPIED, person.tenant, row, Attribution()):
                self._mark(passkey.id, person.id)
            raise SignInRefused(NO_PASSKEY)
        if not self._passkeys.used(passkey.id, passkey.counter, counter, int(self._clock())):
            raise SignInRefused(NO_PASSKEY)  # it was removed, or another use came between

    def _mark(self, passkey_id: str, person_id: str) -> None:
        self._passkeys.mark_copied(passkey_id)
        self._endings.cut_all(person_id)

    def _finish(self, pending: Pending) -> Settled:
        """What exists twice is never trusted again."""
        self._mark(pending.facts["passkey"], pending.facts["person"])
        return FINISHED
