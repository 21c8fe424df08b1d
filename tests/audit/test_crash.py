"""Writers are killed in the middle of their work: what was acknowledged is there, and verifies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from audit import verify_folder
from audit.pins import FilePins
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import event, signer, started

TENANTS = ("acme", "globex")
KEYS = [signer(tenant).verifier_key for tenant in TENANTS]

WRITER = """
import asyncio, sys
from pathlib import Path
from audit.log import Limits
from audit.pins import FilePins
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import event, started

folder = Path(sys.argv[1])

async def write(log, tenant):
    while True:
        receipt = await log.append(event(tenant))
        print(tenant, receipt.index, receipt.event_id, flush=True)

async def main(log):
    await asyncio.gather(*(write(log, t) for t in ("acme", "globex") for _ in range(20)))

store = SqliteLogStore(folder / "audit.db")
pins = FilePins(folder / "pins.json")
with started(store, limits=Limits(idle_seconds=0.01), pins=pins) as log:
    asyncio.run(main(log))
"""

KILLED_AFTER = (30, 400, 1_500)
"""Acknowledged events, in each of three lives."""


@pytest.mark.e2e
def test_no_acknowledged_event_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    root = Path(verify_folder.__file__).parents[1]
    acknowledged: dict[tuple[str, int], str] = {}
    for lines in KILLED_AFTER:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            cwd=root,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        with writer.stdout:
            seen = [writer.stdout.readline() for _ in range(lines)]
            writer.kill()
            seen += [line for line in writer.stdout if line.endswith("\n")]
        assert writer.wait() == -9
        for line in seen:
            tenant, index, event_id = line.split()
            assert acknowledged.setdefault((tenant, int(index)), event_id) == event_id
        report = verify_folder.verify_folder(tmp_path, KEYS)
        assert report.status == "VERIFIED", report
    assert len(acknowledged) >= sum(KILLED_AFTER)
    store = SqliteLogStore(tmp_path / "audit.db")
    for (tenant, at), event_id in acknowledged.items():
        (row,) = store.entries(tenant, at, at + 1)
        assert row.event_id == event_id
    with started(store, pins=FilePins(tmp_path / "pins.json")) as log:
        assert log.append_blocking(event()).index > max(i for t, i in acknowledged if t == "acme")
    store.close()
