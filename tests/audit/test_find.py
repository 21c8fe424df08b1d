"""Looking an event up by its id: is it durable, and where?"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import audit.log
from audit.errors import AuditUnavailable, StoreFault
from audit.event import PRUNE_ACTION
from audit.log import Limits
from audit.ports import LogStore
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import event, new_log, started
from tests.audit.stalling import StallingStore

WRITER = """
import os, sys
from pathlib import Path
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import event, started

with started(SqliteLogStore(Path(sys.argv[1]))) as log:
    log.append_blocking(event())
    receipt = log.append_blocking(event())
    print(receipt.event_id, flush=True)
    os._exit(0)
"""


def test_the_receipt_of_an_event_is_found_again(store: LogStore) -> None:
    one, other = event(), event("globex")
    with started(store) as log:
        log.append_blocking(event())
        receipt = log.append_blocking(one)
        there = log.append_blocking(other)
        assert log.find("acme", one.id) == receipt
        assert log.find("globex", other.id) == there
        assert log.find("acme", other.id) is None
        assert log.find("initech", one.id) is None
    assert log.find("acme", one.id) == receipt


@pytest.mark.e2e
def test_an_event_of_an_earlier_process_is_found_before_the_start(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    ended = subprocess.run(
        [sys.executable, "-c", WRITER, str(path)],
        cwd=Path(audit.log.__file__).parents[1],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    store = SqliteLogStore(path)
    found = new_log(store).find("acme", ended.stdout.strip())
    assert str(found) == "log.example/acme/1"
    store.close()


def test_a_refused_event_is_not_found() -> None:
    store, one = StallingStore(), event()
    with started(store, limits=Limits(idle_seconds=30)) as log:
        store.fill_disk()
        with pytest.raises(AuditUnavailable):
            log.append_blocking(one)
        assert log.find("acme", one.id) is None
        store.make_room()
        assert log.append_blocking(one) == log.find("acme", one.id)


def test_an_event_that_is_being_written_is_not_found(tmp_path: Path) -> None:
    """What another connection has written, but not committed, is not durable."""
    store, one = SqliteLogStore(tmp_path / "audit.db"), event()
    with started(store) as log:
        writer = threading.Thread(target=log.append_blocking, args=(one,))
        with store.transaction():  # holds the one place of a writer
            writer.start()
            assert log.find("acme", one.id) is None
        writer.join()
        assert log.find("acme", one.id) is not None
    store.close()


def test_a_pruned_event_is_still_found(store: LogStore) -> None:
    one = event()
    with started(store) as log:
        receipt = log.append_blocking(one)
        log.prune(event(action=PRUNE_ACTION, outcome="done", pruned=((0, 1),)))
        assert log.find("acme", one.id) == receipt


@pytest.mark.parametrize(
    ("tenant", "event_id"),
    [
        ("acme", ""),
        ("acme", "%"),
        ("acme", "\ud800"),
        ("acme", "0" * 10_000),
        ("", "0190a000-0000-7000-8000-000000000000"),
        ("../acme", "0190a000-0000-7000-8000-000000000000"),
        ("\ud800", "0190a000-0000-7000-8000-000000000000"),
    ],
)
def test_what_no_log_can_hold_is_not_found(store: LogStore, tenant: str, event_id: str) -> None:
    with started(store) as log:
        assert log.find(tenant, event_id) is None


def test_a_store_that_cannot_be_read_is_no_absence(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    store = SqliteLogStore(path)
    log = new_log(store)
    store.close()
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(StoreFault):
        log.find("acme", event().id)
