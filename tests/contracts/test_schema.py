from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from gateway.storage import tables
from gateway.storage.database import open_database
from tests.contracts.backends import POSTGRESQL


@pytest.fixture(params=["sqlite", POSTGRESQL])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/control.db"
    return str(request.getfixturevalue("postgresql_url"))


def test_the_migrations_make_what_the_code_expects(url: str) -> None:
    database = open_database(url)
    options = {"compare_type": True, "compare_server_default": True}
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []
    database.close()


def test_the_comparison_notices_a_difference(url: str) -> None:
    """Otherwise the test above could pass for ever."""
    database = open_database(url)
    with database.writing() as connection:
        connection.execute(text("ALTER TABLE pending ADD COLUMN stray INTEGER"))
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) != []
        connection.execute(text("ALTER TABLE pending DROP COLUMN stray"))
    database.close()


def test_opening_again_changes_nothing(url: str) -> None:
    open_database(url).close()
    database = open_database(url)
    with database.reading() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0004_people"
        assert connection.scalar(text("SELECT count(*) FROM epoch")) == 1
    database.close()


def test_a_reader_sees_one_state(url: str) -> None:
    database = open_database(url)
    query = text("SELECT value FROM epoch")
    with database.reading() as reader:
        before = reader.scalar(query)
        with database.writing() as writer:
            writer.execute(text("UPDATE epoch SET value = value + 1"))
        assert reader.scalar(query) == before
    with database.reading() as reader:
        assert reader.scalar(query) == before + 1
    database.close()


@pytest.mark.e2e
def test_every_text_of_postgresql_compares_by_byte(postgresql_url: str) -> None:
    for table in tables.metadata.sorted_tables:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
        made = str(CreateTable(table).compile(dialect=dialect))
        assert made.count("TEXT") == made.count('TEXT COLLATE "C"')
    database = open_database(postgresql_url)
    query = text(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version' "
        "AND data_type IN ('text', 'character varying') AND collation_name IS DISTINCT FROM 'C'"
    )
    with database.reading() as connection:
        assert connection.execute(query).all() == []
    database.close()
