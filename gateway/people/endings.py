"""Where a person is signed in ends: by the person, by a stolen token, by an administrator.

Safety argument:
1. An ending is an intent: recorded, then made, then recorded as made; cut off, it is finished.
2. Tokens that came of the sign-in are accepted nowhere when `end` returns: the reference that they
   carry is revoked for as long as the youngest of them lives. Codes and refresh tokens go with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, Attribution, Kind, Settled
from gateway.authorization.recorder import Details
from gateway.authorization.records import Pending
from gateway.identity.people import SignIn
from gateway.identity.people_ports import SignInStore
from gateway.identity.tokens import LEEWAY_SECONDS, TOKEN_SECONDS

END: Final = "end_sign_in"
MAX_SIGN_INS: Final = 100
"""Places where a person is signed in; the oldest ends when there is another one."""

Revoke = Callable[[str, str, int], object]
"""(issuer, reference, expiry) → nothing; see `gateway.identity.revocation`."""


class Endings:
    """Ends sign-ins. Blocks.

    Args:
        sign_ins: Where they are kept.
        revoke: Makes tokens of a reference be accepted no more; repeating it changes nothing.
        issuer: Our `iss`.
        intents: Begin and end changes.
        clock: Unix seconds.
    """

    def __init__(
        self,
        sign_ins: SignInStore,
        revoke: Revoke,
        issuer: str,
        *,
        intents: Intents,
        clock: Callable[[], float],
    ) -> None:
        self._sign_ins = sign_ins
        self._revoke = revoke
        self._issuer = issuer
        self._intents = intents
        self._clock = clock
        intents.register(Kind(END, "signOut", _details, self._finish))

    def end(self, sign_in: SignIn, reason: str = "signed_out") -> None:
        """End a sign-in; when this returns nothing that came of it is accepted.

        Args:
            sign_in: Which.
            reason: A stable word for the record.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        row = {"person": sign_in.person, "sign_in": sign_in.id, "why": reason}
        with self._intents.changing(END, sign_in.tenant, row, Attribution()):
            self.cut(sign_in.id)

    def cut_all(self, person_id: str) -> None:
        """End all sign-ins of a person as part of a change that is recorded; may be repeated."""
        for sign_in in self._sign_ins.list(person_id, MAX_SIGN_INS):
            self.cut(sign_in.id)

    def make_room(self, person_id: str) -> None:
        """End the oldest sign-in of a person who has as many as there may be."""
        known = self._sign_ins.list(person_id, MAX_SIGN_INS)
        if len(known) >= MAX_SIGN_INS:
            self.end(known[-1], "made_room")

    def cut(self, sign_in_id: str) -> None:
        """End a sign-in as part of a change that is recorded; may be repeated."""
        expires = int(self._clock()) + TOKEN_SECONDS + LEEWAY_SECONDS
        self._revoke(self._issuer, sign_in_id, expires)
        self._sign_ins.remove(sign_in_id)

    def _finish(self, pending: Pending) -> Settled:
        """An ending is for ever, and is made again."""
        self.cut(pending.facts["sign_in"])
        return FINISHED


def _details(pending: Pending) -> Details:
    facts = pending.facts
    return {
        "actor_ref": facts["person"],
        "actor_type": "user",
        "session_ref": facts["sign_in"],
        "reason": facts["why"],
        "resource": f"User::{pending.tenant}/{facts['person']}",
    }
