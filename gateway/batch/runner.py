"""Running batches: on the event loop that serves callers, and never in their way.

1. A tenant has one chunk under way, and all tenants together have `LANES`: so much of the engines,
   and no more. Tenants take turns. While callers wait for the same model, its batches wait too, for
   a while.
2. Where a batch stands is durable after each chunk (`gateway.batch.chunks`): the next process goes
   on with the first part that has not ended.
3. How a batch ended is recorded once, before it is stored: the event's id follows from its own.
4. What cannot be done at the moment is tried again later, ever more seldom. Without evidence it is
   tried for ever; for other faults the batch fails in the end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from audit.errors import AuditError, EventConflict
from gateway.artifacts.errors import Interrupted
from gateway.artifacts.manifest import parse_manifest
from gateway.authorization.event_ids import derived_id
from gateway.authorization.recorder import Recorder
from gateway.batch.chunks import Stopped
from gateway.batch.errors import RowsRefused
from gateway.batch.intake import Intake
from gateway.batch.ledger import Ledger
from gateway.batch.ports import BatchStore
from gateway.batch.records import Batch, BatchState, Part
from gateway.errors import EvidenceUnavailable, SealgateError, StateConflict
from gateway.inference.routing import Routes
from gateway.pages import every
from gateway.registry.facts import version_resource

LANES: Final = max(1, (os.cpu_count() or 1) // 2)
"""Chunks under way: half of the cores at most are busy for batches."""
LOOK_S: Final = 5.0
"""How often it is looked for work that nobody told of, such as a pause that is over."""
PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 60.0
PATIENCE: Final = 12
"""Failures in a row, about eight minutes, after which a batch fails."""
YIELD_S: Final = 0.02
YIELDS: Final = 50
"""How long a batch waits for its tenant's callers before each chunk: a second at most."""
ACTION: Final = "finishBatch"

Answer = Callable[[Batch, Part], Awaitable[None]]


