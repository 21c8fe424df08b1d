"""The registry of models, versions and releases, in SQL.

A change that spans rows first locks the model's row, so changes of one model come one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select

from gateway.artifacts.upload import Rewrap
from gateway.errors import AlreadyExists, StateConflict
from gateway.registry.records import Model, ModelVersion, Release, Sharing
from gateway.registry.states import PROMOTABLE
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.documents import facts_from_text, payloads_from_text, to_text
from gateway.storage.sharing_rows import of_key, page_to, sharing_of, sharing_row, sharings_of
from gateway.storage.statements import get_one, put_new, replace_row, rows
from gateway.storage.wrapped_keys import rewrap_many

_MODEL = tables.model.c
_VERSION = tables.model_version.c
_RELEASE = tables.release.c


class SqlRegistry:
    """`gateway.registry.ports.Registry`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_model(self, model: Model) -> None:
        """See the port."""
        check_key(model.tenant, model.name)
        check_record(model)
        with self._database.writing() as connection:
            put_new(connection, tables.model, _model_row(model), AlreadyExists())
            for sharing in model.sharings:
                check_key(sharing.owner, sharing.model, sharing.tenant)
                connection.execute(insert(tables.sharing), sharing_row(sharing))

    def get_model(self, tenant: str, name: str) -> Model | None:
        """See the port."""
        if not is_storable(tenant, name):
            return None
        query = select(tables.model).where(_MODEL.tenant == tenant, _MODEL.name == name)
        return next(iter(self._models(query)), None)

    def offer(self, sharing: Sharing) -> None:
        """See the port."""
        key = (sharing.owner, sharing.model, sharing.tenant)
        check_key(*key)
        check_record(sharing)
        with self._database.writing() as connection:
            _lock_model(connection, sharing.owner, sharing.model)
            connection.execute(delete(tables.sharing).where(*of_key(*key)))
            connection.execute(insert(tables.sharing), sharing_row(sharing))

    def get_sharing(self, owner: str, model: str, tenant: str) -> Sharing | None:
        """See the port."""
        if not is_storable(owner, model, tenant):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.sharing, owner=owner, model=model, tenant=tenant)
        return None if row is None else sharing_of(row)

    def accept(self, sharing: Sharing) -> None:
        """See the port."""
        key = (sharing.owner, sharing.model, sharing.tenant)
        check_key(*key)
        check_record(sharing)
        with self._database.writing() as connection:
            named = dict(zip(("owner", "model", "tenant"), key, strict=True), id=sharing.id)
            if not replace_row(connection, tables.sharing, sharing_row(sharing), **named):
                raise StateConflict

    def end(self, sharing: Sharing) -> None:
        """See the port."""
        key = (sharing.owner, sharing.model, sharing.tenant)
        check_key(*key)
        with self._database.writing() as connection:
            named = (*of_key(*key), tables.sharing.c.id == sharing.id)
            connection.execute(delete(tables.sharing).where(*named))

    def shared_to(self, tenant: str, *, after: tuple[str, str], limit: int) -> list[Sharing]:
        """See the port."""
        check_key(tenant, *after)
        with self._database.reading() as connection:
            return [sharing_of(row) for row in rows(connection, page_to(tenant, after, limit))]

    def list_models(self, tenant: str, *, after: str, limit: int) -> list[Model]:
        """See the port."""
        check_key(tenant, after)
        query = select(tables.model).where(_MODEL.tenant == tenant, _MODEL.name > after)
        return self._models(query.order_by(_MODEL.name).limit(limit))

    def add_version(self, version: ModelVersion) -> None:
        """See the port."""
        check_key(version.tenant, version.model, version.version)
        check_record(version)
        with self._database.writing() as connection:
            _lock_model(connection, version.tenant, version.model)
            row = _version_row(replace(version, revision=0))
            put_new(connection, tables.model_version, row, AlreadyExists())

    def get_version(self, tenant: str, model: str, version: str) -> ModelVersion | None:
        """See the port."""
        if not is_storable(tenant, model, version):
            return None
        with self._database.reading() as connection:
            row = get_one(
                connection, tables.model_version, tenant=tenant, model=model, version=version
            )
        return None if row is None else _version(row)

    def replace_version(self, version: ModelVersion) -> ModelVersion:
        """See the port."""
        check_key(version.tenant, version.model, version.version)
        check_record(version)
        with self._database.writing() as connection:
            return _replace_version(connection, version)

    def list_versions(
        self, tenant: str, model: str, *, after: str, limit: int
    ) -> list[ModelVersion]:
        """See the port."""
        check_key(tenant, model, after)
        query = select(tables.model_version).where(
            _VERSION.tenant == tenant, _VERSION.model == model, _VERSION.version > after
        )
        return self._versions(query.order_by(_VERSION.version).limit(limit))

    def current(self, tenant: str, model: str) -> Release | None:
        """See the port."""
        if not is_storable(tenant, model):
            return None
        with self._database.reading() as connection:
            return _current(connection, tenant, model)

    def release(self, entry: Release, *, expected: str | None) -> Release:
        """See the port."""
        check_key(entry.tenant, entry.model, entry.version)
        check_record(entry)
        with self._database.writing() as connection:
            _lock_model(connection, entry.tenant, entry.model)
            newest = _current(connection, entry.tenant, entry.model)
            if (None if newest is None else newest.version) != expected:
                raise StateConflict
            row = get_one(
                connection,
                tables.model_version,
                tenant=entry.tenant,
                model=entry.model,
                version=entry.version,
            )
            if row is None or row["state"] not in PROMOTABLE:
                raise StateConflict
            _replace_version(connection, replace(_version(row), state="released"))
            stored = replace(entry, sequence=1 if newest is None else newest.sequence + 1)
            connection.execute(insert(tables.release), _release_row(stored))
            return stored

    def releases(self, tenant: str, model: str, *, after: int, limit: int) -> list[Release]:
        """See the port."""
        check_key(tenant, model)
        query = (
            select(tables.release)
            .where(_RELEASE.tenant == tenant, _RELEASE.model == model, _RELEASE.sequence > after)
            .order_by(_RELEASE.sequence)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_release(row) for row in rows(connection, query)]

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        check_key(tenant)
        return rewrap_many(self._database, tables.model_version, "payloads_json", tenant, change)

    def _models(self, query: Select[Any]) -> list[Model]:
        with self._database.reading() as connection:
            found = rows(connection, query)
            return _with_sharings(connection, found)

    def _versions(self, query: Select[Any]) -> list[ModelVersion]:
        with self._database.reading() as connection:
            return [_version(row) for row in rows(connection, query)]


