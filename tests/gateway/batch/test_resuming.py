"""What a job does that was cut off, or whose surroundings failed or changed under it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from audit.errors import AuditUnavailable
from gateway.batch.records import Batch, Part
from gateway.engine.errors import EngineFailed
from gateway.errors import NotFound
from tests.gateway.inference.works import CLEAN
from tests.gateway.parts import TENANT, call

from .desk import Desk, desk, lines


@pytest.fixture
def counter() -> Iterator[Desk]:
    with desk(chunk_rows=4) as made:
        made.shop.publish()
        yield made


class CutOff:
    """Lets a ledger make parts readable no more, as when the process was killed there."""

    def __init__(self, desk: Desk) -> None:
        self._ledger = desk.parts.ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def ready(self, batch: Batch, part: Part) -> None:
        raise KeyboardInterrupt


def answered_and_cut_off(desk: Desk, batch: Batch) -> Part:
    """Take the rows in and answer the first chunk, up to where its result becomes readable."""
    runner = desk.runner()
    asyncio.run(runner._take_in(batch))
    chunks = desk.chunks(CutOff(desk))
    running, part = desk.stored(batch), desk.kept(batch)[0]
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(chunks.answer(running, part))
    (kept, _) = desk.kept(batch)
    assert kept.state == "kept"
    return kept


def test_what_was_released_before_a_kill_is_not_asked_again(counter: Desk) -> None:
    batch = counter.start(lines(CLEAN))
    kept = answered_and_cut_off(counter, batch)
    with pytest.raises(NotFound):
        counter.batches.fetch(call("caller"), batch.id, 0)
    asyncio.run(counter.run(batch))
    released = counter.events(action="releaseOutput", outcome="allow")
    assert len(released) == 2
    assert released[0]["id"] == kept.event
    assert counter.kept(batch)[0].digest == kept.digest
    assert sorted(counter.answers(counter.stored(batch))) == list(range(8))


def test_what_was_not_released_before_a_kill_is_asked_anew(counter: Desk) -> None:
    batch = counter.start(lines(CLEAN))
    kept = answered_and_cut_off(counter, batch)
    lost = replace(kept, event="018bcfe5-6800-7000-8000-ffffffffffff")
    counter.shop.house.stores.batches.put_part(lost)
    asyncio.run(counter.run(batch))
    assert counter.kept(batch)[0].event != lost.event
    assert not counter.shop.store.exists(kept.digest)
    assert sorted(counter.answers(counter.stored(batch))) == list(range(8))


def test_a_recorded_refusal_is_no_release(counter: Desk) -> None:
    batch = counter.start(lines(CLEAN))
    kept = answered_and_cut_off(counter, batch)
    with pytest.raises(NotFound):
        counter.batches.find(call("caller"), "absent")
    refused = counter.shop.house.recorder.event_for(
        call("caller").principal, "infer", "error", reason="internal"
    )
    counter.shop.house.recorder.write(refused)
    counter.shop.house.stores.batches.put_part(replace(kept, event=refused.id))
    asyncio.run(counter.run(batch))
    assert counter.kept(batch)[0].event != refused.id
    assert sorted(counter.answers(counter.stored(batch))) == list(range(8))


class NoEvidence:
    """A log that takes no record for a while."""

    def __init__(self, desk: Desk, times: int) -> None:
        self._log, self.left = desk.shop.house.log, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, *given: Any) -> Any:
        if self.left:
            self.left -= 1
            raise AuditUnavailable
        return await self._log.append(*given)


def test_without_evidence_nothing_is_readable_and_the_job_waits(counter: Desk) -> None:
    log = NoEvidence(counter, 1)
    counter.shop.log = log  # type: ignore[assignment]
    batch = counter.start(lines(CLEAN))
    runner = counter.runner()
    asyncio.run(runner._take_in(batch))
    running = counter.stored(batch)
    with pytest.raises(AuditUnavailable):
        asyncio.run(runner._go_on(running))
    assert counter.kept(batch)[0].state == "kept"
    with pytest.raises(NotFound):
        counter.batches.fetch(call("caller"), batch.id, 0)
    asyncio.run(counter.run(batch))
    assert counter.stored(batch).state == "finished"
    assert len(counter.events(action="releaseOutput", outcome="allow")) == 2


def test_who_was_erased_meanwhile_is_in_no_result(counter: Desk) -> None:
    names = [f"MRN-{number}" for number in range(8)]
    batch = counter.start(lines(CLEAN, sealgate_subject=names))
    asyncio.run(counter.runner()._take_in(batch))
    ref = counter.shop.vault.find(TENANT, "MRN-5")
    assert ref is not None
    counter.shop.house.use.subjects.erase(call("officer"), ref, ref)
    asyncio.run(counter.run(batch))
    assert [part.state for part in counter.kept(batch)] == ["ready", "erased"]
    assert sorted(counter.answers(counter.stored(batch))) == [0, 1, 2, 3]
    assert counter.shop.vault.find(TENANT, "MRN-5") is None


def test_a_row_about_who_was_erased_as_its_turn_came_is_not_asked(counter: Desk) -> None:
    names = [f"MRN-{number}" for number in range(8)]
    batch = counter.start(lines(CLEAN, sealgate_subject=names))
    asyncio.run(counter.runner()._take_in(batch))
    ref = counter.shop.vault.find(TENANT, "MRN-5")
    assert ref is not None
    counter.shop.vault.erase(TENANT, ref)
    asyncio.run(counter.run(batch))
    assert counter.answers(counter.stored(batch))[5] == "subject_erased"
    assert counter.shop.vault.find(TENANT, "MRN-5") is None


def test_results_about_who_is_erased_are_gone(counter: Desk) -> None:
    names = [f"MRN-{number}" for number in range(8)]
    batch = counter.done(lines(CLEAN, sealgate_subject=names))
    digests = [part.digest for part in counter.kept(batch)]
    ref = counter.shop.vault.find(TENANT, "MRN-1")
    assert ref is not None
    counter.shop.house.use.subjects.erase(call("officer"), ref, ref)
    assert [counter.shop.store.exists(digest) for digest in digests] == [False, True]
    with pytest.raises(NotFound):
        counter.batches.fetch(call("caller"), batch.id, 0)
    assert [part.state for part in counter.kept(batch)] == ["erased", "ready"]


def test_a_job_about_one_erased_person_stops(counter: Desk) -> None:
    batch = counter.start(lines(CLEAN), subject="MRN-1")
    runner = counter.runner()
    asyncio.run(runner._take_in(batch))
    counter.shop.vault.erase(TENANT, batch.subject_ref)
    asyncio.run(counter.run(batch))
    stopped = counter.stored(batch)
    assert (stopped.state, stopped.reason) == ("stopped", "subject_erased")


def test_tenants_take_turns(counter: Desk) -> None:
    counter.shop.publish(tenant="rival")
    counter.shop.client("caller", "rival")
    many, few = np.concatenate([CLEAN] * 4), CLEAN
    mine = [counter.start(lines(many)), counter.start(lines(many))]
    theirs = counter.start(lines(few), by=call("caller", "rival"))
    asyncio.run(counter.run(*mine, theirs))
    asked = [
        (entry.event.ts, entry.event.tenant)
        for tenant in (TENANT, "rival")
        for entry in counter.shop.house.reader.events(tenant, limit=100)
        if entry.event.action == "finishBatch"
    ]
    assert len(asked) == 3
    turns = counter.turns
    last_of_theirs = max(at for at, tenant in enumerate(turns) if tenant == "rival")
    assert last_of_theirs <= 6, turns


def test_expired_results_are_thrown_away(counter: Desk) -> None:
    batch = counter.done(lines(CLEAN))
    ledger, store = counter.parts.ledger, counter.shop.house.stores.batches
    assert ledger.sweep() == 0
    store.replace_batch(replace(counter.stored(batch), expires=0))
    digests = [part.digest for part in counter.kept(batch)]
    assert ledger.sweep() == 1
    assert store.get_batch(TENANT, batch.id) is None
    assert not any(counter.shop.store.exists(digest) for digest in digests)


def test_a_job_that_goes_on_does_not_expire(counter: Desk) -> None:
    batch = counter.start(lines(CLEAN))
    counter.shop.house.stores.batches.replace_batch(replace(batch, expires=0))
    assert counter.parts.ledger.sweep() == 0
    asyncio.run(counter.run(batch))
    assert counter.stored(batch).expires > 0


class Failing:
    """Models whose engine ends in the middle of a run, a few times."""

    def __init__(self, desk: Desk, times: int) -> None:
        self._models, self.left = desk.shop.models, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._models, name)

    async def run(self, *given: Any) -> Any:
        if self.left:
            self.left -= 1
            raise EngineFailed
        return await self._models.run(*given)


@pytest.mark.parametrize(("times", "reasons"), [(1, set()), (2, {"engine_failed"})])
def test_a_chunk_whose_engine_ended_is_asked_once_more(
    counter: Desk, times: int, reasons: set[str]
) -> None:
    batch = counter.start(lines(CLEAN))
    asyncio.run(counter.runner()._take_in(batch))
    chunks = counter.chunks(counter.parts.ledger)
    models: Any = Failing(counter, times)
    chunks._pipeline = replace(counter.shop.pipeline, models=models)
    running, part = counter.stored(batch), counter.kept(batch)[0]
    with pytest.raises(EngineFailed):
        asyncio.run(chunks.answer(running, part))
    assert counter.kept(batch)[0].state == "waiting"
    asyncio.run(chunks.answer(running, part))
    result = counter.result(batch, 0)
    assert set(result["refused_reason"].tolist()) == reasons
