"""One instant of several files that others write."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from gateway.backup.errors import BackupRefused
from gateway.backup.instant import Instant

FILES = ("audit.db", "subjects.db", "control.db")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name in FILES:
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, filler BLOB)")
            connection.commit()
    return {name: tmp_path / name for name in FILES}


@pytest.fixture
def instant(files: dict[str, Path], tmp_path: Path) -> Iterator[Instant]:
    made = Instant(files, tmp_path / "lock")
    yield made
    made.close()


def add(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        connection.execute("INSERT INTO t VALUES (?, zeroblob(3000))", (number,))
        connection.commit()


def count(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def test_files_that_are_written_in_turn_are_copied_at_one_instant(
    files: dict[str, Path], instant: Instant, tmp_path: Path
) -> None:
    """The writer puts each number into every file, in order: no instant has it in a later one."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for path in files.values():
                add(path, number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(10):
            with instant.hold():
                pass
            counts: list[int] = []
            for name in reversed(FILES):  # the order of copying does not matter
                instant.copy(name, tmp_path / f"{turn}-{name}", lambda _: None)
                counts.insert(0, count(tmp_path / f"{turn}-{name}"))
            first, second, third = counts
            assert first >= second >= third >= first - 1, counts
    finally:
        stop.set()
        writer.join()


def test_nothing_is_committed_while_it_is_held_and_writers_go_on_after_it(
    files: dict[str, Path], instant: Instant
) -> None:
    waiting = [threading.Thread(target=add, args=(path, 1)) for path in files.values()]
    with instant.hold():
        for thread in waiting:
            thread.start()
        for path in files.values():
            with closing(sqlite3.connect(path, timeout=0)) as connection:
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    connection.execute("INSERT INTO t VALUES (2, '')")
                assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    for thread in waiting:
        thread.join()
    assert [instant.size(name) > 0 for name in FILES] == [True] * 3
    for path in files.values():
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_lock_of_the_keystore_is_waited_for_without_holding_the_others(
    files: dict[str, Path], instant: Instant, tmp_path: Path
) -> None:
    held = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    entered = threading.Event()

    def hold() -> None:
        with instant.hold():
            entered.set()
        instant.close()

    thread = threading.Thread(target=hold)
    thread.start()
    for number in range(20):
        add(files["audit.db"], number)
    assert not entered.is_set()
    os.close(held)
    thread.join()
    assert entered.is_set()


def test_what_is_locked_for_good_is_told(files: dict[str, Path], instant: Instant) -> None:
    ticks = iter(range(0, 10_000, 30))
    with closing(sqlite3.connect(files["audit.db"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackupRefused, match="locked"), instant.hold(lambda: next(ticks)):
            pass


@pytest.mark.parametrize("content", [b"", b"no database at all, " * 300])
def test_a_file_that_is_none_is_told(
    files: dict[str, Path], instant: Instant, content: bytes
) -> None:
    files["control.db"].unlink()
    if content:
        files["control.db"].write_bytes(content)
    with pytest.raises(BackupRefused, match=r"control\.db"), instant.hold():
        pass


def test_nothing_is_left_open_after_a_failure(files: dict[str, Path], tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    files["control.db"].unlink()
    failed = Instant(files, tmp_path / "lock")
    with suppress(BackupRefused), failed.hold():
        pass
    failed.close()
    assert len(os.listdir("/proc/self/fd")) <= before
