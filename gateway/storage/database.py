"""The control plane's database: opened safely, brought up to date, used in short transactions.

1. A database that a later release has changed is refused; an older one is migrated, under a lock,
   in one transaction, before anything else uses it.
2. SQLite: write-ahead log, every commit synced (FULL), deleted content overwritten
   (`secure_delete`; the log is truncated at close), foreign keys on. A writer takes the lock at its
   beginning, so what it read is still true when it writes.
3. PostgreSQL: a reader has one snapshot; a writer waits for locks and statements a bounded time,
   and nobody waits longer for a server that hangs (`gateway.storage.postgresql_waits`).
4. Whatever goes wrong in the driver leaves as `StorageUnavailable`, without its text.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.storage.errors import DatabaseRefused, DatabaseTooNew, StorageUnavailable

BUSY_MS: Final = 5_000
"""How long a writer waits for another one."""
STATEMENT_MS: Final = 30_000
"""How long PostgreSQL works on one statement; migrations excepted."""
CONNECT_SECONDS: Final = 10
"""How long a connection may take until it can be used."""
PATIENCE_SECONDS: Final = 35.0
"""After which a server that should have given up by itself is taken to hang."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_REVISION: Final = re.compile(r'^(down_)?revision = "([^"]+)"', re.MULTILINE)
_MIGRATION_LOCK: Final = 0x7365616C  # any number, the same for every replica

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA busy_timeout = {BUSY_MS}",
)


class Database:
    """An open, up-to-date database. Safe for threads; not to be carried over a fork."""

    def __init__(self, engine: Engine) -> None:
        self._reader = engine
        self._writer = engine
        if engine.dialect.name == "sqlite":
            self._writer = engine.execution_options(sealgate_immediate=True)
        else:
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that reads one consistent state.

        Raises:
            StorageUnavailable: The database cannot answer.
        """
        with _translated(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that is durable when the block is left, and undone by an exception.

        Raises:
            StorageUnavailable: The database cannot answer; nothing was changed.
        """
        with _translated(), self._writer.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Give the connections back; on SQLite also move the log into the file and empty it."""
        if self._reader.dialect.name == "sqlite":
            with _translated():
                connection = self._reader.raw_connection()
                try:
                    connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    connection.close()
        self._reader.dispose()


def sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_database(url: str, patience: float = PATIENCE_SECONDS) -> Database:
    """Open the database at `url` and bring its schema up to date.

    Args:
        url: `sqlite:///path` or `postgresql://…`.
        patience: Seconds for each thing that is asked of PostgreSQL; migrations excepted.

    Raises:
        DatabaseRefused: Another kind of database, no file, or PostgreSQL that does not speak UTF-8.
        DatabaseTooNew: A later release has changed it.
        StorageUnavailable: It cannot be reached or changed now.
    """
    parsed = _parse(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    engine = _sqlite(parsed) if sqlite else _postgresql(parsed, patience)
    database = Database(engine)
    try:
        _migrate(database)
    except BaseException:
        engine.dispose()
        raise
    return database


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseRefused from error
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    raise DatabaseRefused("only a SQLite file or PostgreSQL can hold the records")


def _sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StorageUnavailable from error
    engine = create_engine(url, pool_size=8, max_overflow=8)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the transactions are ours, see `begin`
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("sealgate_immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgresql(url: URL, patience: float) -> Engine:
    options = (
        f"-c lock_timeout={BUSY_MS} -c statement_timeout={STATEMENT_MS} "
        f"-c idle_in_transaction_session_timeout={STATEMENT_MS}"
    )
    try:
        from gateway.storage.postgresql_waits import PatientConnection

        engine = create_engine(
            url,
            pool_size=8,
            max_overflow=8,
            pool_timeout=CONNECT_SECONDS,
            pool_pre_ping=True,
            connect_args={"options": options, "connect_timeout": CONNECT_SECONDS},
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise DatabaseRefused("the `postgres` extra is not installed") from error

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, args: Any, named: Any) -> PatientConnection:
        connection = PatientConnection.connect(*args, **named)
        connection.patience = patience
        return connection

    return engine


def _migrate(database: Database) -> None:
    with database.writing() as connection, _unhurried(connection):
        standing = _revisions(connection)
        if not standing or standing != newest_revisions():
            _upgrade(connection)


def _revisions(connection: Connection) -> set[str]:
    """Return where the schema stands; nowhere for a new database."""
    if not inspect(connection).has_table("alembic_version"):
        return set()
    return set(connection.scalars(text("SELECT version_num FROM alembic_version")))


def newest_revisions() -> set[str]:
    """Return the revisions that no other follows, as the migrations say of themselves."""
    known, followed = set[str](), set[str]()
    for path in (MIGRATIONS / "versions").glob("*.py"):
        for down, revision in _REVISION.findall(path.read_text(encoding="utf-8")):
            (followed if down else known).add(revision)
    return known - followed


def _upgrade(connection: Connection) -> None:
    # Most starts need none of this, and it is a tenth of what a gateway imports.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if not set(MigrationContext.configure(connection).get_current_heads()) <= known:
        raise DatabaseTooNew
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _unhurried(connection: Connection) -> Iterator[None]:
    """Let PostgreSQL take its time, for one migration at a time."""
    if connection.dialect.name != "postgresql":
        yield
        return
    if connection.scalar(text("SHOW server_encoding")) != "UTF8":
        raise DatabaseRefused("the database must be encoded in UTF-8")
    raw: Any = connection.connection.dbapi_connection
    patience, raw.patience = raw.patience, None
    try:
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        yield
    finally:
        raw.patience = patience


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
        raise StorageUnavailable from error
