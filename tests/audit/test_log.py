from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.errors import (
    AuditUnavailable,
    EventConflict,
    EventInvalid,
    KeyUnavailable,
    LogEmpty,
    LogRolledBack,
    SubjectInvalid,
)
from audit.event import PRUNE_ACTION, Event, decode
from audit.log import AuditLog, Limits, Receipt
from audit.note import LogSigner
from audit.pins import FilePins
from audit.ports import LogStore, SealedField, TreeState
from audit.stores.memory import MemoryLogStore
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import MemoryPins, event, new_log, ref, signer, started, until
from tests.audit.stalling import StallingStore

QUICK = Limits(idle_seconds=0.01)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def bodies(store: LogStore, tenant: str = "acme") -> list[Event]:
    return [decode(row.body or b"") for row in store.entries(tenant, 0, 10_000)]


def test_an_append_returns_where_the_event_is(store: LogStore) -> None:
    with started(store) as log:
        one = event()
        first = log.append_blocking(one)
        second = log.append_blocking(event())
    assert first == Receipt("log.example/acme", 0, one.id)
    assert str(second) == "log.example/acme/1"
    assert bodies(store)[0] == one


def test_it_is_durable_and_signed_when_the_append_returns(store: LogStore) -> None:
    with started(store) as log:
        for size in (1, 2, 3):
            log.append_blocking(event())
            checkpoint = signer("acme").verifier.open_checkpoint(log.checkpoint("acme"))
            assert checkpoint.size == size
            assert len(store.entries("acme", 0, 10)) == size


def test_many_coroutines_share_a_commit() -> None:
    store = StallingStore()

    async def main(log: AuditLog) -> None:
        store.go.clear()
        first = asyncio.ensure_future(log.append(event()))
        await asyncio.to_thread(store.reached.wait)
        rest = [asyncio.ensure_future(log.append(event())) for _ in range(200)]
        await asyncio.sleep(0)
        store.go.set()
        receipts = await asyncio.gather(first, *rest)
        assert [receipt.index for receipt in receipts] == list(range(201))

    with started(store) as log:
        run(main(log))
    assert store.batches == [{"acme": 1}, {"acme": 200}]


def test_threads_and_loops_append_side_by_side(store: LogStore) -> None:
    receipts: list[Receipt] = []

    async def main(log: AuditLog) -> None:
        receipts.extend(await asyncio.gather(*(log.append(event()) for _ in range(50))))

    with started(store) as log:
        threads = [threading.Thread(target=lambda: run(main(log))) for _ in range(3)]
        for thread in threads:
            thread.start()
        receipts.extend(log.append_blocking(event("globex")) for _ in range(10))
        for thread in threads:
            thread.join()
    assert sorted(r.index for r in receipts if r.origin.endswith("acme")) == list(range(150))
    assert len(bodies(store, "globex")) == 10


def test_the_same_event_again_gets_the_same_receipt(store: LogStore) -> None:
    one = event()
    with started(store) as log:
        first = log.append_blocking(one)
        log.append_blocking(event())
        assert log.append_blocking(one) == first
        with pytest.raises(EventConflict):
            log.append_blocking(event(id=one.id, reason="other"))
        assert log.ready
        assert log.append_blocking(event()).index == 2


def test_a_duplicate_in_a_batch_harms_no_other(store: LogStore) -> None:
    one = event()

    async def main(log: AuditLog) -> None:
        await log.append(one)
        answers = await asyncio.gather(
            log.append(event()),
            log.append(one),
            log.append(event(id=one.id, reason="other")),
            log.append(event("globex")),
            return_exceptions=True,
        )
        assert [getattr(answer, "index", None) for answer in answers] == [1, 0, None, 0]
        assert isinstance(answers[2], EventConflict)

    with started(store) as log:
        run(main(log))


