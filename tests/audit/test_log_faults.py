"""The audit log under a stalled disk, a full queue, a failing store and a missing key."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from audit.errors import (
    AuditUnavailable,
    KeyUnavailable,
)
from audit.event import Event, decode
from audit.log import AuditLog, Limits
from audit.note import LogSigner
from audit.ports import LogStore
from audit.stores.memory import MemoryLogStore
from tests.audit.samples import event, new_log, signer, started, until
from tests.audit.stalling import StallingStore

QUICK = Limits(idle_seconds=0.01)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def bodies(store: LogStore, tenant: str = "acme") -> list[Event]:
    return [decode(row.body or b"") for row in store.entries(tenant, 0, 10_000)]


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
