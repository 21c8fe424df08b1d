"""Batch jobs: the use case, and what runs them on the event loop that serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from audit.errors import EntryUnknown
from gateway.artifacts.sandbox import RunSandboxed
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.recorder import Recorder
from gateway.batch.batches import MAX_UNFINISHED, Batches
from gateway.batch.chunks import Chunks
from gateway.batch.intake import Intake
from gateway.batch.ledger import Ledger
from gateway.batch.quota import DAY_S, Quota
from gateway.batch.records import Batch
from gateway.batch.runner import Answer, BatchRunner
from gateway.composition.foundation import Foundation
from gateway.composition.inference import make_routes
from gateway.inference.pipeline import Pipeline
from gateway.names import split_shared
from gateway.registry.uploads import Uploads
from gateway.tenancy.overview import Limit

NEEDED: Final = "pyarrow"
"""What the extra `parquet` brings."""


@dataclass(frozen=True, slots=True)
class BatchParts:
    """What a runner is made of; `listeners` hear that there is a new batch."""

    batches: Batches
    ledger: Ledger
    intake: Intake
    listeners: list[Callable[[], None]]

    def limits(self, tenant: str) -> list[Limit]:
        """Return what a tenant can use up."""
        used, quota = self.batches.used(tenant)
        return [
            Limit("batches_unfinished", used.unfinished, MAX_UNFINISHED),
            Limit("batch_rows_today", used.rows, quota.rows),
            Limit("batch_bytes_today", used.bytes, quota.bytes),
        ]


def make_batches(
    base: Foundation,
    guard: Guard,
    recorder: Recorder,
    intents: Intents,
    uploads: Uploads,
    run_sandboxed: RunSandboxed,
) -> BatchParts:
    """Make the use case of batches."""
    settings, clock = base.settings, base.environment.clock
    listeners: list[Callable[[], None]] = []
    ledger = Ledger(
        base.stores.batches,
        base.sealer.remove,
        clock=clock,
        keep_seconds=settings.batch_keep_days * DAY_S,
    )

    def wake() -> None:
        for listener in listeners:
            listener()

    batches = Batches(
        base.stores.batches,
        ledger,
        uploads,
        make_routes(base, guard),
        base.vault,
        guard,
        intents,
        quota=Quota(settings.batch_rows_a_day, settings.batch_bytes_a_day),
        parquet=find_spec(NEEDED) is not None,
        clock=clock,
        new_id=recorder.new_id,
        wake=wake,
    )
    intake = Intake(ledger, base.sealer, base.vault, run_sandboxed)
    return BatchParts(batches, ledger, intake, listeners)


def make_chunks(base: Foundation, ledger: Ledger, recorder: Recorder, pipeline: Pipeline) -> Chunks:
    """Make what answers one chunk of a batch."""

    def released(tenant: str, event_id: str) -> bool:
        receipt = recorder.find(tenant, event_id)
        try:
            return receipt is not None and (
                base.reader.entry(tenant, receipt.index).event.outcome == "allow"
            )
        except EntryUnknown:  # pruned: what was pruned was an answer that somebody could fetch
            return True

    def signed_in(sign_in: str) -> bool:
        return base.stores.sign_ins.get(sign_in) is not None

    return Chunks(
        ledger,
        base.sealer,
        base.artifacts,
        base.vault,
        pipeline,
        registration=base.revocation_state.look_up,
        signed_in=signed_in,
        released=released,
        random_bytes=base.environment.random_bytes,
    )


def make_runner(
    base: Foundation, parts: BatchParts, recorder: Recorder, pipeline: Pipeline, answer: Answer
) -> BatchRunner:
    """Make what runs batches; it does nothing before `BatchRunner.run`."""

    def busy(batch: Batch) -> bool:
        owner, model = split_shared(batch.model) or (batch.tenant, batch.model)
        waiting = pipeline.models.waiting((owner, model, batch.version))
        return waiting + pipeline.executor.present(batch.tenant) > 0

    runner = BatchRunner(
        base.stores.batches,
        parts.ledger,
        parts.intake,
        answer,
        pipeline.routes,
        recorder,
        rows_left=parts.batches.rows_left,
        busy=busy,
        monotonic=base.environment.monotonic,
    )
    parts.listeners.append(runner.wake)
    return runner