def test_sealed_fields_are_committed_to_in_the_event(store: LogStore) -> None:
    fields = [SealedField(ref(1), b"x" * 40), SealedField(ref(1), b"y" * 40)]
    with started(store) as log:
        log.append_blocking(event(subject_refs=(ref(1),)), fields)
        with pytest.raises(EventInvalid):
            log.append_blocking(event(subject_refs=(ref(2),)), fields)
        with pytest.raises(EventInvalid):
            log.append_blocking(
                event(subject_refs=(ref(1),)), [SealedField(ref(1), bytes(1 << 20))]
            )
    (one,) = bodies(store)
    assert [commit.subject_ref for commit in one.sealed_commit] == [ref(1), ref(1)]
    assert len({commit.sha256 for commit in one.sealed_commit}) == 2
    assert store.sealed("acme", 0) == fields


def test_a_malformed_event_is_told_to_its_caller_only(store: LogStore) -> None:
    with started(store) as log:
        for bad in (event(outcome="maybe"), event("NO"), event(pruned=((0, 1),))):
            with pytest.raises(EventInvalid):
                log.append_blocking(bad)
        assert log.ready
        assert log.append_blocking(event()).index == 0


def test_an_empty_log_has_no_checkpoint(store: LogStore) -> None:
    with started(store) as log, pytest.raises(LogEmpty):
        log.checkpoint("acme")


def test_nothing_is_taken_before_the_start_or_after_the_end(store: LogStore) -> None:
    log = new_log(store)
    with pytest.raises(AuditUnavailable):
        log.append_blocking(event())
    log.start()
    assert log.ready
    log.close()
    assert not log.ready
    with pytest.raises(AuditUnavailable):
        log.append_blocking(event())


def test_closing_writes_what_waits() -> None:
    store = StallingStore()

    async def main() -> None:
        log = new_log(store)
        log.start()
        store.go.clear()
        first = asyncio.ensure_future(log.append(event()))
        await asyncio.to_thread(store.reached.wait)
        rest = [asyncio.ensure_future(log.append(event())) for _ in range(5)]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(asyncio.to_thread(log.close))
        store.go.set()
        assert len(await asyncio.gather(first, *rest)) == 6
        await closing

    run(main())
    assert len(bodies(store)) == 6


