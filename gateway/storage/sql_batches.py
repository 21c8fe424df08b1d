"""Batch jobs and their parts, in SQL."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from sqlalchemy import RowMapping, and_, delete, func, insert, or_, select

from gateway.artifacts.upload import Rewrap
from gateway.batch.records import UNFINISHED, Batch, Part, Progress, Usage
from gateway.errors import AlreadyExists, StateConflict
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.documents import ordered_from_text, payload_from_text, to_text
from gateway.storage.statements import get_one, put_new, replace_row, rows
from gateway.storage.wrapped_keys import rewrap_one

_BATCH = tables.batch.c
_PART = tables.batch_part.c


class SqlBatchStore:
    """`gateway.batch.ports.BatchStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_batch(self, batch: Batch) -> None:
        """See the port."""
        check_key(batch.id, batch.tenant, batch.client)
        check_record(batch)
        with self._database.writing() as connection:
            row = _batch_row(replace(batch, revision=0))
            put_new(connection, tables.batch, row, AlreadyExists())

    def get_batch(self, tenant: str, batch_id: str) -> Batch | None:
        """See the port."""
        if not is_storable(tenant, batch_id):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.batch, id=batch_id, tenant=tenant)
        return None if row is None else _batch(row)

    def replace_batch(self, batch: Batch) -> Batch:
        """See the port."""
        check_key(batch.id, batch.tenant, batch.client)
        check_record(batch)
        stored = replace(batch, revision=batch.revision + 1)
        key = {"id": batch.id, "tenant": batch.tenant, "revision": batch.revision}
        with self._database.writing() as connection:
            if not replace_row(connection, tables.batch, _batch_row(stored), **key):
                raise StateConflict
        return stored

    def remove_batch(self, tenant: str, batch_id: str) -> None:
        """See the port."""
        if not is_storable(tenant, batch_id):
            return
        parts = delete(tables.batch_part).where(_PART.batch == batch_id, _PART.tenant == tenant)
        with self._database.writing() as connection:
            connection.execute(parts)
            connection.execute(
                delete(tables.batch).where(_BATCH.id == batch_id, _BATCH.tenant == tenant)
            )

    def list_batches(self, tenant: str, client: str, *, after: str, limit: int) -> list[Batch]:
        """See the port."""
        check_key(tenant, client, after)
        query = (
            select(tables.batch)
            .where(_BATCH.tenant == tenant, _BATCH.client == client, _BATCH.id > after)
            .order_by(_BATCH.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_batch(row) for row in rows(connection, query)]

    def unfinished_batches(self, *, after: str, limit: int) -> list[Batch]:
        """See the port."""
        check_key(after)
        query = (
            select(tables.batch)
            .where(_BATCH.state.in_(UNFINISHED), _BATCH.id > after)
            .order_by(_BATCH.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_batch(row) for row in rows(connection, query)]

    def expired_batches(self, now: int, *, after: tuple[int, str], limit: int) -> list[Batch]:
        """See the port."""
        expires, id_ = after
        later = or_(_BATCH.expires > expires, and_(_BATCH.expires == expires, _BATCH.id > id_))
        query = (
            select(tables.batch)
            .where(_BATCH.expires <= now, later)
            .order_by(_BATCH.expires, _BATCH.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_batch(row) for row in rows(connection, query)]

    def usage(self, tenant: str, since: int) -> Usage:
        """See the port."""
        check_key(tenant)
        going = select(func.count()).where(_BATCH.tenant == tenant, _BATCH.state.in_(UNFINISHED))
        sums = select(
            func.coalesce(func.sum(_BATCH.rows), 0), func.coalesce(func.sum(_BATCH.length), 0)
        ).where(_BATCH.tenant == tenant, _BATCH.created >= since)
        with self._database.reading() as connection:
            unfinished = connection.scalar(going) or 0
            total = connection.execute(sums).one()
        return Usage(unfinished, int(total[0]), int(total[1]))

    def put_part(self, part: Part) -> None:
        """See the port."""
        check_key(part.batch, part.tenant)
        check_record(part)
        with self._database.writing() as connection:
            connection.execute(
                delete(tables.batch_part).where(
                    _PART.batch == part.batch, _PART.number == part.number
                )
            )
            connection.execute(insert(tables.batch_part), _part_row(part))

    def get_part(self, tenant: str, batch_id: str, number: int) -> Part | None:
        """See the port."""
        if not is_storable(tenant, batch_id):
            return None
        with self._database.reading() as connection:
            row = get_one(
                connection, tables.batch_part, batch=batch_id, tenant=tenant, number=number
            )
        return None if row is None else _part(row)

    def list_parts(self, tenant: str, batch_id: str, *, after: int, limit: int) -> list[Part]:
        """See the port."""
        check_key(tenant, batch_id)
        query = (
            select(tables.batch_part)
            .where(_PART.batch == batch_id, _PART.tenant == tenant, _PART.number > after)
            .order_by(_PART.number)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_part(row) for row in rows(connection, query)]

    def next_part(self, tenant: str, batch_id: str) -> Part | None:
        """See the port."""
        check_key(tenant, batch_id)
        query = (
            select(tables.batch_part)
            .where(
                _PART.batch == batch_id,
                _PART.tenant == tenant,
                _PART.state.in_(["waiting", "kept"]),
            )
            .order_by(_PART.number)
            .limit(1)
        )
        with self._database.reading() as connection:
            found = rows(connection, query)
        return _part(found[0]) if found else None

    def parts_about(self, tenant: str, ref: str, *, limit: int) -> list[Part]:
        """See the port."""
        check_key(tenant, ref)
        query = (
            select(tables.batch_part)
            .where(
                _PART.tenant == tenant,
                _PART.state != "erased",
                _PART.refs_json.contains(to_text(ref), autoescape=True),
            )
            .order_by(_PART.batch, _PART.number)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_part(row) for row in rows(connection, query)]

    def remove_parts(self, tenant: str, batch_id: str) -> None:
        """See the port."""
        check_key(tenant, batch_id)
        with self._database.writing() as connection:
            connection.execute(
                delete(tables.batch_part).where(_PART.batch == batch_id, _PART.tenant == tenant)
            )

    def progress(self, tenant: str, batch_id: str) -> Progress:
        """See the port."""
        check_key(tenant, batch_id)
        query = select(
            func.count(),
            func.coalesce(func.sum(_PART.rows), 0),
            func.coalesce(func.sum(_PART.refused), 0),
        ).where(
            _PART.batch == batch_id, _PART.tenant == tenant, _PART.state.in_(["ready", "erased"])
        )
        with self._database.reading() as connection:
            found = connection.execute(query).one()
        return Progress(int(found[0]), int(found[1]), int(found[2]))

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        check_key(tenant)
        held = (tables.batch, tables.batch_part)
        return sum(
            rewrap_one(self._database, table, "source_json", tenant, change) for table in held
        )


_OF_BATCH: Final = tuple(c.name for c in tables.batch.columns if c.name != "source_json")
_OF_PART: Final = tuple(c.name for c in tables.batch_part.columns if not c.name.endswith("_json"))


def _batch_row(batch: Batch) -> dict[str, Any]:
    row = {name: getattr(batch, name) for name in _OF_BATCH}
    row["source_json"] = None if batch.source is None else to_text(batch.source)
    return row


def _batch(row: RowMapping) -> Batch:
    text = row["source_json"]
    source = None if text is None else payload_from_text(text)
    return Batch(**{name: row[name] for name in _OF_BATCH}, source=source)


def _part_row(part: Part) -> dict[str, Any]:
    row = {name: getattr(part, name) for name in _OF_PART}
    row["source_json"] = None if part.source is None else to_text(part.source)
    row["refs_json"], row["rules_json"] = to_text(part.refs), to_text(part.rules)
    return row


def _part(row: RowMapping) -> Part:
    text = row["source_json"]
    return Part(
        **{name: row[name] for name in _OF_PART},
        source=None if text is None else payload_from_text(text),
        refs=ordered_from_text(row["refs_json"]),
        rules=ordered_from_text(row["rules_json"]),
    )
