"""The evidence of one inference, gathered step by step and turned into its audit event.

Safety argument.
1. The event holds references and digests; the identifiers of data subjects are sealed under their
   own keys, so that erasing the key erases them.
2. The input's commitment is salted anew for each event. With data subjects the salt is sealed too,
   for each of them: when all are erased the commitment proves and reveals nothing.
3. The use of a shared model is in its owner's log as well (`told`): which tenant used which
   version, how it ended and what the screen said; never who there, about whom or with what.
4. A record is written to on the event loop only. Threads return what they found: one that goes on
   after its request was cancelled changes nothing of a record that is being closed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from audit.event import Event, Outcome, Screening
from audit.log import SealedField
from audit.sealing import SubjectVault
from gateway.authorization.recorder import Call, Details, Recorder, own_ids, registered_purpose
from gateway.errors import SealgateError
from gateway.identity.errors import Unauthenticated
from gateway.identity.principal import Principal
from gateway.inference.codec import InferRequest
from gateway.inference.errors import ModelNotFound, OutputRefused
from gateway.inference.routing import Target
from gateway.registry.sharing_evidence import use_of
from gateway.screening.verdict import Verdict
from gateway.traces import UNTRACED, Untraced
from policies.engine import Decision

SALT_BYTES: Final = 16
CANCELLED: Final = "cancelled"
"""Code of a request whose caller hung up or cancelled, or that a stopping gateway cut off."""


class Personal(msgspec.Struct):
    """What is sealed under a data subject's key: who it is and the salt of the commitment."""

    subject: str
    salt: bytes


@dataclass(slots=True)
class InferenceRecord:
    """What is known of one request so far.

    Attributes:
        id: The event's id, also the request's.
        started: Monotonic seconds at the start.
        epoch: The revocation epoch from before caller and version were last looked at.
        reason: A stable code, set by the step that refused.
        rows: Of the batch; 0 until the body was read.
        used: It was decided that the model may be asked: its owner is told, where that is another
            tenant.
        trace: Takes note of each step, as it is noted here.
    """

    id: str
    principal: Principal
    epoch: object
    started: float
    model: str
    version: str
    salt: bytes
    purpose: str | None = None
    commitment: str = ""
    bytes_in: int = 0
    rows: int = 0
    reason: str = ""
    target: Target | None = None
    verdict: Verdict | None = None
    profile_digest: str = ""
    decision: Decision | None = None
    policy_ids: tuple[str, ...] = ()
    used: bool = False
    subject_refs: tuple[str, ...] = ()
    sealed: tuple[SealedField, ...] = field(default_factory=tuple)
    trace: Untraced = UNTRACED

    def commit(self, body: bytes) -> str:
        """Return the salted commitment to a body; for threads, too."""
        digest = hashlib.sha256(self.salt)
        digest.update(body)  # not put together: a body may be large
        return digest.hexdigest()

    def state(self, request: InferRequest, length: int, commitment: str) -> Call:
        """Note what was asked in a body, and return the call as policy sees it."""
        self.purpose = request.purpose or self.principal.default_purpose
        self.bytes_in = length
        self.rows = request.rows
        self.trace.step("read")
        self.commitment = commitment
        return Call(self.principal, self.purpose, self.id)

    def first_look(self) -> Call:
        """Return the call as policy sees it before anything of its body was read."""
        self.purpose = self.principal.default_purpose
        return Call(self.principal, self.purpose, self.id)

    def aim(self, target: Target) -> None:
        """Note which version the request goes to."""
        self.target = target
        self.version = target.version.version
        self.trace.step("route")

    def decided(self, decision: Decision) -> None:
        """Note a decision; the ids of all that determined the outcome are kept."""
        self.decision = decision
        self.trace.step("decide")
        self.policy_ids = (
            (*self.policy_ids, *decision.policy_ids) if decision.allowed else decision.policy_ids
        )

    def named(self, sealed: Sequence[SealedField]) -> None:
        """Note the data subjects: a sealed field for each."""
        self.sealed = tuple(sealed)
        self.subject_refs = tuple(field.subject_ref for field in self.sealed)
        self.trace.step("seal")

    def screened(self, verdict: Verdict, profile_digest: str) -> None:
        """Note the screen's verdict, and by which profile."""
        self.verdict = verdict
        self.profile_digest = profile_digest
        self.trace.step("run")


