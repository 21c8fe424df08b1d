"""The control plane in PostgreSQL, as it is at one instant, by the server's own client programs.

1. The state is a snapshot that a transaction of ours exports while the tables are locked against
   writers, for milliseconds; `pg_dump` reads that snapshot, however long it takes.
2. A password is never an argument: whoever lists the processes would see it. It goes by
   `PGPASSWORD`, or stays in the `passfile` of the address.
3. What a dump is put back into must be empty; it is put back in one transaction.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from gateway.backup.errors import BackupRefused
from gateway.backup.making import Again

LOCK_MS: Final = 500
"""While it waits, the audit log stands still: far below what its callers wait."""
CONNECT_SECONDS: Final = 10
_LOCKED: Final = "55P03"
"""`lock_not_available` (PostgreSQL, appendix A)."""
_OURS: Final = (
    "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
    " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
)


class PostgresDump:
    """A dump of a database (see `gateway.backup.making.Dump`); close it.

    Args:
        url: Of the database, as the settings have it.

    Raises:
        BackupRefused: There is no `pg_dump`, or the database cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self._program = _program("pg_dump")
        self._url = _parsed(url)
        self._opened = ExitStack()
        self._holder = self._opened.enter_context(_connected(self._url))
        self._locker = self._opened.enter_context(_connected(self._url))
        self._snapshot = ""

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Export a snapshot, and lock the tables against writers while the block runs."""
        self._holder.rollback()
        try:
            self._locker.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MS}")
            tables = ", ".join(str(row[0]) for row in self._locker.exec_driver_sql(_OURS))
            self._locker.exec_driver_sql(f"LOCK TABLE {tables} IN SHARE MODE")
            self._holder.exec_driver_sql(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
            )
            row = self._holder.exec_driver_sql("SELECT pg_export_snapshot()").one()
        except DBAPIError as fault:
            self._locker.rollback()
            state = getattr(fault.orig, "sqlstate", None)
            if state == _LOCKED:
                raise Again from None
            what = f"the database does not let its tables be read and locked ({state})"
            raise BackupRefused(what, "give its user the rights of the tables' owner") from fault
        self._snapshot = str(row[0])
        try:
            yield
        finally:
            self._locker.rollback()

    def write(self, path: Path) -> None:
        """Run `pg_dump` on the snapshot."""
        options = ("--format=custom", "--no-owner", "--no-privileges", f"--file={path}")
        snapshot = f"--snapshot={self._snapshot}"
        _run((self._program, *options, snapshot), self._url)
        path.chmod(0o600)

    def close(self) -> None:
        """Let go of the snapshot."""
        self._opened.close()


def put_back(dump: Path, url: str) -> None:
    """Put a dump into an empty database.

    Raises:
        BackupRefused: It holds something, or cannot be reached; nothing was changed.
    """
    program, parsed = _program("pg_restore"), _parsed(url)
    with _connected(parsed) as connection:
        if connection.exec_driver_sql(_OURS).first() is not None:
            raise BackupRefused(
                "the database holds something already",
                "make an empty one (`createdb`), and name it in --database-url",
            )
    options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    _run((program, *options, str(dump)), parsed)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BackupRefused("the address of the database is none", "see `database_url`") from None
    if parsed.get_backend_name() != "postgresql":
        raise BackupRefused(
            "the control plane is in a file outside of the data folder",
            "move it to `control.db` in the data folder, and remove `database_url`",
        )
    return parsed


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            connect_args={"connect_timeout": CONNECT_SECONDS},
        )
    except (NoSuchModuleError, ModuleNotFoundError):
        what = "the `postgres` extra is not installed"
        raise BackupRefused(what, "pip install 'sealgate[postgres]'") from None
    try:
        connection = engine.connect()
    except DBAPIError as fault:
        raise BackupRefused("the database cannot be reached", "see `database_url`") from fault
    try:
        yield connection
    finally:
        connection.close()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupRefused(
            f"`{name}` is not installed, and the control plane is in PostgreSQL",
            "install PostgreSQL's client programs; or stop the gateway, give --database-apart, "
            "and dump it where they are, such as in the database's container",
        )
    return found


def _run(words: Sequence[str], url: URL) -> None:
    """Run a client program on a database; its address is as libpq reads it."""
    secret = {"PGPASSWORD": str(url.password)} if url.password else {}
    bare = url.set(drivername="postgresql", password=None)
    address = bare.render_as_string(hide_password=False)
    done = subprocess.run(
        [*words, "--dbname", address],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **secret},
    )
    if done.returncode:
        told = "; ".join(done.stderr.strip().splitlines()[-2:]) or "it says nothing"
        name = Path(words[0]).name
        raise BackupRefused(f"`{name}` failed: {told}", f"use a {name} of the server's release")