class BatchRunner:
    """Runs batches. `run` is one task; the rest is for it and for `wake`.

    Args:
        store: Where batches are kept.
        ledger: Changes them.
        intake: Takes rows in.
        answer: Answers a part (`gateway.batch.chunks.Chunks.answer`).
        routes: Finds the version of a batch.
        recorder: Records how a batch ended.
        rows_left: Rows that a tenant may still have taken in today; may block.
        busy: Whether callers wait for a run of what the batch is about to ask.
        monotonic: Seconds.
    """

    def __init__(
        self,
        store: BatchStore,
        ledger: Ledger,
        intake: Intake,
        answer: Answer,
        routes: Routes,
        recorder: Recorder,
        *,
        rows_left: Callable[[str], int],
        busy: Callable[[Batch], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._intake = intake
        self._answer = answer
        self._routes = routes
        self._recorder = recorder
        self._rows_left = rows_left
        self._busy = busy
        self._monotonic = monotonic
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._told = 0
        self._stopping = False
        self._taken: set[str] = set()
        self._turns: dict[str, int] = {}
        self._turn = 0
        self._pauses: dict[str, tuple[int, float]] = {}

    def wake(self) -> None:
        """Tell that there is work; from any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._tell)

    def stop(self) -> None:
        """Let `run` end after the chunks that are under way; on its event loop."""
        self._stopping = True
        self._tell()

    async def run(self) -> None:
        """Run batches until `stop`, or until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work("queued", self._take_in))
            for _ in range(LANES):
                group.create_task(self._work("running", self._go_on))

    async def _work(self, state: BatchState, act: Callable[[Batch], Awaitable[None]]) -> None:
        while not self._stopping:
            told = self._told
            try:
                batch = await asyncio.to_thread(self._next, state)
            except Exception as fault:  # the store cannot be read: see claim 4
                _warn("batches_unread", fault)
                batch = None
            if batch is None:
                if self._told == told:  # else there is news that the look may have missed
                    self._news.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), LOOK_S)
                continue
            try:
                await self._guarded(batch, act)
            finally:
                self._taken.discard(_key(batch, state))

    def _tell(self) -> None:
        self._told += 1
        self._news.set()

    def _next(self, state: BatchState) -> Batch | None:
        """Take the oldest batch of the tenant whose turn it is."""

        def page(after: str, limit: int) -> list[Batch]:
            return self._store.unfinished_batches(after=after, limit=limit)

        now = self._monotonic()
        ready = [
            batch
            for batch in every(page, lambda batch: batch.id, "")
            if batch.state == state
            and _key(batch, state) not in self._taken
            and self._pauses.get(batch.id, (0, 0.0))[1] <= now
        ]
        if not ready:
            return None
        batch = min(ready, key=lambda one: (self._turns.get(_key(one, state), 0), one.id))
        self._turn += 1
        self._turns[_key(batch, state)] = self._turn
        self._taken.add(_key(batch, state))
        return batch

    async def _guarded(self, batch: Batch, act: Callable[[Batch], Awaitable[None]]) -> None:
        try:
            await act(batch)
            self._pauses.pop(batch.id, None)
        except StateConflict:
            self._pauses.pop(batch.id, None)  # cancelled or deleted meanwhile
        except Exception as fault:
            await self._hold(batch, fault)

    async def _hold(self, batch: Batch, fault: Exception) -> None:
        """Try again later, or give up (claim 4)."""
        failures = self._pauses.get(batch.id, (0, 0.0))[0] + 1
        pause = min(PAUSE_S * 2 ** min(failures - 1, 10), MAX_PAUSE_S)
        self._pauses[batch.id] = failures, self._monotonic() + pause
        _warn("batch_held", fault, batch=batch.id)
        without_evidence = isinstance(fault, (EvidenceUnavailable, AuditError, Interrupted))
        if failures >= PATIENCE and not without_evidence:
            code = str(getattr(fault, "code", SealgateError.code))
            with suppress(Exception):  # then it is tried again
                await asyncio.to_thread(self._end, batch, "failed", code)

    async def _take_in(self, batch: Batch) -> None:
        try:
            taken = await asyncio.to_thread(self._read, batch)
        except RowsRefused as refusal:
            place = {"row": refusal.row, "column": refusal.column}
            await asyncio.to_thread(self._end, batch, "failed", f"rows.{refusal.reason}", **place)
            return
        except SealgateError as refusal:
            if refusal.code != "model_not_found":
                raise
            await asyncio.to_thread(self._end, batch, "stopped", refusal.code)
            return
        await asyncio.to_thread(self._ledger.started, taken)
        self._tell()

    def _read(self, batch: Batch) -> Batch:
        target = self._routes.resolve(batch.tenant, batch.model, batch.version)
        manifest = parse_manifest(target.version.manifest)
        return self._intake.take(
            batch,
            manifest.inputs,
            personal=target.model.personal,
            most=self._rows_left(batch.tenant),
        )

    async def _go_on(self, batch: Batch) -> None:
        part = await asyncio.to_thread(self._store.next_part, batch.tenant, batch.id)
        if part is None:
            await asyncio.to_thread(self._end, batch, "finished", "")
            return
        for _ in range(YIELDS):
            if not self._busy(batch):
                break
            await asyncio.sleep(YIELD_S)
        try:
            await self._answer(batch, part)
        except Stopped as end:
            await asyncio.to_thread(self._end, batch, "stopped", end.code)

    def _end(self, batch: Batch, state: BatchState, reason: str, **place: int) -> None:
        done = self._store.progress(batch.tenant, batch.id)
        event = self._recorder.event_for(
            None,
            ACTION,
            "done" if state == "finished" else "error",
            id=end_id(batch.id),
            tenant=batch.tenant,
            reason=reason,
            resource=version_resource(batch.tenant, batch.model, batch.version),
            request_id=batch.id,
            client_id=batch.client,
            purpose=batch.purpose,
            model_id=batch.model,
            model_version=batch.version,
            n_in=batch.rows,
            n_out=done.rows - done.refused,
        )
        with suppress(EventConflict):  # recorded before, by a process that was killed then
            self._recorder.write(event)
        self._ledger.end(batch, state, reason, **place)


def end_id(batch_id: str) -> str:
    """Return the id of the event that records how a batch ended."""
    return derived_id(f"sealgate batch end\n{batch_id}")


def _key(batch: Batch, state: BatchState) -> str:
    """Whose turn it is: taking rows in and answering do not wait for each other."""
    return f"{state} {batch.tenant}"


def _warn(event: str, fault: Exception, **more: str) -> None:
    structlog.get_logger().warning(event, fault=type(fault).__name__, **more)
