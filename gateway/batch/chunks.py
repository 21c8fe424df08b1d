"""One chunk of a batch on its way through the pipeline: the door of batches.

Safety argument:
1. A chunk is a request like any other: `Pipeline.infer` decides, screens and records it. The caller
   is the one who started the batch, narrowed to what it may do now (`gateway.batch.authority`).
2. The result is sealed to the caller's key and stored before the record of its release is made, and
   nobody can read it before that record is durable (`kept`, then `ready`). After a kill the log
   tells which: a chunk that was released is never asked again, one that was not is asked anew.
3. A row that breaks the contract or is kept back by the screen has no answer but a reason; the
   others are asked again without it. That ends: each time there are fewer rows, and few times.
4. A row about a person who was erased after the rows came in is not asked.
5. When the answer is no for the caller, the version or the purpose, the batch stops.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson
from msgspec import structs

from audit.errors import SubjectErased
from audit.sealing import SubjectVault
from gateway.artifacts.store import ArtifactStore
from gateway.artifacts.upload import Sealer
from gateway.batch import results
from gateway.batch.authority import renewed
from gateway.batch.errors import RowsRefused
from gateway.batch.ledger import Ledger
from gateway.batch.records import Batch, Part
from gateway.errors import SealgateError
from gateway.identity.errors import Unauthenticated
from gateway.identity.principal import Principal
from gateway.identity.revocation import Registration
from gateway.inference.codec import Array, InferRequest
from gateway.inference.errors import ContractViolation, ModelNotFound, OutputRefused
from gateway.inference.oip import parse
from gateway.inference.pipeline import InferCall, Pipeline
from gateway.inference.record import InferenceRecord

MAX_ROUNDS: Final = 8
"""A contract, rows to block and rows to flag are found one after another; more is enough."""
ENGINE_FAILED: Final = "engine_failed"
"""Once it may have been the machine; twice it is the rows. More would set the model aside."""
OF_THE_ROWS: Final = frozenset(
    {
        "contract_violation",
        "malformed_request",
        "output_refused",
        "rows_refused",
        "run_failed",
        "run_timeout",
        ENGINE_FAILED,
    }
)
"""Codes of what is wrong with the rows of a chunk, and would be wrong with them again."""
ERASED: Final = "subject_erased"


class Stopped(Exception):
    """The batch may not go on; `code` says why."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True, slots=True)
class RowsAnswer:
    """What came out for the rows that were asked."""

    outputs: Mapping[str, Array]
    degraded: bool


