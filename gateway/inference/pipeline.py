"""The way of an inference request. Every door (REST, gRPC, batch, console) calls `Pipeline.infer`.

A door hands in credentials, a codec and a reader; nothing here knows how requests travel.

Safety argument, in the order of the steps:
1. The caller is known by a verified token, and belongs to the tenant of the token's client, before
   anything else that was sent is read.
2. Two decisions stand between a request and its answer: `infer`, before the model sees the input,
   and `releaseOutput`, with the screen's verdict. An undecided one is a no.
3. Whatever happens to a request within the client's rate, an answer, a refusal or a caller who
   hangs up, is durable in the tenant's audit log before the caller hears of it. If it cannot be
   recorded, the caller hears only that. Refusals over the rate, and before the tenant is known, are
   counted, so that nobody fills a log by asking.
4. What was revoked while the model ran is noticed before the second decision: caller, tenant and
   version are looked at again whenever the revocation epoch has moved. Where a large answer was
   written after that, they are looked at and it is decided once more.
5. What is absent and what is forbidden look alike: `ModelNotFound`, before anything of the body is
   read. The purpose is in the body; so it is asked first whether any registered purpose of the
   caller would do. Who learns more about a body may use the model for some purpose.
6. A model of personal data never answers without a data subject; who it is goes sealed into the
   record, and as a random reference into everything else.

7. A door that puts an answer by (`InferCall.keep`) does so before the record: where the record says
   that an answer was released it is there, and until then nobody can read it.

8. A model that another tenant shares is asked only in turn (`gateway.inference.guests`). Its use is
   in the owner's log before it is in the caller's, which is what lets the answer leave: whatever
   fails between the two, nothing was answered that the owner cannot see. What was ended, or ended
   by its date, while the model ran is refused by the second decision (claim 4).

What a door still owes: a body bounded in bytes and time, errors as problems that repeat nothing,
the answer in one piece with its place in the log, and no retry of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

import msgspec

from audit.log import AuditLog, Receipt
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.errors import SealgateError
from gateway.identity.authenticate import Authenticator, Credentials
from gateway.identity.errors import IdentityError
from gateway.identity.principal import Principal
from gateway.inference.codec import Array, Codec, InferRequest, select
from gateway.inference.errors import (
    ContractViolation,
    ModelNotFound,
    OutputRefused,
    TooManyRequests,
)
from gateway.inference.fair_executor import FairExecutor
from gateway.inference.guests import Guests
from gateway.inference.minimise import minimised
from gateway.inference.models import Models, ServableModel
from gateway.inference.record import InferenceRecord, RecordWriter, code_of
from gateway.inference.routing import Routes, Target
from gateway.inference.stated import alone_wrong, stated_otherwise
from gateway.inference.statistics import Statistics
from gateway.screening.verdict import UNSCREENED
from gateway.telemetry import Metrics
from gateway.traces import UNTRACED, Untraced
from policies.engine import Decision
from policies.facts import VerdictFacts

T = TypeVar("T")

# The references and commitments of about 350 data subjects fit one audit event.
MAX_SUBJECTS: Final = 256
# A body of this size is parsed in less than a millisecond.
INLINE_BYTES: Final = 64 << 10
# Decisions that take less than three milliseconds together, when none is remembered.
INLINE_PURPOSES: Final = 8
OF_VALUES: Final = frozenset({"not_finite", "out_of_range"})
"""Reasons of a contract that are found in single rows."""


class InferCall(msgspec.Struct, Generic[T], frozen=True):
    """One call as a door received it.

    Attributes:
        credentials: Who asks; a principal where the door has authenticated it before and acts for
            it now: it is looked at again.
        model: Name of the model, as it was sent.
        version: Version, or `None` for the released one.
        codec: Reads the request and writes the answer.
        read: Reads the body for a tenant, within its bounds in bytes and time.
        request_id: The id that the caller hears of; empty: the record draws one.
        trace: Takes note of the steps.
        keep: Puts the answer by before the record is made (claim 7); `None` keeps nothing.
        by_row: A refusal names the rows to blame, for a door that asks again without them.
        names: Reads model and version for a tenant where the body names them; only then `model` and
            `version` are empty.
    """

    credentials: Credentials | Principal
    model: str
    version: str | None
    codec: Codec[T]
    read: Callable[[str], Awaitable[bytes]]
    request_id: str = ""
    trace: Untraced = UNTRACED
    keep: Callable[[InferenceRecord, T], Awaitable[None]] | None = None
    by_row: bool = False
    names: Callable[[str], Awaitable[tuple[str, str | None]]] | None = None


@dataclass(frozen=True, slots=True)
class InferAnswer(Generic[T]):
    """What may leave: what the codec wrote, and the place in the log."""

    rendered: T
    receipt: Receipt


class FirstLook(msgspec.Struct, frozen=True):
    """The decision for the caller's default purpose, and the moment (`Guard.moment`) of it."""

    decision: Decision
    purpose: str | None
    moment: Hashable


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Holds what the steps need; has no state of its own."""

    authenticator: Authenticator
    over_rate: Callable[[Principal], float]
    routes: Routes
    guard: Guard
    models: Models
    executor: FairExecutor
    records: RecordWriter
    log: AuditLog
    metrics: Metrics
    statistics: Statistics
    guests: Guests

    async def infer(self, call: InferCall[T]) -> InferAnswer[T]:
        """Answer one request, or raise what the caller should hear, recorded either way.

        Raises:
            Unauthenticated: No token, or not a valid one.
            AuditUnavailable: The record could not be made durable.
            CancelledError: The task was cancelled; that is recorded like a refusal.
            SealgateError: Every other refusal; see `gateway.inference.errors`.
        """
        epoch = self.authenticator.epoch
        principal = await self._authenticate(call.credentials)  # claim 1
        call.trace.step("authenticate")
        self._limit(principal)
        record = self.records.open(
            principal, epoch, call.model, call.version, call.request_id, call.trace
        )
        try:  # claim 3, on every way out
            rendered = await self._answer(record, call)
            if call.keep is not None:
                await call.keep(record, rendered)  # claim 7
        except (Exception, asyncio.CancelledError) as ending:
            receipt = await self._finish(record, ending)
            if isinstance(ending, SealgateError):
                ending.receipt = str(receipt)
            raise
        receipt = await self._finish(record, None)
        return InferAnswer(rendered, receipt)

    async def _answer(self, record: InferenceRecord, call: InferCall[T]) -> T:
        """Take the steps between the caller and the record."""
        target = await self._route(record, call)  # claim 5
        first = await self._allow_some_purpose(record, target)  # claim 5
        body = await call.read(record.principal.tenant)
        request, asked = await self._decode(record, call.codec, body)
        self._decide_infer(record, asked, target, first)  # claim 2
        await self._name_subjects(record, request, target)  # claim 6
        model = await self.models.get(target.version)
        self._hold_to_contract(record, model, request, by_row=call.by_row)
        found = await self._run(target, request)
        rows = model.contract.rows(request.inputs)
        verdict = model.judge(found, rows) if model.judge else UNSCREENED
        record.screened(verdict, model.profile_digest)
        target = await self._reconfirm(record, target)  # claim 4
        self._decide_release(record, asked, target)  # claim 2
        datatypes: dict[str, str] = {spec.name: spec.datatype for spec in model.outputs}
        outputs, added = minimised({name: found[name] for name in datatypes}, datatypes, verdict)
        outputs = select(outputs, request.outputs)
        answer = (record.model, record.version, outputs, added, datatypes)
        if call.codec.takes_long(outputs):
            written = partial(call.codec.render, *answer)
            rendered = await self.executor.run(record.principal.tenant, written, let_in=True)
            if self.authenticator.epoch != record.epoch:  # claim 4: that took its time
                self._decide_release(record, asked, await self._reconfirm(record, target))
        else:
            rendered = call.codec.render(*answer)
        record.trace.step("render")
        return rendered

    def sweep(self, now: float) -> None:
        """Give back the memory of models that may no longer be called. Blocks."""

        def wanted(key: tuple[str, str, str], model: ServableModel) -> bool:
            try:
                self.routes.resolve(*key)
            except ModelNotFound:
                return False
            return model.expires is None or now < model.expires

        self.models.sweep(wanted)

    async def _authenticate(self, credentials: Credentials | Principal) -> Principal:
        try:
            if isinstance(credentials, Principal):
                await self.authenticator.reconfirm(credentials)
                return credentials
            return await self.authenticator.identify(credentials)
        except IdentityError as refusal:
            # No tenant is known: counted, not recorded one by one, so nobody fills a log from
            # outside.
            self.metrics.count_refused(refusal.code)
            raise

    def _limit(self, principal: Principal) -> None:
        seconds = self.over_rate(principal)
        if seconds:
            self.metrics.limited.labels(principal.tenant).inc()
            raise TooManyRequests.for_rate(seconds)

    async def _allow_some_purpose(self, record: InferenceRecord, target: Target) -> FirstLook:
        """Go on only for a caller who may use the model for some purpose."""
        moment = self.guard.moment()
        first = self.guard.decide(record.first_look(), "infer", target.facts)
        if first.allowed:
            return FirstLook(first, record.purpose, moment)

        principal = record.principal
        others = sorted(principal.purposes - {principal.default_purpose})

        def any_other() -> bool:
            calls = (Call(principal, purpose, record.id) for purpose in others)
            return any(self.guard.decide(call, "infer", target.facts).allowed for call in calls)

        few = len(others) <= INLINE_PURPOSES
        # Not on the threads for runs: where those are taken, an absent model is no other answer.
        if not (any_other() if few else await asyncio.to_thread(any_other)):
            record.decided(first)
            raise ModelNotFound
        return FirstLook(first, record.purpose, moment)

    async def _decode(
        self, record: InferenceRecord, codec: Codec[T], body: bytes
    ) -> tuple[InferRequest, Call]:
        """Read what is asked; a large body in a thread, so that nobody waits for it."""

        def work() -> tuple[InferRequest, str]:
            return codec.decode(body), record.commit(body)

        if len(body) <= INLINE_BYTES:
            request, commitment = work()
        else:
            request, commitment = await self.executor.run(record.principal.tenant, work)
        return request, record.state(request, len(body), commitment)

    async def _route(self, record: InferenceRecord, call: InferCall[T]) -> Target:
        tenant = record.principal.tenant
        model, version = call.model, call.version
        if call.names is not None:
            model, version = await call.names(tenant)
            record.model = model
        target = self.routes.known(tenant, model, version)
        if target is None:
            target = await asyncio.to_thread(self.routes.resolve, tenant, model, version)
        record.aim(target)
        return target

    def _decide_infer(
        self, record: InferenceRecord, asked: Call, target: Target, first: FirstLook
    ) -> None:
        """Decide for the stated purpose; the first look counts when nothing moved since."""
        if (asked.purpose, self.guard.moment()) == (first.purpose, first.moment):
            decision = first.decision
        else:
            decision = self.guard.decide(asked, "infer", target.facts)
        record.decided(decision)
        if not decision.allowed:
            raise ModelNotFound
        record.used = True

    async def _name_subjects(
        self, record: InferenceRecord, request: InferRequest, target: Target
    ) -> None:
        if target.model.personal and not request.subjects:
            raise ContractViolation("subject_missing")
        lengths = {len(array) for array in request.inputs.values() if array.ndim}
        if len(request.subjects) > 1 and len(request.subjects) not in lengths:
            raise ContractViolation("subject_rows")
        if len(set(request.subjects)) > MAX_SUBJECTS:
            raise ContractViolation("too_many_subjects")
        if request.subjects:
            seal = self.records.seal_subjects
            record.named(await asyncio.to_thread(seal, record, request.subjects))

    def _hold_to_contract(
        self,
        record: InferenceRecord,
        model: ServableModel,
        request: InferRequest,
        *,
        by_row: bool,
    ) -> None:
        record.trace.step("load")
        failure = stated_otherwise(model, request) or model.contract.check(request.inputs)
        if failure is not None:
            record.reason = f"contract.{failure.reason}"
            violation = ContractViolation(failure.reason, failure.input)
            if by_row and failure.reason in OF_VALUES:
                violation.rows = alone_wrong(model.contract, request)
            raise violation
        # Only the contract knows which inputs have a row for each subject.
        rows = model.contract.rows(request.inputs)
        if len(request.subjects) > 1 and len(request.subjects) != rows:
            raise ContractViolation("subject_rows")

    async def _reconfirm(self, record: InferenceRecord, target: Target) -> Target:
        """Look again at caller and version for as long as anything was revoked meanwhile.

        INVARIANT: between the last look at the epoch and the second decision nothing is awaited.
        """
        while (epoch := self.authenticator.epoch) != record.epoch:
            await self.authenticator.reconfirm(record.principal)
            target = await asyncio.to_thread(
                self.routes.resolve, record.principal.tenant, record.model, record.version
            )
            record.epoch = epoch
        self.routes.check_stands(target)
        return target

    def _run(self, target: Target, request: InferRequest) -> Awaitable[dict[str, Array]]:
        lent = target.model.lent
        if lent is None:
            return self.models.run(target.version, request)
        asked = partial(self.models.run, target.version, request)
        return self.guests.run((lent.owner, lent.model, lent.tenant), asked)  # claim 8

    def _decide_release(self, record: InferenceRecord, asked: Call, target: Target) -> None:
        verdict = record.verdict
        assert verdict is not None
        facts = VerdictFacts(outcome=verdict.outcome, rules=frozenset(verdict.rules))
        decision = self.guard.decide(asked, "releaseOutput", target.facts, verdict=facts)
        record.decided(decision)
        if not decision.allowed:
            raise OutputRefused(verdict.rows)

    async def _finish(self, record: InferenceRecord, refusal: BaseException | None) -> Receipt:
        """Make the record durable; without it nothing is told."""
        event, sealed = self.records.close(record, refusal)
        if record.used and (told := self.records.told(record, event)) is not None:
            await self.log.append(told)  # claim 8
        receipt = await self.log.append(event, sealed)
        record.trace.step("record")
        self._count(record, refusal)
        return receipt

    def _count(self, record: InferenceRecord, refusal: BaseException | None) -> None:
        """Count the request. Names are counted only when they are a model's."""
        if record.target is None:
            return
        version = (record.principal.tenant, record.model, record.version)
        seconds = self.records.elapsed(record)
        self.metrics.count_answer(
            version,
            code_of(refusal) or "answered",
            record.verdict.outcome if record.verdict else "none",
            seconds,
        )
        if not isinstance(refusal, ModelNotFound):
            answered = refusal is None
            self.statistics.count(version, answered=answered, rows=record.rows, seconds=seconds)