def _lock_model(connection: Connection, tenant: str, name: str) -> None:
    """Hold the model's row until the end of the transaction (SQLite holds the whole database)."""
    query = select(_MODEL.name).where(_MODEL.tenant == tenant, _MODEL.name == name)
    if connection.execute(query.with_for_update()).scalar_one_or_none() is None:
        raise StateConflict


def _with_sharings(connection: Connection, found: Sequence[RowMapping]) -> list[Model]:
    keys = [(row["tenant"], row["name"]) for row in found]
    sharings = sharings_of(connection, keys)
    return [
        Model(
            tenant=row["tenant"],
            name=row["name"],
            personal=row["personal"],
            data_class=row["data_class"],
            sharings=frozenset(sharings[row["tenant"], row["name"]]),
            created=row["created"],
            created_by=row["created_by"],
        )
        for row in found
    ]


def _replace_version(connection: Connection, version: ModelVersion) -> ModelVersion:
    stored = replace(version, revision=version.revision + 1)
    if not replace_row(
        connection,
        tables.model_version,
        _version_row(stored),
        tenant=version.tenant,
        model=version.model,
        version=version.version,
        revision=version.revision,
    ):
        raise StateConflict
    return stored


def _current(connection: Connection, tenant: str, model: str) -> Release | None:
    query = (
        select(tables.release)
        .where(_RELEASE.tenant == tenant, _RELEASE.model == model)
        .order_by(_RELEASE.sequence.desc())
        .limit(1)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _release(row)


def _model_row(model: Model) -> dict[str, Any]:
    names = ("tenant", "name", "personal", "data_class", "created", "created_by")
    return {name: getattr(model, name) for name in names}


_PLAIN_OF_VERSION = (
    "tenant",
    "model",
    "version",
    "state",
    "created",
    "created_by",
    "manifest",
    "owner_bundle",
    "owner_key_pem",
    "link",
    "reason",
    "source",
    "revision",
)


def _version_row(version: ModelVersion) -> dict[str, Any]:
    row = {name: getattr(version, name) for name in _PLAIN_OF_VERSION}
    row["payloads_json"] = to_text(version.payloads)
    row["facts_json"] = to_text(version.facts)
    return row


def _version(row: RowMapping) -> ModelVersion:
    return ModelVersion(
        **{name: row[name] for name in _PLAIN_OF_VERSION},
        payloads=payloads_from_text(row["payloads_json"]),
        facts=facts_from_text(row["facts_json"]),
    )


_OF_RELEASE = ("tenant", "model", "version", "previous", "action", "by", "at", "sequence")


def _release_row(entry: Release) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in _OF_RELEASE}


def _release(row: RowMapping) -> Release:
    return Release(**{name: row[name] for name in _OF_RELEASE})