class RowsCodec:
    """`gateway.inference.codec.Codec` for some rows of a chunk that was read before.

    Args:
        request: The whole chunk.
        rows: Those to ask, ascending.
        purpose: Of the batch.
    """

    def __init__(self, request: InferRequest, rows: Sequence[int], purpose: str) -> None:
        self._request = _some(request, rows, purpose)
        self._rows = len(rows)

    def decode(self, body: bytes) -> InferRequest:
        """See the port; the body is what the record commits to."""
        del body
        return self._request

    def takes_long(self, outputs: Mapping[str, Array]) -> bool:
        """See the port: nothing is written here."""
        del outputs
        return False

    def render(
        self,
        model: str,
        version: str,
        outputs: Mapping[str, Array],
        parameters: Mapping[str, str],
        datatypes: Mapping[str, str],
    ) -> RowsAnswer:
        """See the port.

        Raises:
            RowsRefused: An output has not one entry for each row.
        """
        del model, version, datatypes
        if any(array.ndim == 0 or len(array) != self._rows for array in outputs.values()):
            raise RowsRefused("outputs")
        return RowsAnswer(outputs, bool(parameters))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A chunk in memory: its bytes, the request in them, and for whom it is asked."""

    principal: Principal
    body: bytes
    request: InferRequest


class Chunks:
    """Answers parts of batches, on the event loop of the pipeline.

    Args:
        ledger: Where parts are kept.
        sealer: Opens the rows.
        artifacts: Stores results.
        vault: Knows who was erased.
        pipeline: The way of every request.
        registration: Client and tenant of a client id; may block.
        signed_in: Tells whether a sign-in has not ended; may block.
        released: Tells whether an event of a tenant records an answer; may block.
        random_bytes: For the keys of results.
    """

    def __init__(
        self,
        ledger: Ledger,
        sealer: Sealer,
        artifacts: ArtifactStore,
        vault: SubjectVault,
        pipeline: Pipeline,
        *,
        registration: Callable[[str], Registration],
        signed_in: Callable[[str], bool],
        released: Callable[[str, str], bool],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._ledger = ledger
        self._sealer = sealer
        self._artifacts = artifacts
        self._vault = vault
        self._pipeline = pipeline
        self._registration = registration
        self._signed_in = signed_in
        self._released = released
        self._random_bytes = random_bytes
        self._failed: set[tuple[str, int]] = set()

    async def answer(self, batch: Batch, part: Part) -> None:
        """Answer one part; it is `ready` when this returns.

        Raises:
            Stopped: The batch may not go on.
            StateConflict: Batch or part ended meanwhile.
            SealgateError: It cannot be answered at the moment.
        """
        if part.state == "kept":
            if await asyncio.to_thread(self._released, part.tenant, part.event):
                await asyncio.to_thread(self._ledger.ready, batch, part)
                return
            part = await asyncio.to_thread(self._ledger.again, batch, part)
        asked = await asyncio.to_thread(self._open, batch, part)
        refused = await asyncio.to_thread(self._gone, batch, part, asked.request)
        for _ in range(MAX_ROUNDS):
            rows = [row for row in range(part.rows) if row not in refused]
            if not rows:
                break
            try:
                kept = await self._ask(batch, part, asked, rows, refused)
            except SealgateError as fault:
                self._once(part, fault)
                refused |= _blamed(fault, rows)
                continue
            await asyncio.to_thread(self._ledger.ready, batch, kept)
            self._failed.discard((part.batch, part.number))
            return
        # Nothing is released: the refusals are recorded, and the caller may know of them.
        refused |= {row: refused.get(row, OutputRefused.code) for row in range(part.rows)}
        kept = await asyncio.to_thread(self._keep, batch, part, "", RowsAnswer({}, False), refused)
        await asyncio.to_thread(self._ledger.ready, batch, kept)

    def _once(self, part: Part, fault: SealgateError) -> None:
        """Let a chunk be asked once more when its engine ended in the middle of it.

        Raises:
            SealgateError: The fault, the first time.
        """
        if fault.code != ENGINE_FAILED:
            return
        key = part.batch, part.number
        if key not in self._failed:
            self._failed.add(key)
            raise fault
        self._failed.discard(key)

    async def _ask(
        self, batch: Batch, part: Part, asked: _Asked, rows: list[int], refused: dict[int, str]
    ) -> Part:
        kept: list[Part] = []
        commit = asked.body if len(rows) == part.rows else _selection(rows) + asked.body

        async def read(tenant: str) -> bytes:
            del tenant
            return commit

        async def keep(record: InferenceRecord, answer: RowsAnswer) -> None:
            verdict = record.verdict
            assert verdict is not None, "it was judged"
            judged = replace(part, outcome=verdict.outcome, rules=verdict.rules)
            kept.append(
                await asyncio.to_thread(self._keep, batch, judged, record.id, answer, refused)
            )

        codec = RowsCodec(asked.request, rows, batch.purpose)
        call = InferCall(
            asked.principal, batch.model, batch.version, codec, read, keep=keep, by_row=True
        )
        # Where the record cannot be made the part stays as it is: the log tells what became of it.
        await self._pipeline.infer(call)
        return kept[0]

    def _open(self, batch: Batch, part: Part) -> _Asked:
        assert part.source is not None, "it waits"
        try:
            registered = self._registration(batch.client)
            principal = renewed(batch.authority, *registered, self._signed_in)
        except Unauthenticated as refusal:
            raise Stopped(refusal.code) from refusal
        plain = self._sealer.open_payload(part.tenant, part.source)
        try:
            body = bytes(plain)
        finally:
            plain.wipe()
        request = parse(body, part.head)
        if batch.subject_ref:
            request = structs.replace(request, subjects=(self._one_subject(batch),))
        return _Asked(principal, body, request)

    def _one_subject(self, batch: Batch) -> str:
        try:
            sealed = batch.subject_sealed
            return self._vault.open(batch.tenant, batch.subject_ref, sealed, batch.id).decode()
        except SubjectErased as gone:
            raise Stopped(ERASED) from gone

    def _gone(self, batch: Batch, part: Part, request: InferRequest) -> dict[int, str]:
        """Return the rows whose person was erased since the rows came in (claim 4)."""
        if batch.subject_ref:
            return {}
        known = frozenset(part.refs)
        names = dict.fromkeys(request.subjects)
        lives = {name: self._vault.find(part.tenant, name) in known for name in names}
        return {row: ERASED for row, name in enumerate(request.subjects) if not lives[name]}

    def _keep(
        self, batch: Batch, part: Part, event: str, answer: RowsAnswer, refused: dict[int, str]
    ) -> Part:
        """Store a result that nobody can read yet (claim 2)."""
        answered = [part.first + row for row in range(part.rows) if row not in refused]
        reasons = {part.first + row: reason for row, reason in refused.items()}
        plain = results.encode(answered, answer.outputs, reasons, degraded=answer.degraded)
        sealed = results.seal(plain, batch.recipient, self._random_bytes)
        digest = hashlib.sha256(sealed).hexdigest()
        kept = replace(
            part,
            state="kept",
            event=event,
            digest=digest,
            length=len(sealed),
            refused=len(refused),
        )
        with self._ledger.going(batch, part) as store:
            store.put_part(kept)
            staged = self._artifacts.stage()
            try:
                staged.write(sealed)
                staged.commit(digest)
            except BaseException:
                staged.discard()
                raise
        return kept


def _some(request: InferRequest, rows: Sequence[int], purpose: str) -> InferRequest:
    """Return the request about some of its rows."""
    every_row = len(rows) == request.rows
    taken = list(rows)
    by_row = len(request.subjects) > 1 or (len(request.subjects) == 1 and request.rows == 1)
    subjects = request.subjects
    if by_row and not every_row:
        subjects = tuple(subjects[row] for row in rows)
    return InferRequest(
        inputs={
            name: array if every_row else array[taken] for name, array in request.inputs.items()
        },
        outputs=(),
        purpose=purpose,
        subjects=subjects,
        bfloat16=request.bfloat16,
    )


def _selection(rows: Sequence[int]) -> bytes:
    """What the commitment of a part of a chunk begins with: the numbers of its rows, a line."""
    return orjson.dumps(list(rows)) + b"\n"


def _blamed(fault: SealgateError, rows: Sequence[int]) -> dict[int, str]:
    """Return the rows to blame for a refusal, with the reason.

    Raises:
        Stopped: It is no row's fault, and would be no other one's.
        SealgateError: It is nobody's: the pipeline cannot answer at the moment.
    """
    if isinstance(fault, (ModelNotFound, Unauthenticated)):
        raise Stopped(fault.code) from fault
    if isinstance(fault, OutputRefused) and not fault.rows:
        raise Stopped(fault.code) from fault
    if fault.code not in OF_THE_ROWS:
        raise fault
    code = fault.code
    if isinstance(fault, ContractViolation):
        code = f"contract.{fault.reason}"
    blamed: Sequence[int] = getattr(fault, "rows", ()) or range(len(rows))
    return {rows[at]: code for at in blamed}
