"""Taking rows in: the uploaded file becomes sealed requests, one a chunk.

Safety argument:
1. The file is read in a confined process only; here its bytes are decrypted into a buffer that is
   wiped, and what comes back is held to its form as if the file had written it.
2. Requests are sealed under the tenant's key as they are stored. A part names its ciphertext before
   the store does, so none is there of which nobody knows.
3. The data subjects of the rows get their references now: who is erased before a chunk's turn has
   come has another one then, or none, and is left out (`gateway.batch.chunks`).
4. Memory is bounded by `MAX_ROWS_BYTES` and `INTAKE_LIMITS`; one file is taken in at a time.
5. Nothing is stored for a batch that has ended meanwhile (`gateway.batch.ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from audit.errors import SubjectInvalid
from audit.sealing import SubjectVault
from gateway.artifacts.errors import SandboxFailed
from gateway.artifacts.manifest import TensorSpec
from gateway.artifacts.sandbox import Limits, RunSandboxed, SandboxResult
from gateway.artifacts.upload import SealedPayload, Sealer
from gateway.batch.errors import RowsRefused
from gateway.batch.ledger import Ledger
from gateway.batch.records import Batch, Part
from gateway.inference.errors import MalformedRequest
from gateway.inference.oip import parse
from gateway.inference.pipeline import MAX_SUBJECTS

MODULE: Final = "gateway.batch.intake_job"
MAX_ROWS_BYTES: Final = 256 << 20
"""Of one uploaded file: two million rows of 30 features."""
MAX_CHUNKS: Final = 1_024
CHUNK_ROWS: Final = 2_048
"""A chunk is a request of a few milliseconds for a model of tables, so that a cancel is prompt."""
CHUNK_BYTES: Final = 4 << 20
INTAKE_LIMITS: Final = Limits(
    memory_bytes=6 << 30, cpu_seconds=600, wall_seconds=900.0, output_bytes=512 << 20
)
"""JSON lines take some twenty times their size while they are objects."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A request of the file, as the confined job wrote it; `head` is the length of its JSON."""

    rows: int
    head: int
    body: bytes


