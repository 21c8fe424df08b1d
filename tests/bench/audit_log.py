"""What an event costs in the audit log alone: `python -m tests.bench.audit_log`.

Each connection appends its next event when the last one is durable. The process has one core; what
is printed is its processor time an event, the making of the event and the event loop included, and
beside it the floor: a hand-over to a thread, a signature and a sync of a file, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.event import Event, Screening, new_event_id
from audit.log import AuditLog
from audit.note import LogSigner
from audit.stores.sqlite import SqliteLogStore

CORE = 1
WARM_EVENTS = 8_000
"""Until the write-ahead log has its size: a file that grows costs more to sync."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.audit_log", description=__doc__)
    parser.add_argument("--events", type=int, default=3_000, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", default=None, help="on which disk")
    options = parser.parse_args()
    os.sched_setaffinity(0, {CORE})
    key = Ed25519PrivateKey.generate()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        store = SqliteLogStore(Path(folder) / "audit.db")
        log = AuditLog(
            store,
            lambda tenant: LogSigner(f"bench/{tenant}", key),
            clock=time.time,
            random_bytes=os.urandom,
        )
        log.start()

        async def append() -> None:
            await log.append(an_event())

        asyncio.run(_load(append, 32, WARM_EVENTS))
        for many in (1, 8, 32):
            spent = [_spent(append, many, options.events) for _ in range(options.rounds)]
            _show(f"c={many}", spent)
        log.close()
        store.close()
        _show("floor, c=1", _floor(Path(folder) / "floor", key, options.events, options.rounds))


def an_event() -> Event:
    """Return an event as an inference leaves it."""
    return Event(
        id=new_event_id(time.time, os.urandom),
        ts=time.time_ns(),
        tenant="clinic",
        category="inference",
        action="releaseOutput",
        outcome="allow",
        actor_ref="clinic-app",
        actor_type="service",
        client_id="clinic-app",
        auth_method="none",
        policy_ids=("platform/a", "clinic/b", "platform/c", "clinic/d"),
        policy_epoch=3,
        purpose="diagnosis",
        resource="ModelVersion::clinic/risk/1",
        model_id="risk",
        model_version="1",
        region="eu",
        request_id="01900000-0000-7000-8000-000000000000",
        latency_us=1000,
        n_in=621,
        input_commit="ab" * 32,
        screening=Screening(profile="ab" * 32, bucket="clean"),
        gateway_id="gateway",
        boot_id="0123456789abcdef",
    )


async def _load(call: Callable[[], Awaitable[None]], many: int, events: int) -> None:
    async def one() -> None:
        for _ in range(events // many):
            await call()

    await asyncio.gather(*(one() for _ in range(many)))


def _spent(call: Callable[[], Awaitable[None]], many: int, events: int) -> float:
    """Return the processor microseconds of an event."""
    before = time.process_time()
    asyncio.run(_load(call, many, events))
    return (time.process_time() - before) / events * 1e6


def _floor(path: Path, key: Ed25519PrivateKey, events: int, rounds: int) -> list[float]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(file, bytes(4 << 20), 0)
    os.fsync(file)
    waiting: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None]
    waiting = SimpleQueue()

    def write() -> None:
        at = 0
        while (waiter := waiting.get()) is not None:
            key.sign(bytes(100))
            os.pwrite(file, bytes(1200), at % (4 << 20))
            os.fdatasync(file)
            at += 1200
            waiter[0].call_soon_threadsafe(waiter[1].set_result, None)

    async def call() -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        waiting.put((loop, future))
        await future

    writer = Thread(target=write)
    writer.start()
    spent = [_spent(call, 1, events) for _ in range(rounds)]
    waiting.put(None)
    writer.join()
    os.close(file)
    return spent


def _show(name: str, spent: list[float]) -> None:
    least, middle = min(spent), statistics.median(spent)
    print(f"{name:12} {middle:6.0f} µs an event (least {least:.0f})")


if __name__ == "__main__":
    main()
