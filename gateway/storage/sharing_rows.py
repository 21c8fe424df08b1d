"""Sharings as rows of SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, select, tuple_

from gateway.registry.records import Sharing
from gateway.storage import tables
from gateway.storage.documents import names_from_text, names_to_text
from gateway.storage.statements import rows

_SHARING = tables.sharing.c
_PLAIN: Final = (
    "id",
    "owner",
    "model",
    "tenant",
    "infer",
    "download",
    "until",
    "offered",
    "offered_by",
    "accepted",
    "accepted_by",
)


def sharing_row(sharing: Sharing) -> dict[str, Any]:
    """Return the row of a sharing."""
    row = {name: getattr(sharing, name) for name in _PLAIN}
    row["versions_json"] = names_to_text(sharing.versions)
    row["purposes_json"] = names_to_text(sharing.purposes)
    return row


def sharing_of(row: RowMapping) -> Sharing:
    """Return the sharing of a row."""
    return Sharing(
        **{name: row[name] for name in _PLAIN},
        versions=names_from_text(row["versions_json"]),
        purposes=names_from_text(row["purposes_json"]),
    )


def of_key(owner: str, model: str, tenant: str) -> tuple[ColumnElement[bool], ...]:
    """Return what finds the row of a model and a tenant."""
    return _SHARING.owner == owner, _SHARING.model == model, _SHARING.tenant == tenant


def page_to(tenant: str, after: tuple[str, str], limit: int) -> Select[Any]:
    """Return the query of a page of what a tenant was offered."""
    place = tuple_(_SHARING.owner, _SHARING.model)
    query = select(tables.sharing).where(_SHARING.tenant == tenant, place > tuple_(*after))
    return query.order_by(_SHARING.owner, _SHARING.model).limit(limit)


def sharings_of(
    connection: Connection, models: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], set[Sharing]]:
    """Return the sharings of models, by (tenant, name) of each."""
    found: dict[tuple[str, str], set[Sharing]] = {key: set() for key in models}
    if models:
        query = select(tables.sharing).where(
            tuple_(_SHARING.owner, _SHARING.model).in_(list(models))
        )
        for row in rows(connection, query):
            found[row["owner"], row["model"]].add(sharing_of(row))
    return found
