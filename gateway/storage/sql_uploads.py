"""Uploads, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, and_, delete, or_, select

from gateway.artifacts.upload import Rewrap
from gateway.errors import AlreadyExists
from gateway.registry.records import Upload
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.documents import payload_from_text, to_text
from gateway.storage.statements import get_one, put_new, rows
from gateway.storage.wrapped_keys import rewrap_one

_UPLOAD = tables.upload.c


class SqlUploadStore:
    """`gateway.registry.ports.UploadStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_upload(self, upload: Upload) -> None:
        """See the port."""
        check_key(upload.id, upload.tenant)
        check_record(upload)
        with self._database.writing() as connection:
            put_new(connection, tables.upload, _upload_row(upload), AlreadyExists())

    def get_upload(self, tenant: str, upload_id: str) -> Upload | None:
        """See the port."""
        if not is_storable(tenant, upload_id):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.upload, id=upload_id, tenant=tenant)
        return None if row is None else _upload(row)

    def list_uploads(self, tenant: str, *, after: str, limit: int) -> list[Upload]:
        """See the port."""
        check_key(tenant, after)
        query = (
            select(tables.upload)
            .where(_UPLOAD.tenant == tenant, _UPLOAD.id > after)
            .order_by(_UPLOAD.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_upload(row) for row in rows(connection, query)]

    def remove_upload(self, tenant: str, upload_id: str) -> None:
        """See the port."""
        if is_storable(tenant, upload_id):
            gone = delete(tables.upload).where(_UPLOAD.id == upload_id, _UPLOAD.tenant == tenant)
            with self._database.writing() as connection:
                connection.execute(gone)

    def expired_uploads(self, now: int, *, after: tuple[int, str], limit: int) -> list[Upload]:
        """See the port."""
        expires, id_ = after
        later = or_(_UPLOAD.expires > expires, and_(_UPLOAD.expires == expires, _UPLOAD.id > id_))
        query = (
            select(tables.upload)
            .where(_UPLOAD.expires <= now, later)
            .order_by(_UPLOAD.expires, _UPLOAD.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_upload(row) for row in rows(connection, query)]

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        check_key(tenant)
        return rewrap_one(self._database, tables.upload, "payload_json", tenant, change)


def _upload_row(upload: Upload) -> dict[str, Any]:
    row = {
        "id": upload.id,
        "tenant": upload.tenant,
        "client": upload.client,
        "created": upload.created,
        "expires": upload.expires,
    }
    row["payload_json"] = to_text(upload.payload)
    return row


def _upload(row: RowMapping) -> Upload:
    return Upload(
        id=row["id"],
        tenant=row["tenant"],
        client=row["client"],
        payload=payload_from_text(row["payload_json"]),
        created=row["created"],
        expires=row["expires"],
    )