class RecordWriter:
    """Opens and closes records.

    Args:
        recorder: Builds events.
        vault: Gives references for data subjects and seals what is about them.
        monotonic: Seconds, for latencies.
        random_bytes: Source of salts.
    """

    def __init__(
        self,
        recorder: Recorder,
        vault: SubjectVault,
        *,
        monotonic: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._recorder = recorder
        self._vault = vault
        self._monotonic = monotonic
        self._random_bytes = random_bytes

    def open(
        self,
        principal: Principal,
        epoch: object,
        model: str,
        version: str | None,
        request_id: str = "",
        trace: Untraced = UNTRACED,
    ) -> InferenceRecord:
        """Start the record of a request; one that has no id yet gets one."""
        return InferenceRecord(
            id=request_id or self._recorder.new_id(),
            principal=principal,
            epoch=epoch,
            started=self._monotonic(),
            model=model,
            version=version or "",
            salt=self._random_bytes(SALT_BYTES),
            trace=trace,
        )

    def new_id(self) -> str:
        """Draw the id of a request."""
        return self._recorder.new_id()

    def seal_subjects(self, record: InferenceRecord, subjects: Sequence[str]) -> list[SealedField]:
        """Give each data subject its reference and seal who it is. May block: for threads.

        Returns:
            A field for each subject; hand them to `InferenceRecord.named`.

        Raises:
            AuditError: When the subject store or its keys are not available.
        """
        tenant = record.principal.tenant
        sealed: list[SealedField] = []
        for subject in dict.fromkeys(subjects):
            ref = self._vault.ref(tenant, subject)
            personal = msgspec.json.encode(Personal(subject, record.salt))
            sealed.append(SealedField(ref, self._vault.seal(tenant, ref, personal, record.id)))
        return sealed

    def elapsed(self, record: InferenceRecord) -> float:
        """Seconds since the record was opened."""
        return self._monotonic() - record.started

    def close(
        self, record: InferenceRecord, refusal: BaseException | None
    ) -> tuple[Event, tuple[SealedField, ...]]:
        """Turn the record into its event.

        Args:
            record: What was gathered.
            refusal: Why there is no answer, or `None`; a cancellation is one, too.
        """
        target, verdict = record.target, record.verdict
        event = self._recorder.event_for(
            record.principal,
            "infer" if verdict is None else "releaseOutput",
            _outcome(refusal),
            record.decision,
            id=record.id,
            request_id=record.id,
            trace_id=record.trace.trace_id,
            reason=record.reason or code_of(refusal),
            # An unknown name is the caller's text and stays out of the log.
            resource="::".join(target.facts.uid) if target else "",
            model_id=record.model if target else "",
            model_version=record.version if target else "",
            # One that is not registered is the caller's text, too.
            purpose=registered_purpose(record.principal, record.purpose),
            policy_ids=_policy_ids(record),
            subject_refs=record.subject_refs,
            input_commit=record.commitment,
            n_in=record.bytes_in,
            latency_us=int(self.elapsed(record) * 1_000_000),
            screening=_screening(record),
        )
        return event, record.sealed

    def told(self, record: InferenceRecord, event: Event) -> Event | None:
        """Return the event for the owner of a shared model that was used, or None.

        Args:
            record: What was gathered.
            event: What `close` made of it.
        """
        target = record.target
        if target is None or (lent := target.model.lent) is None or not record.used:
            return None
        told: Details = {
            **use_of(lent, record.id, record.id, event.purpose, record.policy_ids),
            "reason": event.reason,
            "resource": event.resource,
            "model_version": event.model_version,
            "screening": event.screening,
        }
        return self._recorder.event_for(None, event.action, event.outcome, **told)


def _policy_ids(record: InferenceRecord) -> tuple[str, ...]:
    """Return the ids for the caller's log: the names of an owner's policies are the owner's."""
    if record.target is None or record.target.model.lent is None:
        return record.policy_ids
    return own_ids(record.policy_ids, record.principal.tenant)


def code_of(ending: BaseException | None) -> str:
    """Return the stable code of a refusal, `internal` for a fault, nothing for an answer."""
    if isinstance(ending, asyncio.CancelledError):
        return CANCELLED
    return "" if ending is None else str(getattr(ending, "code", SealgateError.code))


def _outcome(refusal: BaseException | None) -> Outcome:
    if refusal is None:
        return "allow"
    denied = isinstance(refusal, (Unauthenticated, ModelNotFound, OutputRefused))
    return "deny" if denied else "error"


def _screening(record: InferenceRecord) -> Screening | None:
    verdict = record.verdict
    if verdict is None:
        return None
    return Screening(
        profile=record.profile_digest,
        bucket=verdict.bucket,
        rules=verdict.rules,
        atlas=verdict.atlas,
    )
