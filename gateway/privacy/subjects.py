"""Rights of data subjects: find, show, erase.

Safety argument:
1. An identifier of a person is used only to find the random reference; it is in no event, log
   line or URL.
2. An erasure is an intent (`gateway.authorization.intents`): one that was cut off is finished at
   the next start, so nothing stays half erased.
3. The change can be repeated: key and mapping first, then sealed fields. When it has returned, no
   field of the subject can be opened any more; one that a request sealed before and writes after
   is ciphertext without a key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audit.event import is_subject_ref
from audit.log import AuditLog, Receipt
from audit.ports import Filter
from audit.reader import Entry, LogReader
from audit.sealing import SubjectVault
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, Attribution, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import InvalidRequest, NotFound
from policies.facts import SubjectFacts

MAX_IDENTIFIER: Final = 512
"""Characters; longer than any patient number or mail address."""
RESTORED: Final = "restored"
"""The reason of an erasure that is made again because a restore undid it."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that is complete: the receipts of its intent and of its result."""

    ref: str
    intent: str
    result: Receipt


class Subjects:
    """What an officer does for a data subject.

    Args:
        log: Keeps the sealed fields.
        reader: Reads verified events.
        vault: Keeps references and keys of subjects.
        guard: Decides and records.
        intents: Begin and end erasures.
        forget: Removes what else is kept about (tenant, reference); can be repeated.
    """

    def __init__(
        self,
        log: AuditLog,
        reader: LogReader,
        vault: SubjectVault,
        guard: Guard,
        intents: Intents,
        *,
        forget: Callable[[str, str], None],
    ) -> None:
        self._log = log
        self._reader = reader
        self._vault = vault
        self._guard = guard
        self._intents = intents
        self._forget = forget
        intents.register(Kind("erase", "eraseSubject", _details, self._finish))

    def lookup(self, call: Call, identifier: str) -> str:
        """Return the reference of a person.

        Raises:
            NotFound: Nobody is known by that identifier, or it is not for this caller.
            Forbidden: Policy says no.
        """
        if not 0 < len(identifier) <= MAX_IDENTIFIER:
            raise InvalidRequest("`identifier` must be 1 to 512 characters")
        ref = self._vault.find(call.principal.tenant, identifier)
        self._guard.permit(
            call,
            "exportSubject",
            self._facts(call, ref or "unknown"),
            reason="lookup",
            subject_refs=(ref,) if ref else (),
        )
        if ref is None:
            raise NotFound
        return ref

    def dossier(self, call: Call, ref: str, *, after: int, limit: int) -> list[Entry]:
        """Return the verified events that concern a subject, in the order of the log.

        Raises:
            NotFound: Nobody has the reference, or not any more.
            Forbidden: Policy says no.
        """
        self._check(ref)
        self._guard.permit(
            call, "exportSubject", self._facts(call, ref), reason="dossier", subject_refs=(ref,)
        )
        if not self._vault.lives(call.principal.tenant, ref):
            raise NotFound
        return self._reader.search(
            call.principal.tenant, Filter(subject_ref=ref), after=after, limit=limit
        )

    def erase(self, call: Call, ref: str, confirm: str) -> Erasure:
        """Erase what is personal about a subject; repeating what did not finish finishes it.

        Raises:
            InvalidRequest: `confirm` does not repeat the reference.
            NotFound: Nobody has the reference, or not any more.
            Forbidden: Policy says no, for instance because of a legal hold.
        """
        self._check(ref)
        if confirm != ref:
            raise InvalidRequest("`confirm` must repeat the reference")
        facts = self._facts(call, ref)
        decision = self._guard.require(call, "eraseSubject", facts, subject_refs=(ref,))
        tenant = call.principal.tenant
        if not self._vault.lives(tenant, ref) and not self._unfinished(tenant, ref):
            raise NotFound
        intent = self._intents.begin("erase", tenant, {"ref": ref}, by_call(call, decision))
        try:
            self._change(tenant, ref)
        except Exception:
            intent.unknown()
            raise
        return Erasure(ref=ref, intent=intent.id, result=intent.done())

    def erase_again(self, tenant: str, ref: str) -> bool:
        """Erase a subject whose erasure a restore undid; tells whether there was one to erase.

        The gateway does it by itself: who asked and by which decision is in the entries that the
        restore lost, of which an export was given.

        Raises:
            EvidenceUnavailable: It could not be recorded.
        """
        if not self._vault.lives(tenant, ref):
            return False
        by = Attribution(details={"reason": RESTORED})
        with self._intents.changing("erase", tenant, {"ref": ref}, by):
            self._change(tenant, ref)
        return True

    def _finish(self, pending: Pending) -> Settled:
        self._change(pending.tenant, pending.facts["ref"])
        return FINISHED

    def _unfinished(self, tenant: str, ref: str) -> bool:
        """Tell whether an erasure has begun whose bytes may not be wiped yet."""
        begun = self._intents.unfinished("erase", tenant)
        return any(pending.facts["ref"] == ref for pending in begun)

    def _change(self, tenant: str, ref: str) -> None:
        # INVARIANT: the key goes first. Nothing can be sealed for the subject after that, so what
        # is deleted next is all that could ever be opened.
        self._vault.erase(tenant, ref)
        self._log.erase_subject(tenant, ref)
        self._forget(tenant, ref)

    def _facts(self, call: Call, ref: str) -> SubjectFacts:
        # No register of legal holds exists yet, so none is claimed.
        tenant = self._guard.tenant(call.principal.tenant)
        return SubjectFacts(tenant=tenant, ref=ref, legal_hold=False)

    def _check(self, ref: str) -> None:
        if not is_subject_ref(ref):
            raise NotFound


def _details(pending: Pending) -> Details:
    ref = pending.facts["ref"]
    return {"subject_refs": (ref,), "resource": f"Subject::{pending.tenant}/{ref}"}
