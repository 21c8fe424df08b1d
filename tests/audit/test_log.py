from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from audit.errors import (
    AuditUnavailable,
    EventConflict,
    EventInvalid,
    LogEmpty,
    SubjectInvalid,
)
from audit.event import PRUNE_ACTION, Event, decode
from audit.log import AuditLog, Receipt
from audit.ports import LogStore, SealedField
from tests.audit.samples import event, new_log, ref, signer, started
from tests.audit.stalling import StallingStore


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


def test_only_a_reference_can_be_erased(store: LogStore) -> None:
    with started(store) as log, pytest.raises(SubjectInvalid):
        log.erase_subject("acme", "somebody@example.org")


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