def test_a_cancelled_waiter_harms_nobody_and_its_event_stays() -> None:
    store = StallingStore()

    async def main(log: AuditLog) -> None:
        store.go.clear()
        first = asyncio.ensure_future(log.append(event()))
        await asyncio.to_thread(store.reached.wait)
        gone, stays = (asyncio.ensure_future(log.append(event())) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        gone.cancel()
        store.go.set()
        assert (await stays).index == 2
        assert first.cancelled()
        assert gone.cancelled()

    with started(store) as log:
        run(main(log))
        assert log.ready
    assert len(bodies(store)) == 3


def test_a_loop_that_is_gone_harms_nobody() -> None:
    store = StallingStore()

    async def leave(log: AuditLog) -> None:
        store.go.clear()
        waiting = asyncio.ensure_future(log.append(event()))
        await asyncio.to_thread(store.reached.wait)
        waiting.cancel()

    with started(store) as log:
        run(leave(log))
        store.go.set()
        assert log.append_blocking(event()).index == 1


def test_a_stalled_disk_refuses_at_the_deadline() -> None:
    store = StallingStore()

    async def main(log: AuditLog) -> None:
        store.go.clear()
        answers = await asyncio.gather(
            *(log.append(event()) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(answer, AuditUnavailable) for answer in answers)

    with started(store, limits=Limits(deadline_seconds=0.05)) as log:
        run(main(log))
        with pytest.raises(AuditUnavailable):
            log.append_blocking(event())
        store.go.set()
        until(lambda: len(bodies(store)) == 4)


def test_a_log_that_hangs_in_the_disk_is_not_ready() -> None:
    store, now = StallingStore(), [0.0]
    log = new_log(store, clock=lambda: now[0])
    log.start()
    store.go.clear()
    writer = threading.Thread(target=lambda: log.append_blocking(event()))
    writer.start()
    store.reached.wait()
    assert log.ready
    now[0] = 6.0
    assert not log.ready
    store.go.set()
    writer.join()
    until(lambda: log.ready)
    log.close()


def test_only_a_reference_can_be_erased(store: LogStore) -> None:
    with started(store) as log, pytest.raises(SubjectInvalid):
        log.erase_subject("acme", "somebody@example.org")


def test_a_full_queue_refuses_at_once_and_the_count_is_recorded() -> None:
    store = StallingStore()
    limits = replace(QUICK, queue_events=4, tenant_events=4, reserved_events=1)

    async def main(log: AuditLog) -> None:
        store.go.clear()
        first = asyncio.ensure_future(log.append(event()))
        await asyncio.to_thread(store.reached.wait)
        waiting = [asyncio.ensure_future(log.append(event())) for _ in range(4)]
        await asyncio.sleep(0)
        assert log.waiting == 4
        for _ in range(3):
            with pytest.raises(AuditUnavailable):
                await log.append(event())
        other = asyncio.ensure_future(log.append(event("globex")))
        await asyncio.sleep(0)
        store.go.set()
        assert (await other).index == 0
        await asyncio.gather(first, *waiting)

    with started(store, limits=limits) as log:
        run(main(log))
        assert log.refused == 3
        until(lambda: store.tree("platform") is not None)
    (gap,) = bodies(store, "platform")
    assert (gap.action, gap.n_in) == ("recordGap", 3)


def test_a_refused_append_leaves_nothing_behind_on_its_loop() -> None:
    complaints: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        log = new_log(MemoryLogStore(), limits=Limits(deadline_seconds=0.01))
        with pytest.raises(AuditUnavailable):
            await log.append(event())
        passed = loop.create_future()
        loop.call_later(0.03, passed.set_result, None)
        await passed

    run(main())
    gc.collect()
    assert complaints == []


def test_one_tenant_cannot_starve_another() -> None:
    store = StallingStore()
    limits = Limits(tenant_events=1_000, batch_events=10)

    async def main(log: AuditLog) -> None:
        store.go.clear()
        first = asyncio.ensure_future(log.append(event("loud")))
        await asyncio.to_thread(store.reached.wait)
        flood = [asyncio.ensure_future(log.append(event("loud"))) for _ in range(300)]
        quiet = asyncio.ensure_future(log.append(event("quiet")))
        await asyncio.sleep(0)
        store.go.set()
        await asyncio.gather(first, quiet, *flood)

    with started(store, limits=limits) as log:
        run(main(log))
    assert store.batches[1].get("quiet") == 1


def test_a_failing_store_refuses_and_recovers_with_whole_batches() -> None:
    store = StallingStore()

    async def refused(log: AuditLog) -> None:
        answers = await asyncio.gather(
            *(log.append(event(t)) for t in ("acme", "globex")), return_exceptions=True
        )
        assert all(isinstance(answer, AuditUnavailable) for answer in answers)

    with started(store, limits=QUICK) as log:
        log.append_blocking(event())
        store.fill_disk()
        run(refused(log))
        assert not log.ready
        assert store.tree("globex") is None
        assert len(bodies(store)) == 1
        store.make_room()
        until(lambda: log.ready)
        until(lambda: store.tree("platform") is not None)
        assert log.append_blocking(event()).index == 1
    assert bodies(store, "platform")[0].n_in == 2


def test_a_retry_after_a_fault_is_enough_to_recover() -> None:
    store = StallingStore()
    with started(store, limits=Limits(idle_seconds=30)) as log:
        one = event()
        store.fill_disk()
        with pytest.raises(AuditUnavailable):
            log.append_blocking(one)
        store.make_room()
        assert log.append_blocking(one).index == 0
        assert log.ready


def test_a_fault_that_is_not_the_stores_ends_the_signing() -> None:
    store = StallingStore()
    with started(store, limits=QUICK) as log:
        store.fault = ZeroDivisionError()
        with pytest.raises(AuditUnavailable):
            log.append_blocking(event())
        store.make_room()
        assert not log.ready
        with pytest.raises(AuditUnavailable):
            log.append_blocking(event())
    assert store.tree("acme") is None


def test_a_store_that_went_back_under_a_running_log_ends_the_signing() -> None:
    store = MemoryLogStore()
    with started(store) as log:
        log.append_blocking(event())
        old = store._trees["acme"].copy()
        log.append_blocking(event())
        store._trees["acme"] = old
        with pytest.raises(AuditUnavailable):
            log.append_blocking(event())
        assert not log.ready


def test_a_key_that_is_gone_is_told_to_its_tenant_only() -> None:
    def signers(tenant: str) -> LogSigner:
        if tenant == "gone":
            raise KeyUnavailable
        return signer(tenant)

    log = AuditLog(MemoryLogStore(), signers, clock=lambda: 0.0, random_bytes=bytes)
    log.start()
    with pytest.raises(KeyUnavailable):
        log.append_blocking(event("gone"))
    assert log.append_blocking(event()).index == 0
    log.close()


def test_the_log_goes_on_after_a_restart(store: LogStore) -> None:
    pins = MemoryPins()
    for first in (0, 300, 600):
        with started(store, pins=pins) as log:
            assert log.append_blocking(event()).index == first
            for _ in range(299):
                log.append_blocking(event())
    assert signer("acme").verifier.open_checkpoint(pins.notes["log.example/acme"]).size == 900


def test_a_log_that_was_rolled_back_does_not_start(tmp_path: Path) -> None:
    path, copy, pins = tmp_path / "audit.db", tmp_path / "copy.db", FilePins(tmp_path / "pins")
    for number in range(2):
        store = SqliteLogStore(path)
        with started(store, pins=pins) as log:
            log.append_blocking(event())
        store.close()
        if number == 0:
            copy.write_bytes(path.read_bytes())
    path.write_bytes(copy.read_bytes())
    store = SqliteLogStore(path)
    with pytest.raises(LogRolledBack):
        new_log(store, pins=pins).start()
    store.close()


def test_a_log_with_another_past_does_not_start() -> None:
    pins, store, other = MemoryPins(), MemoryLogStore(), MemoryLogStore()
    with started(store, pins=pins) as log:
        log.append_blocking(event())
    with started(other) as log:
        log.append_blocking(event())
        log.append_blocking(event())
    with pytest.raises(LogRolledBack):
        new_log(other, pins=pins).start()
    with pytest.raises(LogRolledBack):
        new_log(MemoryLogStore(), pins=pins).start()


@pytest.mark.parametrize("change", ["size", "frontier", "note"])
def test_a_head_that_contradicts_itself_does_not_start(change: str) -> None:
    store = MemoryLogStore()
    with started(store) as log:
        for _ in range(4):
            log.append_blocking(event())
    state = store._trees["acme"].state
    forged = {
        "size": TreeState(8, state.frontier, state.note),
        "frontier": TreeState(4, bytes(32), state.note),
        "note": TreeState(4, state.frontier, signer("globex").checkpoint(4, state.frontier)),
    }
    store._trees["acme"].state = forged[change]
    with pytest.raises(LogRolledBack):
        new_log(store).start()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"log.example/acme": "x"}', b"\xff"])
def test_pins_that_cannot_be_understood_do_not_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pins").write_bytes(content)
    store = MemoryLogStore()
    with started(store) as log:
        log.append_blocking(event())
    with pytest.raises(LogRolledBack):
        new_log(store, pins=FilePins(tmp_path / "pins")).start()


def test_heads_are_pinned_while_the_log_runs() -> None:
    pins = MemoryPins()
    with started(MemoryLogStore(), limits=QUICK, pins=pins) as log:
        log.append_blocking(event())
        until(lambda: "log.example/acme" in pins.notes)


def test_pruning_records_first_and_deletes_what_lies_before_it(store: LogStore) -> None:
    with started(store) as log:
        for _ in range(4):
            log.append_blocking(event())
        receipt = log.prune(event(action=PRUNE_ACTION, outcome="done", pruned=((1, 3), (3, 99))))
        with pytest.raises(EventInvalid):
            log.prune(event())
    assert receipt.index == 4
    kept = [row.index for row in store.entries("acme", 0, 10) if row.body is not None]
    assert kept == [0, 4]