class Intake:
    """Takes rows in. Its methods block.

    Args:
        ledger: Keeps the parts.
        sealer: Opens the file, seals the requests.
        vault: Gives references for data subjects.
        run_sandboxed: Runs the reader.
    """

    def __init__(
        self,
        ledger: Ledger,
        sealer: Sealer,
        vault: SubjectVault,
        run_sandboxed: RunSandboxed,
    ) -> None:
        self._ledger = ledger
        self._sealer = sealer
        self._vault = vault
        self._run_sandboxed = run_sandboxed

    def take(
        self, batch: Batch, inputs: Sequence[TensorSpec], *, personal: bool, most: int
    ) -> Batch:
        """Store the requests of a batch; what an earlier attempt stored is removed first.

        Args:
            batch: Queued; its `source` is the file.
            inputs: Of the model, from its signed manifest.
            personal: Each row must have a data subject.
            most: Rows that the tenant may still have today.

        Returns:
            The batch with its numbers of rows and chunks; its state is the caller's to move.

        Raises:
            RowsRefused: The file cannot be taken in; nothing of it stays but the file itself.
            StateConflict: The batch has ended meanwhile.
            SealgateError: Keys or stores are not available.
        """
        self._ledger.discard(batch)
        at_once = rows_of(inputs)
        try:
            chunks = self._read(batch, inputs, at_once)
            if sum(chunk.rows for chunk in chunks) > most:
                raise RowsRefused("daily_rows")
            first = 0
            for number, chunk in enumerate(chunks):
                self._keep(batch, number, first, chunk, personal=personal)
                first += chunk.rows
        except RowsRefused:
            self._ledger.discard(batch)
            raise
        return replace(batch, rows=first, chunks=len(chunks))

    def _read(self, batch: Batch, inputs: Sequence[TensorSpec], at_once: int) -> list[Chunk]:
        assert batch.source is not None, "it has not been taken in"
        args = {
            "format": batch.format,
            "inputs": [
                (spec.name, spec.datatype, list(spec.shape), spec.optional)
                for spec in inputs
                if spec.shape[:1] in ((-1,), (1,))
            ],
            "chunk_rows": min(CHUNK_ROWS, at_once),
            "subject_rows": min(MAX_SUBJECTS, at_once),
            "chunk_bytes": CHUNK_BYTES,
            "max_chunks": MAX_CHUNKS,
        }
        plain = self._sealer.open_payload(batch.tenant, batch.source)
        try:
            with memoryview(plain) as rows:
                result = self._run_sandboxed(MODULE, {"rows": rows}, args, limits=INTAKE_LIMITS)
        except SandboxFailed as failure:
            kinds = {"memory": "too_large", "output": "too_large", "time": "time"}
            raise RowsRefused(kinds.get(failure.kind, "crashed")) from failure
        finally:
            plain.wipe()
        return read_result(result)

    def _keep(self, batch: Batch, number: int, first: int, chunk: Chunk, *, personal: bool) -> None:
        refs = self._references(batch, first, chunk, personal=personal)

        def announce(source: SealedPayload) -> None:
            part = Part(batch.id, batch.tenant, number, first, chunk.rows, chunk.head, source, refs)
            store.put_part(part)

        with self._ledger.going(batch) as store:
            self._sealer.seal_bytes(batch.tenant, chunk.body, "rows", announce=announce)

    def _references(
        self, batch: Batch, first: int, chunk: Chunk, *, personal: bool
    ) -> tuple[str, ...]:
        try:
            request = parse(chunk.body, chunk.head)
        except MalformedRequest as fault:
            raise RowsRefused("crashed") from fault
        if request.rows != chunk.rows or len(request.subjects) not in (0, chunk.rows):
            raise RowsRefused("crashed")
        if batch.subject_ref:
            if request.subjects:
                raise RowsRefused("subject_twice")
            return (batch.subject_ref,)
        if personal and not request.subjects:
            raise RowsRefused("subject_missing", first)
        subjects = dict.fromkeys(request.subjects)
        if len(subjects) > MAX_SUBJECTS:
            raise RowsRefused("crashed")
        try:
            return tuple(self._vault.ref(batch.tenant, subject) for subject in subjects)
        except SubjectInvalid as fault:
            raise RowsRefused("subject", first) from fault


def rows_of(tensors: Sequence[TensorSpec]) -> int:
    """Return how many rows a model with these inputs and outputs takes at once at most.

    Raises:
        RowsRefused: It takes a fixed number that is not one.
    """
    needed = [spec for spec in tensors if not spec.optional]
    sizes = {spec.shape[0] if spec.shape else 0 for spec in needed}
    if sizes == {-1}:
        return CHUNK_ROWS
    if sizes == {1}:
        return 1
    raise RowsRefused("fixed_rows")


def read_result(result: SandboxResult) -> list[Chunk]:
    """Return the chunks that a confined job wrote.

    Raises:
        RowsRefused: It refused, or what it says cannot be.
    """
    report = result.report
    if "refused" in report:
        place = [_position(report.get(name)) for name in ("row", "column")]
        raise RowsRefused(str(report["refused"]), *place)
    told = report.get("chunks")
    if not isinstance(told, list) or not 1 <= len(told) <= MAX_CHUNKS:
        raise RowsRefused("crashed")
    chunks = []
    for number, entry in enumerate(told):
        body = result.outputs.get(str(number), b"")
        rows, head = entry if isinstance(entry, list) and len(entry) == 2 else (0, 0)
        if type(rows) is not int or type(head) is not int:
            raise RowsRefused("crashed")
        if not (1 <= rows <= CHUNK_ROWS and 1 <= head <= len(body)):
            raise RowsRefused("crashed")
        chunks.append(Chunk(rows, head, body))
    return chunks


def _position(value: object) -> int:
    return value if type(value) is int and -1 <= value < 1 << 40 else -1
