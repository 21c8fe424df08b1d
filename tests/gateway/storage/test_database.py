from __future__ import annotations

import base64
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from gateway.registry.records import SealedPayload, Upload
from gateway.storage import tables
from gateway.storage.database import (
    MIGRATIONS,
    Database,
    newest_revisions,
    open_database,
    sqlite_url,
)
from gateway.storage.errors import DatabaseRefused, DatabaseTooNew, StorageUnavailable
from gateway.storage.sharing_rows import sharing_row
from gateway.storage.sql_uploads import SqlUploadStore
from tests.sharings import sharing

SECRET = bytes(range(200, 248))
ROW = {"issuer": "iss", "token_id": "jti", "expires": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{path}")
    yield opened
    opened.close()


def count(database: Database) -> int:
    with database.reading() as connection:
        query = select(func.count()).select_from(tables.revoked_token)
        return int(connection.execute(query).scalar_one())


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("secure_delete", 1),
        ("foreign_keys", 1),
        ("busy_timeout", 5000),
    ],
)
def test_every_connection_is_durable_and_forgetful(
    database: Database, pragma: str, value: object
) -> None:
    with database.reading() as one, database.reading() as two:
        for connection in (one, two):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_only_its_owner_reads_the_file(database: Database, path: Path) -> None:
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_what_was_removed_is_in_no_file_after_closing(path: Path) -> None:
    database = open_database(f"sqlite:///{path}")
    payload = SealedPayload("graph", "d", 1, 1, "d", SECRET, post_quantum=False)
    store = SqlUploadStore(database)
    for number in range(40):
        store.add_upload(Upload(str(number), "acme", "app", payload, 1, 1))
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert base64.b64encode(SECRET) in written
    for number in range(40):
        store.remove_upload("acme", str(number))
    database.close()
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert left
    assert base64.b64encode(SECRET) not in left


def test_an_exception_undoes_a_transaction(database: Database) -> None:
    def half() -> None:
        with database.writing() as connection:
            connection.execute(insert(tables.revoked_token), ROW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert count(database) == 0


def test_a_reference_to_nothing_is_refused(database: Database) -> None:
    row = sharing_row(sharing("acme", "absent", "other"))
    with database.writing() as connection:
        with pytest.raises(IntegrityError):
            connection.execute(insert(tables.sharing), row)
        connection.rollback()


def test_a_fault_of_the_driver_leaves_as_ours_without_its_text(database: Database) -> None:
    with pytest.raises(StorageUnavailable) as caught, database.reading() as connection:
        connection.execute(text("SELECT secret FROM nowhere"))
    assert str(caught.value) == "the records are not available at the moment"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "control.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://localhost/x",
        "postgresql+asyncpg://localhost/x",
        "sqlite+aiosqlite:///x.db",
        "\0",
    ],
)
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(DatabaseRefused):
        open_database(url)


def test_what_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        open_database(f"sqlite:///{tmp_path}/absent/control.db")
    with pytest.raises(StorageUnavailable):
        open_database("postgresql://nobody@127.0.0.1:1/x")


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageUnavailable):
        open_database(f"sqlite:///{path}")
    assert path.read_bytes() == b"not a database" * 1000


def test_a_database_of_a_later_release_is_refused_and_left_alone(path: Path) -> None:
    open_database(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DatabaseTooNew):
        open_database(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            ("9999",)
        ]
    connection.close()


def test_where_the_migrations_end_is_read_as_alembic_reads_it() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert newest_revisions() == set(ScriptDirectory.from_config(config).get_heads())


def test_a_database_that_lost_where_it_stands_is_not_taken_for_a_new_one(path: Path) -> None:
    open_database(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM alembic_version")
    connection.close()
    with pytest.raises(StorageUnavailable):  # its tables are there already
        open_database(f"sqlite:///{path}")


PROBE = """
import sys
from gateway.storage.database import open_database
open_database(sys.argv[1]).close()
assert "alembic" not in sys.modules
"""


@pytest.mark.e2e
def test_a_database_that_is_up_to_date_is_opened_without_the_tool_of_migrations(
    path: Path,
) -> None:
    address = f"sqlite:///{path}"
    open_database(address).close()
    subprocess.run([sys.executable, "-c", PROBE, address], check=True)


def test_a_migration_that_fails_leaves_nothing_behind(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE policy_bundle (stray INTEGER)")
    connection.close()
    with pytest.raises(StorageUnavailable):
        open_database(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert names.fetchall() == [("policy_bundle",)]
    connection.close()


def test_a_path_with_unusual_characters_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20ü"
    folder.mkdir()
    open_database(sqlite_url(folder / "control.db")).close()
    assert (folder / "control.db").exists()
