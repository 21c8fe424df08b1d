"""Federations, sites and runs, in SQL."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, select

from gateway.artifacts.upload import Rewrap
from gateway.errors import AlreadyExists, StateConflict
from gateway.federation.records import Federation, Run, Site
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.documents import (
    ordered_from_text,
    payload_from_text,
    to_text,
)
from gateway.storage.statements import get_one, put_new, replace_row, rows
from gateway.storage.wrapped_keys import rewrap_one

_FEDERATION = tables.federation.c
_SITE = tables.site.c
_RUN = tables.run.c


class SqlFederationStore:
    """`gateway.federation.ports.FederationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_federation(self, federation: Federation) -> None:
        """See the port."""
        check_key(federation.tenant, federation.name)
        check_record(federation)
        with self._database.writing() as connection:
            put_new(connection, tables.federation, _federation_row(federation), AlreadyExists())

    def get_federation(self, tenant: str, name: str) -> Federation | None:
        """See the port."""
        if not is_storable(tenant, name):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.federation, tenant=tenant, name=name)
        return None if row is None else _federation(row)

    def list_federations(self, tenant: str, *, after: str, limit: int) -> list[Federation]:
        """See the port."""
        check_key(tenant, after)
        query = (
            select(tables.federation)
            .where(_FEDERATION.tenant == tenant, _FEDERATION.name > after)
            .order_by(_FEDERATION.name)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_federation(row) for row in rows(connection, query)]

    def allow_site(self, tenant: str, federation: str, site: str) -> None:
        """See the port."""
        check_key(tenant, federation)
        check_key(site)
        query = (
            select(_FEDERATION.sites_json)
            .where(_FEDERATION.tenant == tenant, _FEDERATION.name == federation)
            .with_for_update()
        )
        with self._database.writing() as connection:
            known = connection.execute(query).scalar_one_or_none()
            if known is None:
                raise StateConflict
            sites = ordered_from_text(known)
            if site not in sites:
                row = {"sites_json": to_text((*sites, site))}
                replace_row(connection, tables.federation, row, tenant=tenant, name=federation)

    def add_site(self, site: Site) -> None:
        """See the port."""
        check_key(site.tenant, site.name)
        check_key(site.public_key)
        check_record(site)
        with self._database.writing() as connection:
            put_new(connection, tables.site, _plain(site, _OF_SITE), AlreadyExists())

    def get_site(self, tenant: str, name: str) -> Site | None:
        """See the port."""
        if not is_storable(tenant, name):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.site, tenant=tenant, name=name)
        return None if row is None else Site(**row)

    def site_by_key(self, public_key: str) -> Site | None:
        """See the port."""
        if not is_storable(public_key):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.site, public_key=public_key)
        return None if row is None else Site(**row)

    def revoke_site(self, tenant: str, name: str) -> None:
        """See the port."""
        check_key(tenant, name)
        with self._database.writing() as connection:
            if not replace_row(
                connection, tables.site, {"revoked": True}, tenant=tenant, name=name
            ):
                raise StateConflict

    def add_run(self, run: Run) -> None:
        """See the port."""
        check_key(run.id, run.tenant, run.federation)
        check_record(run)
        with self._database.writing() as connection:
            row = _plain(replace(run, revision=0), _OF_RUN)
            put_new(connection, tables.run, row, AlreadyExists())

    def get_run(self, tenant: str, run_id: str) -> Run | None:
        """See the port."""
        if not is_storable(tenant, run_id):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.run, id=run_id, tenant=tenant)
        return None if row is None else Run(**row)

    def replace_run(self, run: Run) -> Run:
        """See the port."""
        check_key(run.id, run.tenant, run.federation)
        check_record(run)
        stored = replace(run, revision=run.revision + 1)
        key = {"id": run.id, "tenant": run.tenant, "revision": run.revision}
        with self._database.writing() as connection:
            if not replace_row(connection, tables.run, _plain(stored, _OF_RUN), **key):
                raise StateConflict
        return stored

    def list_runs(self, tenant: str, federation: str, *, after: str, limit: int) -> list[Run]:
        """See the port."""
        check_key(tenant, federation, after)
        query = (
            select(tables.run)
            .where(_RUN.tenant == tenant, _RUN.federation == federation, _RUN.id > after)
            .order_by(_RUN.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [Run(**row) for row in rows(connection, query)]

    def unfinished_runs(self, *, after: str, limit: int) -> list[Run]:
        """See the port."""
        check_key(after)
        return self._unfinished(_RUN.id > after, limit=limit)

    def unfinished_of(self, tenant: str, federation: str, *, limit: int) -> list[Run]:
        """See the port."""
        check_key(tenant, federation)
        return self._unfinished(_RUN.tenant == tenant, _RUN.federation == federation, limit=limit)

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        check_key(tenant)
        return rewrap_one(self._database, tables.federation, "calibration_json", tenant, change)

    def _unfinished(self, *where: ColumnElement[bool], limit: int) -> list[Run]:
        query = (
            select(tables.run)
            .where(_RUN.state.not_in(["finished", "failed"]), *where)
            .order_by(_RUN.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [Run(**row) for row in rows(connection, query)]


_OF_SITE = tuple(column.name for column in tables.site.columns)
_OF_RUN = tuple(column.name for column in tables.run.columns)


def _plain(record: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


_PLAIN_OF_FEDERATION = (
    "tenant",
    "name",
    "model",
    "task",
    "config",
    "quorum",
    "deadline_s",
    "created",
    "created_by",
)


def _federation_row(federation: Federation) -> dict[str, Any]:
    row = _plain(federation, _PLAIN_OF_FEDERATION)
    row["sites_json"] = to_text(federation.sites)
    calibration = federation.calibration
    row["calibration_json"] = None if calibration is None else to_text(calibration)
    return row


def _federation(row: RowMapping) -> Federation:
    calibration = row["calibration_json"]
    return Federation(
        **{name: row[name] for name in _PLAIN_OF_FEDERATION},
        sites=ordered_from_text(row["sites_json"]),
        calibration=None if calibration is None else payload_from_text(calibration),
    )
