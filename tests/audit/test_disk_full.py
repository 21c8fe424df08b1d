"""A store that has no room refuses, half applies nothing, and takes events again when it has."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from audit import verify_folder
from audit.errors import AuditUnavailable, StoreFault
from audit.log import Limits
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import event, signer, started

KEYS = [signer("acme").verifier_key, signer("platform").verifier_key]
QUICK = Limits(idle_seconds=0.01, settle_events=1)
"""With every event settled at once, nothing is left whose settling would make room."""


def test_a_full_file_refuses_and_recovers_with_room(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    store = SqliteLogStore(path, max_bytes=300_000)
    acknowledged, refused = [], []
    with started(store, limits=QUICK) as log:
        for _ in range(400):
            one = event(reason="x" * 500)
            try:
                acknowledged.append(log.append_blocking(one))
            except AuditUnavailable:
                refused.append(one)
                break
        assert refused
        assert not log.ready
        with pytest.raises(AuditUnavailable):
            log.append_blocking(event(reason="x" * 500))
        state = store.tree("acme")
        assert state is not None
        assert state.size == len(acknowledged) == len(store.entries("acme", 0, 1_000))
        store.limit(None)
        pause = threading.Event()
        for _ in range(1_000):
            if log.ready:
                break
            pause.wait(0.01)
        assert log.ready
        receipts = [log.append_blocking(one) for one in refused]
        assert [r.index for r in receipts] == [len(acknowledged)]
    store.close()
    report = verify_folder.verify_folder(path, KEYS)
    assert report.status == "VERIFIED"
    assert {tree.origin: tree.size for tree in report.trees} == {
        "log.example/acme": len(acknowledged) + 1,
        "log.example/platform": 1,
    }


WRITER = """
import resource, signal, sys
from pathlib import Path
from audit.errors import AuditUnavailable
from audit.log import Limits
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import event, started

store = SqliteLogStore(Path(sys.argv[1]))
with started(store, limits=Limits(idle_seconds=0.01)) as log:
    log.append_blocking(event())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard))
    done = 1
    try:
        for _ in range(400):
            log.append_blocking(event(reason="x" * 500))
            done += 1
    except AuditUnavailable:
        assert not log.ready
    else:
        raise SystemExit("the limit was never met")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert log.append_blocking(event()).index >= done
store.close()
"""


@pytest.mark.e2e
def test_a_write_that_the_system_refuses_is_survived(tmp_path: Path) -> None:
    """The operating system itself says no, in the middle of the write-ahead log."""
    path = tmp_path / "audit.db"
    root = Path(verify_folder.__file__).parents[1]
    subprocess.run([sys.executable, "-c", WRITER, str(path)], cwd=root, check=True, timeout=60)
    assert verify_folder.verify_folder(path, KEYS).status == "VERIFIED"


def test_a_file_that_cannot_be_made_is_a_store_fault(tmp_path: Path) -> None:
    with pytest.raises(StoreFault):
        SqliteLogStore(tmp_path / "nowhere" / "audit.db")
    (tmp_path / "text").write_text("this is no database, and long enough to be seen as none")
    with pytest.raises(StoreFault):
        SqliteLogStore(tmp_path / "text")


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    store = SqliteLogStore(path)
    with store._file.writing() as connection:
        connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreFault):
        SqliteLogStore(path)


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    store = SqliteLogStore(tmp_path / "audit.db")
    with started(store) as log:
        log.append_blocking(event())
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0
    store.close()


def test_a_probe_that_was_left_half_way_hinders_no_later_one(tmp_path: Path) -> None:
    """A full disk once took the probe's row and refused its removal: no probe passed again."""
    store = SqliteLogStore(tmp_path / "audit.db")
    with store._file.writing() as connection:
        connection.execute("INSERT INTO probe VALUES (1, X'00')")
    store.probe()
    store.close()
