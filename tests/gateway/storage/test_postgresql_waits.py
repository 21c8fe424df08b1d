"""A PostgreSQL server that hangs is given up in time, and used again when it is well."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator

import psycopg
import pytest

from gateway.storage.database import _MIGRATION_LOCK, Database, open_database
from gateway.storage.errors import StorageUnavailable
from gateway.storage.postgresql_waits import until
from tests.contracts.backends import postgresql_server
from tests.gateway.storage.stopping_proxy import StoppingProxy, stopping_proxy

PATIENCE = 1.0


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoppingProxy, str]]:
    folder = tmp_path_factory.mktemp("postgresql")
    with postgresql_server(folder) as url, stopping_proxy(url) as found:
        yield found


def ask(database: Database) -> object:
    with database.reading() as connection:
        return connection.exec_driver_sql("SELECT 1").scalar()


@pytest.mark.e2e
def test_a_statement_that_nobody_answers_ends_and_the_next_connection_is_a_new_one(
    proxied: tuple[StoppingProxy, str],
) -> None:
    """It waited for ever: the server's own deadline is of no use where the server hangs."""
    proxy, url = proxied
    database = open_database(url, PATIENCE)
    assert ask(database) == 1
    proxy.going.clear()
    with pytest.raises(StorageUnavailable):
        ask(database)
    proxy.going.set()
    assert ask(database) == 1
    database.close()


@pytest.mark.e2e
def test_a_migration_may_take_longer_and_what_comes_after_it_may_not(
    proxied: tuple[StoppingProxy, str],
) -> None:
    """Another replica migrates: this one waits for it, for as long as it takes."""
    _, url = proxied
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
        ends = threading.Timer(2 * PATIENCE, other.execute, ["SELECT pg_advisory_unlock_all()"])
        ends.start()
        database = open_database(url, PATIENCE)
        ends.join()
    with database.reading() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        assert raw.patience == PATIENCE
    database.close()


def asked(answers: list[int]) -> Generator[int, int, str]:
    """What a driver does: it waits until something came."""
    while True:
        answers.append((yield 1))
        if answers[-1]:
            return "found"


def test_what_came_in_time_is_passed_on_and_nothing_is_waited_for_after_it() -> None:
    now = [0.0]
    seen: list[int] = []
    watched = until(asked(seen), 10.0, lambda: now[0])
    assert next(watched) == 1
    assert watched.send(0) == 1
    now[0] = 11.0
    with pytest.raises(StopIteration) as end:
        watched.send(1)  # it came late, but it came
    assert (end.value.value, seen) == ("found", [0, 1])
    again = until(asked([]), 10.0, lambda: now[0])
    next(again)
    with pytest.raises(TimeoutError):
        again.send(0)
