"""The store of passkeys, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, func, select

from gateway.errors import AlreadyExists, LimitReached, StateConflict
from gateway.identity.passkeys import Passkey
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.statements import get_one, put_new, replace_row, rows

_PASSKEY = tables.passkey.c


class SqlPasskeyStore:
    """`gateway.identity.passkeys.PasskeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, passkey: Passkey, most: int) -> None:
        """See the port."""
        check_key(passkey.id, passkey.tenant, passkey.person)
        check_record(passkey)
        with self._database.writing() as connection:
            _lock_person(connection, passkey.tenant, passkey.person)
            put_new(connection, tables.passkey, asdict(passkey), AlreadyExists())
            if _count(connection, passkey.person) > most:
                raise LimitReached

    def get(self, passkey_id: str) -> Passkey | None:
        """See the port."""
        if not is_storable(passkey_id):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.passkey, id=passkey_id)
        return None if row is None else Passkey(**row)

    def find(self, credential: bytes) -> Passkey | None:
        """See the port."""
        with self._database.reading() as connection:
            row = get_one(connection, tables.passkey, credential=credential)
        return None if row is None else Passkey(**row)

    def list(self, person_id: str) -> Sequence[Passkey]:
        """See the port."""
        check_key(person_id)
        query = (
            select(tables.passkey)
            .where(_PASSKEY.person == person_id)
            .order_by(_PASSKEY.created, _PASSKEY.id)
        )
        with self._database.reading() as connection:
            return [Passkey(**row) for row in rows(connection, query)]

    def holders(self, tenant: str) -> frozenset[str]:
        """See the port."""
        check_key(tenant)
        query = select(_PASSKEY.person).where(_PASSKEY.tenant == tenant, _PASSKEY.copied.is_(False))
        with self._database.reading() as connection:
            return frozenset(row["person"] for row in rows(connection, query))

    def used(self, passkey_id: str, was: int, counter: int, now: int) -> bool:
        """See the port."""
        if not is_storable(passkey_id):
            return False
        fresh, key = {"counter": counter, "used": now}, {"counter": was, "copied": False}
        with self._database.writing() as connection:
            return replace_row(connection, tables.passkey, fresh, id=passkey_id, **key)

    def mark_copied(self, passkey_id: str) -> None:
        """See the port."""
        with self._database.writing() as connection:
            replace_row(connection, tables.passkey, {"copied": True}, id=passkey_id)

    def remove(self, passkey_id: str, *, keep: int = 0) -> bool:
        """See the port."""
        if not is_storable(passkey_id):
            return False
        with self._database.writing() as connection:
            row = get_one(connection, tables.passkey, id=passkey_id)
            if row is None:
                return False
            _lock_person(connection, row["tenant"], row["person"])
            others = (_PASSKEY.id != passkey_id, _PASSKEY.copied.is_(False))
            if _count(connection, row["person"], *others) < keep:
                return False
            gone = delete(tables.passkey).where(_PASSKEY.id == passkey_id)
            return connection.execute(gone).rowcount == 1


def _lock_person(connection: Connection, tenant: str, person: str) -> None:
    """Let changes of one person's passkeys come one after another; SQLite has one writer anyway."""
    row = tables.person.c
    query = select(row.id).where(row.id == person, row.tenant == tenant).with_for_update()
    if not rows(connection, query):
        raise StateConflict


def _count(connection: Connection, person: str, *more: object) -> int:
    query = select(func.count()).select_from(tables.passkey).where(_PASSKEY.person == person)
    for condition in more:
        query = query.where(condition)  # type: ignore[arg-type]
    return int(connection.execute(query).scalar_one())
