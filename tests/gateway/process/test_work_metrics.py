"""Metrics of jobs, batches and federations: what is under way, and what nobody knows."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.federation.coordinator import RunEvent
from gateway.federation.records import Run, Site
from gateway.federation.watching import CONNECTED_SECONDS, MAX_KEPT, Watching
from gateway.log_sink import LogSink
from gateway.process.work_metrics import FRESH_SECONDS, Stored, WorkMetrics
from gateway.request_lines import RequestLines
from gateway.storage.errors import StorageUnavailable
from gateway.storage.memory_batches import MemoryBatchStore
from gateway.storage.memory_federation import MemoryFederationStore
from gateway.work.jobs import Jobs
from tests.contracts.samples import BATCH

NORTH, SOUTH = (Site("acme", name, f"key {name}", "1", 1) for name in ("north", "south"))
RUN = Run("run1", "acme", "lungs", "2.0", 3, "starting", 1_000, "convenor", "care")


class Down(MemoryBatchStore):
    """A store that is gone."""

    def unfinished_batches(self, *, after: str, limit: int) -> Any:
        raise StorageUnavailable


class Desk:
    def __init__(self, batches: MemoryBatchStore | None = None) -> None:
        self.now = 1_000.0
        self.batches = batches or MemoryBatchStore()
        self.federations = MemoryFederationStore()
        self.watching = Watching(self.clock)
        self.stored = Stored(self.batches, self.federations, self.clock, self.clock)
        self.ended: Counter[str] = Counter()
        self.sink = LogSink()
        self.lines = RequestLines(lambda _: None, clock=self.clock, monotonic=self.clock)
        self.jobs = Jobs(ThreadPoolExecutor(1), lambda: "id", self.clock)
        self.registry = CollectorRegistry()
        self.registry.register(
            WorkMetrics(
                self.jobs, lambda: self.ended, self.stored, self.watching, self.sink, self.lines
            )
        )

    def clock(self) -> float:
        return self.now

    def told(self) -> dict[str, float]:
        return {
            f"{sample.name}{','.join(sample.labels.values()) and ':'}"
            f"{','.join(sample.labels.values())}": sample.value
            for family in text_string_to_metric_families(generate_latest(self.registry).decode())
            for sample in family.samples
        }


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_batches_that_wait_and_run_are_told_with_the_age_of_the_oldest(desk: Desk) -> None:
    for number, (state, created) in enumerate((("queued", 900), ("running", 800), ("failed", 1))):
        made = replace(BATCH, id=f"b{number}", created=created)
        desk.batches.add_batch(replace(made, state=state))  # type: ignore[arg-type]
    desk.ended["failed"] += 1
    desk.stored.look()
    told = desk.told()
    assert told["sealgate_jobs:batch,waiting"] == 1
    assert told["sealgate_jobs:batch,running"] == 1
    assert told["sealgate_job_oldest_seconds:batch"] == 200
    assert told["sealgate_jobs_ended_total:batch,failed"] == 1
    assert told["sealgate_jobs:publish,running"] == 0


def test_figures_that_are_old_are_not_told(desk: Desk) -> None:
    assert "sealgate_jobs:batch,running" not in desk.told(), "nobody has looked yet"
    desk.stored.look()
    assert desk.told()["sealgate_federation_runs:running"] == 0
    desk.now += FRESH_SECONDS
    told = desk.told()
    assert not any(
        name.startswith(("sealgate_jobs:batch", "sealgate_federation_runs")) for name in told
    )
    assert told["sealgate_jobs:publish,waiting"] == 0, "the process knows its own"


def test_metrics_are_told_whatever_the_database_does() -> None:
    desk = Desk(Down())
    with pytest.raises(StorageUnavailable):
        desk.stored.look()
    assert "sealgate_jobs:publish,running" in desk.told()


def test_runs_are_told_by_state_with_the_age_of_the_oldest(desk: Desk) -> None:
    desk.federations.add_run(RUN)
    desk.federations.add_run(replace(RUN, id="run2", state="running", started=400))
    desk.federations.add_run(replace(RUN, id="run3", state="failed", started=1))
    desk.stored.look()
    told = desk.told()
    assert told["sealgate_federation_runs:starting"] == 1
    assert told["sealgate_federation_runs:running"] == 1
    assert told["sealgate_federation_runs:publishing"] == 0
    assert told["sealgate_federation_run_oldest_seconds:lungs,acme"] == 600


def test_a_site_is_connected_while_it_calls(desk: Desk) -> None:
    desk.watching.contact(NORTH)
    desk.now += CONNECTED_SECONDS
    desk.watching.contact(SOUTH)
    assert desk.told()["sealgate_federation_sites_connected"] == 2
    desk.now += 1
    told = desk.told()
    assert told["sealgate_federation_sites_connected"] == 1
    assert told["sealgate_federation_site_contact_timestamp_seconds:north,acme"] == 1_000
    assert told["sealgate_federation_site_contact_timestamp_seconds:south,acme"] == 1_090


def test_steps_are_counted_and_the_last_round_is_dated(desk: Desk) -> None:
    for number, step in enumerate(("round_started", "site_result", "site_result")):
        desk.watching.step(RUN, RunEvent(number, step))  # type: ignore[arg-type]
    assert not any("round_timestamp" in name for name in desk.told())
    desk.now = 2_000.0
    desk.watching.step(RUN, RunEvent(4, "round_aggregated"))
    told = desk.told()
    assert told["sealgate_federation_steps_total:site_result"] == 2
    assert told["sealgate_federation_round_timestamp_seconds:lungs,acme"] == 2_000


def test_what_is_kept_of_sites_is_bounded(desk: Desk) -> None:
    for number in range(MAX_KEPT + 5):
        desk.watching.contact(replace(NORTH, name=f"site{number}"))
        desk.watching.contact(NORTH)
    contacts = desk.watching.contacts
    assert len(contacts) == MAX_KEPT
    assert ("acme", "north") in contacts
    assert ("acme", "site0") not in contacts


def test_lines_that_were_lost_are_counted_by_why(desk: Desk) -> None:
    desk.sink._lost, desk.lines.left_out = 2, 3
    told = desk.told()
    assert told["sealgate_log_lines_lost_total:write_failed"] == 2
    assert told["sealgate_log_lines_lost_total:bound"] == 3
