"""Where people are signed in with a browser.

Safety argument:
1. A browser holds 256 random bits and nothing else; we hold their SHA-256, the person, and when.
   What it could say about itself is not asked.
2. Signing in, and stepping up, makes a new secret: one that was planted before is worth nothing.
3. It ends after half an hour without use and after twelve hours whatever is done; and at once when
   it is ended, or when person or tenant is shut out: that is looked up anew for each request.
4. Each beginning is in the tenant's log before the browser is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gateway.authorization.recorder import Recorder
from gateway.identity.people import Person, SignIn, digest_of, new_secret, new_sign_in_id
from gateway.identity.people_ports import PersonStore, SignInStore
from gateway.identity.revocation import RevocationState
from gateway.people.endings import Endings

IDLE_SECONDS: Final = 1800
"""Without use (NIST SP 800-63B-4, section 2.2.3: at most an hour)."""
LONGEST_SECONDS: Final = 12 * 3600
"""Whatever is done: a long working day (same place: at most 24 hours)."""
SEEN_SECONDS: Final = 60
"""How exactly it is written down when a browser was last used."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a person authenticated.

    Attributes:
        acr: 1 for one factor, 2 for several.
        amr: Which (RFC 8176).
    """

    acr: int
    amr: frozenset[str]


PASSWORD: Final = Way(1, frozenset({"pwd"}))
INVITED: Final = Way(1, frozenset({"pwd", "invitation"}))
"""By the code that an administrator handed over, and the password that was set with it."""


@dataclass(frozen=True, slots=True)
class Here:
    """Who is signed in with the browser that asks."""

    person: Person
    sign_in: SignIn


def young_enough(sign_in: SignIn, max_age: int | None, now: int, since: int | None) -> bool:
    """Tell whether a sign-in meets `max_age` (OpenID Connect Core, section 3.1.2.1; RFC 9470).

    Args:
        sign_in: Of the browser.
        max_age: Seconds, at most; 0 asks each time; None: any.
        now: Unix seconds.
        since: What was done from then on is young enough; None: nothing is by itself.
    """
    if max_age is None or (since is not None and sign_in.authenticated >= since):
        return True
    return now - sign_in.authenticated <= max_age and max_age > 0


class Browsers:
    """Begins and finds sign-ins of browsers. Blocks.

    Args:
        people: Where people are kept.
        sign_ins: Where sign-ins are kept.
        revocation_state: Tells who is shut out.
        endings: Ends sign-ins.
        recorder: Makes events durable.
        clock: Unix seconds.
        random_bytes: A cryptographic source.
    """

    def __init__(
        self,
        people: PersonStore,
        sign_ins: SignInStore,
        revocation_state: RevocationState,
        endings: Endings,
        *,
        recorder: Recorder,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._people = people
        self._sign_ins = sign_ins
        self._revocation_state = revocation_state
        self._endings = endings
        self._recorder = recorder
        self._clock = clock
        self._random_bytes = random_bytes

    def begin(
        self,
        person: Person,
        way: Way,
        *,
        request_id: str,
        failures: int = 0,
        instead: str = "",
        authenticated: int | None = None,
    ) -> str:
        """Sign a person in with a browser, and return the secret that the browser is to hold.

        Args:
            person: Who has authenticated.
            way: How.
            request_id: Of the request.
            failures: Wrong guesses before this, for the record.
            instead: Id of the browser's sign-in that this one follows; it ends.
            authenticated: When, Unix seconds; None: now.

        Raises:
            EvidenceUnavailable: It could not be recorded: nobody is signed in.
        """
        self._endings.make_room(person.id)
        registration, _ = self._revocation_state.look_up(person.id)
        admitted = 0 if registration is None else registration.not_before
        secret, now = new_secret(self._random_bytes), int(self._clock())
        sign_in = SignIn(
            id=new_sign_in_id(self._random_bytes),
            kind="browser",
            tenant=person.tenant,
            person=person.id,
            client="",
            scopes=frozenset(),
            thumbprint="",
            acr=way.acr,
            amr=way.amr,
            # Who was let in again within this second is told by it from who signed in before.
            authenticated=max(now, admitted) if authenticated is None else authenticated,
            created=now,
            seen=now,
            expires=now + LONGEST_SECONDS,
            secret=digest_of(secret),
        )
        self._record(sign_in, request_id, failures)
        self._sign_ins.add(sign_in)
        if instead and (before := self._sign_ins.get(instead)) is not None:
            self._endings.end(before, "followed")
        return secret

    def here(self, secret: str) -> Here | None:
        """Return who is signed in with a browser that holds this secret, or None."""
        sign_in = self._sign_ins.find(digest_of(secret)) if secret else None
        now = int(self._clock())
        if sign_in is None or now >= min(sign_in.expires, sign_in.seen + IDLE_SECONDS):
            return None
        registration, tenant = self._revocation_state.look_up(sign_in.person)
        if registration is None or registration.disabled or tenant is None or tenant.suspended:
            return None
        if sign_in.authenticated < registration.not_before:
            return None
        person = self._people.get(sign_in.person)
        if person is None or person.state != "active":
            return None
        if now - sign_in.seen >= SEEN_SECONDS:
            sign_in = replace(sign_in, seen=now)
            self._sign_ins.update(sign_in)
        return Here(person, sign_in)

    def _record(self, sign_in: SignIn, request_id: str, failures: int) -> None:
        event = self._recorder.event_for(
            None,
            "signIn",
            "allow",
            tenant=sign_in.tenant,
            actor_ref=sign_in.person,
            actor_type="user",
            session_ref=sign_in.id,
            reason="+".join(sorted(sign_in.amr)),
            resource=f"User::{sign_in.tenant}/{sign_in.person}",
            request_id=request_id,
            n_in=failures,
        )
        self._recorder.write(event)
