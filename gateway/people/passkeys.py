"""A person's passkeys: added and removed by the person alone.

Safety argument:
1. A password alone adds no passkey: whoever has learnt one would make itself a second factor. It
   takes an invitation, which an administrator hands over, or a passkey, and either within ten
   minutes.
2. The ceremony is for the browser and the sign-in that asked, and counts once (`ceremonies`).
3. Adding and removing ends every sign-in of the person; the browser that did it goes on with
   another secret, as strong and as old as before. It is an intent, in the tenant's log.
4. Whoever can do more than call models keeps one passkey: nobody locks itself out by a slip. An
   administrator invites anew whoever has lost the last one, or suspends or deletes the person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Attribution, Kind, Settled
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, LimitReached, StateConflict
from gateway.identity.errors import PasskeyRefused
from gateway.identity.passkeys import MAX_PASSKEYS, Passkey, PasskeyStore, new_passkey_id
from gateway.identity.people import Person, SignIn
from gateway.identity.people_ports import SignInStore
from gateway.identity.person_details import SealedDetails
from gateway.identity.revocation import RevocationState
from gateway.people.browsers import Browsers, Here, Way
from gateway.people.ceremonies import Answered, Ceremonies
from gateway.people.endings import Endings
from gateway.people.own_changes import of_person

ADD: Final = "add_passkey"
REMOVE: Final = "remove_passkey"
FRESH_SECONDS: Final = 600
"""How old a sign-in may be that changes what the person signs in with."""
MAX_LABEL: Final = 60
"""Characters of what a person calls a passkey."""
FIRST: Final = (
    "a password alone adds no passkey: ask an administrator for another invitation, use it here, "
    "and add the passkey then"
)


@dataclass(frozen=True, slots=True)
class Named:
    """A passkey and what its owner calls it."""

    passkey: Passkey
    label: str


class Passkeys:
    """Adds, lists and removes passkeys. Blocks.

    Args:
        passkeys: Where they are kept.
        sign_ins: Where sign-ins are kept.
        details: Seals what people call them.
        ceremonies: Check what a browser sent.
        note_challenge: Lets a challenge count once.
        browsers: Begins sign-ins.
        endings: Ends sign-ins.
        revocation_state: Is told that who can steer has changed.
        intents: Begin and end changes.
        clock: Unix seconds.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self,
        passkeys: PasskeyStore,
        sign_ins: SignInStore,
        details: SealedDetails,
        ceremonies: Ceremonies,
        note_challenge: Callable[[bytes, Person], None],
        browsers: Browsers,
        endings: Endings,
        revocation_state: RevocationState,
        *,
        intents: Intents,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._passkeys = passkeys
        self._sign_ins = sign_ins
        self._details = details
        self._ceremonies = ceremonies
        self._note_challenge = note_challenge
        self._browsers = browsers
        self._endings = endings
        self._revocation_state = revocation_state
        self._intents = intents
        self._clock = clock
        self._random_bytes = random_bytes
        intents.register(
            Kind(ADD, "addPasskey", of_person, self._finish_add),
            Kind(REMOVE, "removePasskey", of_person, self._finish_remove),
        )

    def list(self, person: Person) -> list[Named]:
        """Return the passkeys of a person, with what it calls them."""
        found = self._passkeys.list(person.id)
        return [Named(one, self._label(person, one.label)) for one in found]

    def ask(self, here: Here, bound: str, name: str) -> dict[str, Any]:
        """Return what the person's browser is asked for to make a passkey.

        Raises:
            PasskeyRefused: The sign-in is not enough for that; the message says what is.
        """
        self._require_change(here.sign_in)
        known = self._passkeys.list(here.person.id)
        return self._ceremonies.ask_new(bound, self._handle(here.person), name, known)

    def add(self, here: Here, answered: Answered, label: str, bound: str, request_id: str) -> str:
        """Add a passkey; returns the browser's new secret.

        Args:
            here: Who is signed in.
            answered: What the browser sent.
            label: What the person calls it.
            bound: Stands for the browser and its sign-in.
            request_id: Of the request.

        Raises:
            PasskeyRefused: As of `ask`; or the passkey is there, or there are many.
            SignInRefused: The answer does not hold.
            InvalidRequest: The label breaks its rule.
            EvidenceUnavailable: It could not be recorded.
        """
        self._require_change(here.sign_in)
        if not 1 <= len(label) <= MAX_LABEL or not label.isprintable():
            raise InvalidRequest(f"a passkey has a name of 1 to {MAX_LABEL} printable characters")
        made, challenge = self._ceremonies.made(answered, bound)
        person, now = here.person, int(self._clock())
        sealed = self._details.seal_label(person.tenant, person.sealed, person.details, label)
        fresh = Passkey(
            id=new_passkey_id(self._random_bytes),
            tenant=person.tenant,
            person=person.id,
            credential=made.credential,
            handle=self._handle(person),
            public_key=made.public_key,
            counter=made.counter,
            copied=False,
            label=sealed,
            created=now,
        )
        self._note_challenge(challenge, person)
        row = {"person": person.id, "passkey": fresh.id}
        with self._intents.changing(ADD, person.tenant, row, Attribution()):
            self._store(fresh, here.sign_in)
            self._endings.cut_all(person.id)
            self._revocation_state.changed()
        return self._go_on(here, request_id)

    def remove(self, here: Here, passkey_id: str, request_id: str) -> str:
        """Remove a passkey of the person; returns the browser's new secret.

        Raises:
            PasskeyRefused: As of `ask`; or it is the last one, and the person needs one.
            InvalidRequest: The person has none of this id.
            EvidenceUnavailable: It could not be recorded.
        """
        self._require_change(here.sign_in)
        person, known = here.person, self._passkeys.get(passkey_id)
        if known is None or known.person != person.id:
            raise InvalidRequest("you have no such passkey")
        keep = int(needs_passkey(person) and not known.copied)
        row = {"person": person.id, "passkey": known.id}
        with self._intents.changing(REMOVE, person.tenant, row, Attribution()):
            if not self._passkeys.remove(known.id, keep=keep):
                raise PasskeyRefused(
                    "this is your last passkey, and what you may do needs one: add another first"
                )
            self._endings.cut_all(person.id)
            self._revocation_state.changed()
        return self._go_on(here, request_id)

    def may_change(self, sign_in: SignIn) -> bool:
        """Tell whether a sign-in is young and strong enough to change passkeys."""
        young = int(self._clock()) - sign_in.authenticated <= FRESH_SECONDS
        return young and _strong(sign_in)

    def _require_change(self, sign_in: SignIn) -> None:
        if not self.may_change(sign_in):
            raise PasskeyRefused(FIRST)

    def _store(self, fresh: Passkey, sign_in: SignIn) -> None:
        try:
            self._passkeys.add(fresh, MAX_PASSKEYS)
        except AlreadyExists as cause:
            raise PasskeyRefused("this passkey is there already") from cause
        except LimitReached as cause:
            raise PasskeyRefused(f"you have {MAX_PASSKEYS}: remove one first") from cause
        # INVARIANT: looked at after it was stored: who ended the sign-in meanwhile missed it.
        if self._sign_ins.get(sign_in.id) is None:
            self._passkeys.remove(fresh.id)
            raise StateConflict("the sign-in has ended meanwhile: sign in again")

    def _go_on(self, here: Here, request_id: str) -> str:
        sign_in = here.sign_in
        way = Way(sign_in.acr, sign_in.amr)
        return self._browsers.begin(
            here.person, way, request_id=request_id, authenticated=sign_in.authenticated
        )

    def _handle(self, person: Person) -> bytes:
        """Return what authenticators know the person by."""
        return self._details.handle(person.tenant, person.sealed, person.details)

    def _label(self, person: Person, sealed: bytes) -> str:
        return self._details.open_label(person.tenant, person.sealed, person.details, sealed)

    def _finish_add(self, pending: Pending) -> Settled:
        if self._passkeys.get(pending.facts["passkey"]) is None:
            return UNDONE
        self._endings.cut_all(pending.facts["person"])
        self._revocation_state.changed()
        return FINISHED

    def _finish_remove(self, pending: Pending) -> Settled:
        """It is there or not: whether it may go was decided when it was asked for."""
        if self._passkeys.get(pending.facts["passkey"]) is not None:
            return UNDONE
        self._endings.cut_all(pending.facts["person"])
        self._revocation_state.changed()
        return FINISHED


def needs_passkey(person: Person) -> bool:
    """Tell whether a person does more than call models: the platform asks for several factors."""
    return bool(person.roles - {"caller"})


def _strong(sign_in: SignIn) -> bool:
    return sign_in.acr > 1 or "invitation" in sign_in.amr
