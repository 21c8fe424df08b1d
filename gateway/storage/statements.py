"""The three statements that every SQL store is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.errors import SealgateError


def put_new(
    connection: Connection, table: Table, row: Mapping[str, Any], taken: SealgateError
) -> None:
    """Insert a row; raise `taken` when one of its keys exists already.

    The transaction must be left after the exception: PostgreSQL does nothing more in it.
    """
    try:
        connection.execute(insert(table), dict(row))
    except IntegrityError:
        raise taken from None


def get_one(connection: Connection, table: Table, **key: object) -> RowMapping | None:
    """Return the row whose columns have these values, or None."""
    return connection.execute(select(table).where(*_equal(table, key))).mappings().one_or_none()


def replace_row(
    connection: Connection, table: Table, row: Mapping[str, Any], **key: object
) -> bool:
    """Write `row` where the columns have these values; tell whether there was such a row."""
    done = connection.execute(update(table).where(*_equal(table, key)), dict(row))
    return done.rowcount == 1


def rows(connection: Connection, query: Select[Any]) -> Sequence[RowMapping]:
    """Return all rows of a query."""
    return connection.execute(query).mappings().all()


def _equal(table: Table, key: Mapping[str, object]) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in key.items()]
