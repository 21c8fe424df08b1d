"""Replaces the wrapped keys in a column, row by row, and nothing else of the row.

A row's revision stays: whoever works on the row goes on. Who read it before and writes it back as a
whole brings the earlier wrapping back: a caller that is about to retire a key looks once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, or_, select, true, update

from gateway.artifacts.upload import Rewrap, SealedPayload
from gateway.storage.database import Database
from gateway.storage.documents import payload_from_text, payloads_from_text, to_text

ROWS: Final = 16
"""In one transaction: on SQLite nobody else writes meanwhile, some twenty milliseconds."""


def rewrap_one(database: Database, table: Table, column: str, tenant: str, change: Rewrap) -> int:
    """Replace the sealed payload in a column of the tenant's rows; returns how many changed."""

    def changed(text: str) -> SealedPayload:
        return change(payload_from_text(text))

    return _rewrap(database, table, column, tenant, changed)


def rewrap_many(database: Database, table: Table, column: str, tenant: str, change: Rewrap) -> int:
    """Replace the sealed payloads in a column of the tenant's rows; returns how many rows changed.

    Args:
        database: Where they are.
        table: Has a column `tenant` and a primary key.
        column: Holds sealed payloads as JSON text.
        tenant: Whose rows.
        change: Returns the payload with its key wrapped anew, or the same.
    """

    def changed(text: str) -> tuple[SealedPayload, ...]:
        return tuple(map(change, payloads_from_text(text)))

    return _rewrap(database, table, column, tenant, changed)


def _rewrap(
    database: Database, table: Table, column: str, tenant: str, changed: Callable[[str], object]
) -> int:
    count, after = 0, ()
    while True:
        with database.writing() as connection:
            found = _page(connection, table, column, tenant, after)
            for *key, text in found:
                fresh = to_text(changed(text))
                if fresh != text:
                    where = _equal(table, key)
                    connection.execute(update(table).where(*where), {column: fresh})
                    count += 1
        if len(found) < ROWS:
            return count
        after = tuple(found[-1][:-1])


def _page(
    connection: Connection, table: Table, column: str, tenant: str, after: Sequence[Any]
) -> Sequence[Sequence[Any]]:
    key, held = list(table.primary_key.columns), table.c[column]
    query = (
        select(*key, held)
        .where(table.c.tenant == tenant, held.is_not(None), _later(key, after))
        .order_by(*key)
        .limit(ROWS)
        .with_for_update()
    )
    return [tuple(row) for row in connection.execute(query)]


def _later(key: Sequence[Column[Any]], after: Sequence[Any]) -> ColumnElement[bool]:
    """Tell that a key of several columns comes after another; after none, all do."""
    if not after:
        return true()
    first, *rest = key
    later: ColumnElement[bool] = first > after[0]
    return or_(later, and_(first == after[0], _later(rest, after[1:]))) if rest else later


def _equal(table: Table, key: Sequence[Any]) -> list[ColumnElement[bool]]:
    return [c == value for c, value in zip(table.primary_key.columns, key, strict=True)]
