"""What a batch remembers: frozen values and the table of its moves, no I/O.

Times are Unix seconds (UTC, integers). No record names a data subject: references stand for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.artifacts.upload import SealedPayload
from gateway.errors import StateConflict

Format = Literal["npz", "jsonl", "parquet"]
BatchState = Literal["queued", "running", "finished", "stopped", "failed", "cancelled", "deleted"]
PartState = Literal["waiting", "kept", "ready", "erased", "dropped"]

MOVES: Final[dict[BatchState, frozenset[BatchState]]] = {
    "queued": frozenset({"running", "failed", "stopped", "cancelled", "deleted"}),
    "running": frozenset({"finished", "failed", "stopped", "cancelled", "deleted"}),
    "finished": frozenset({"deleted"}),
    "stopped": frozenset({"deleted"}),
    "failed": frozenset({"deleted"}),
    "cancelled": frozenset({"deleted"}),
    "deleted": frozenset(),
}
"""State → the states that may follow."""
UNFINISHED: Final[tuple[BatchState, ...]] = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Batch:
    """One job: the rows of one upload, asked of one version of a model.

    Attributes:
        client: Whose job it is; nobody else sees it.
        authority: For whom it acts, as it was authenticated (`gateway.batch.authority`).
        version: Fixed at the start, so that one job never has answers of two versions.
        recipient: The age public key that results are sealed to.
        source: The uploaded rows, until they are taken in; then `None`.
        subject_ref: Of the one data subject of all rows, or empty.
        subject_sealed: Who that is, sealed under the subject's own key and bound to `id`.
        reason: A stable code of why it did not finish.
        row: The row that `reason` is about, from 0; -1 where it is about none.
        column: Position of the input that `reason` is about, from 0; -1 likewise.
        length: Bytes of the file that came in.
        rows: How many it has; 0 until they are taken in.
        chunks: In how many parts.
        expires: When results and record are thrown away.
        revision: Grows by one with each change; compare-and-set works on it.
    """

    id: str
    tenant: str
    client: str
    authority: str
    model: str
    version: str
    purpose: str
    format: Format
    recipient: str
    source: SealedPayload | None
    created: int
    expires: int
    length: int
    state: BatchState = "queued"
    subject_ref: str = ""
    subject_sealed: bytes = b""
    reason: str = ""
    row: int = -1
    column: int = -1
    rows: int = 0
    chunks: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One chunk of a batch: rows that wait, or their result.

    `waiting` has rows and no result. `kept` has both: the result is stored and nobody may read it,
    as it is not known whether its record is durable. `ready` has a result. `erased` and `dropped`
    have neither: a person whom it was about was erased, or the batch ended before its turn came.

    Attributes:
        number: From 0.
        first: The first of its rows, counted in the whole job.
        rows: How many.
        head: Bytes of the JSON head of the stored request (Open Inference Protocol).
        source: The sealed request, until it is answered.
        refs: References of the data subjects, as they were when the rows came in.
        event: Id of the event that records the release; empty when no row was released.
        digest, length: Of the result, an age file; empty and 0 when there is none.
        outcome, rules: Of the screen's verdict on what was released.
        refused: Rows without an answer.
    """

    batch: str
    tenant: str
    number: int
    first: int
    rows: int
    head: int
    source: SealedPayload | None
    refs: tuple[str, ...] = ()
    state: PartState = "waiting"
    event: str = ""
    digest: str = ""
    length: int = 0
    outcome: str = ""
    rules: tuple[str, ...] = ()
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is: chunks that ended, their rows, and those without an answer."""

    chunks: int = 0
    rows: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant's batches take: those unfinished, rows and bytes since a moment."""

    unfinished: int = 0
    rows: int = 0
    bytes: int = 0


def moved(batch: Batch, state: BatchState, reason: str = "") -> Batch:
    """Return the batch after a legal move.

    Raises:
        StateConflict: The table has no such move.
    """
    if state not in MOVES[batch.state]:
        raise StateConflict("the batch has ended")
    return replace(batch, state=state, reason=reason or batch.reason)
