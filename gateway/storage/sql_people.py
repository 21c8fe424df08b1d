"""The stores of people, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import RowMapping, delete, func, select

from gateway.artifacts.upload import Rewrap
from gateway.errors import AlreadyExists, StateConflict
from gateway.identity.people import Person, SignIn, Ticket
from gateway.storage import tables
from gateway.storage.bounds import check_key, check_record, is_storable
from gateway.storage.database import Database
from gateway.storage.documents import (
    facts_from_text,
    names_from_text,
    names_to_text,
    payload_from_text,
    to_text,
)
from gateway.storage.statements import get_one, put_new, replace_row, rows
from gateway.storage.wrapped_keys import rewrap_one

_PERSON, _SIGN_IN, _TICKET = tables.person.c, tables.sign_in.c, tables.ticket.c


class SqlPersonStore:
    """`gateway.identity.people_ports.PersonStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, person_id: str) -> Person | None:
        """See the port."""
        if not is_storable(person_id):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.person, id=person_id)
        return None if row is None else _person(row)

    def find(self, tenant: str, mark: bytes) -> Person | None:
        """See the port."""
        if not is_storable(tenant):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.person, tenant=tenant, mark=mark)
        return None if row is None else _person(row)

    def add(self, person: Person) -> None:
        """See the port."""
        check_key(person.id, person.tenant)
        check_record(person)
        with self._database.writing() as connection:
            put_new(connection, tables.person, _person_row(person), AlreadyExists())

    def update(self, person: Person) -> Person:
        """See the port."""
        check_key(person.id, person.tenant)
        check_record(person)
        fresh = replace(person, revision=person.revision + 1)
        key = {"id": person.id, "tenant": person.tenant, "revision": person.revision}
        with self._database.writing() as connection:
            if not replace_row(connection, tables.person, _person_row(fresh), **key):
                raise StateConflict
        return fresh

    def list(self, tenant: str, after: str, limit: int) -> Sequence[Person]:
        """See the port."""
        check_key(tenant, after)
        query = (
            select(tables.person)
            .where(_PERSON.tenant == tenant, _PERSON.id > after)
            .order_by(_PERSON.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_person(row) for row in rows(connection, query)]

    def remove(self, tenant: str, person_id: str) -> None:
        """See the port."""
        if not is_storable(tenant, person_id):
            return
        with self._database.writing() as connection:
            gone = delete(tables.person)
            connection.execute(gone.where(_PERSON.id == person_id, _PERSON.tenant == tenant))
            for table in (tables.sign_in, tables.ticket, tables.passkey):
                of_person = (table.c.person == person_id, table.c.tenant == tenant)
                connection.execute(delete(table).where(*of_person))

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        return rewrap_one(self._database, tables.person, "sealed_json", tenant, change)


class SqlSignInStore:
    """`gateway.identity.people_ports.SignInStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, sign_in: SignIn) -> None:
        """See the port."""
        check_key(sign_in.id)
        check_record(sign_in)
        with self._database.writing() as connection:
            put_new(connection, tables.sign_in, _sign_in_row(sign_in), AlreadyExists())

    def get(self, sign_in_id: str) -> SignIn | None:
        """See the port."""
        if not is_storable(sign_in_id):
            return None
        with self._database.reading() as connection:
            row = get_one(connection, tables.sign_in, id=sign_in_id)
        return None if row is None else _sign_in(row)

    def find(self, secret: bytes) -> SignIn | None:
        """See the port."""
        if not secret:
            return None
        query = select(tables.sign_in).where(_SIGN_IN.secret == secret, _SIGN_IN.kind == "browser")
        with self._database.reading() as connection:
            found = rows(connection, query)
        return _sign_in(found[0]) if found else None

    def update(self, sign_in: SignIn) -> bool:
        """See the port."""
        check_record(sign_in)
        with self._database.writing() as connection:
            return replace_row(connection, tables.sign_in, _sign_in_row(sign_in), id=sign_in.id)

    def list(self, person_id: str, limit: int) -> Sequence[SignIn]:
        """See the port."""
        check_key(person_id)
        query = (
            select(tables.sign_in)
            .where(_SIGN_IN.person == person_id)
            .order_by(_SIGN_IN.created.desc(), _SIGN_IN.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_sign_in(row) for row in rows(connection, query)]

    def remove(self, sign_in_id: str) -> bool:
        """See the port."""
        if not is_storable(sign_in_id):
            return False
        with self._database.writing() as connection:
            connection.execute(delete(tables.ticket).where(_TICKET.sign_in == sign_in_id))
            gone = connection.execute(delete(tables.sign_in).where(_SIGN_IN.id == sign_in_id))
            return gone.rowcount == 1

    def prune(self, now: int) -> int:
        """See the port."""
        old = select(_SIGN_IN.id).where(_SIGN_IN.expires < now)
        with self._database.writing() as connection:
            connection.execute(delete(tables.ticket).where(_TICKET.sign_in.in_(old)))
            gone = connection.execute(delete(tables.sign_in).where(_SIGN_IN.expires < now))
            return gone.rowcount


class SqlTicketStore:
    """`gateway.identity.people_ports.TicketStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, ticket: Ticket) -> None:
        """See the port."""
        check_key(ticket.kind, ticket.tenant, ticket.person, ticket.sign_in)
        check_record(ticket)
        with self._database.writing() as connection:
            put_new(connection, tables.ticket, _ticket_row(ticket), AlreadyExists())

    def get(self, kind: str, digest: bytes) -> Ticket | None:
        """See the port."""
        with self._database.reading() as connection:
            row = get_one(connection, tables.ticket, digest=digest, kind=kind)
        return None if row is None else _ticket(row)

    def spend(
        self,
        kind: str,
        digest: bytes,
        facts: Mapping[str, str] | None = None,
        *,
        for_one: Ticket | None = None,
    ) -> bool:
        """See the port."""
        fresh: dict[str, Any] = {"spent": True}
        if facts is not None:
            check_record(facts)
            fresh["facts_json"] = to_text(facts)
        if for_one is not None:
            check_key(for_one.kind, for_one.tenant, for_one.person, for_one.sign_in)
            check_record(for_one)
        with self._database.writing() as connection:
            spent = replace_row(
                connection, tables.ticket, fresh, digest=digest, kind=kind, spent=False
            )
            if spent and for_one is not None:
                put_new(connection, tables.ticket, _ticket_row(for_one), AlreadyExists())
            return spent

    def change(
        self, kind: str, digest: bytes, was: Mapping[str, str], facts: Mapping[str, str]
    ) -> bool:
        """See the port."""
        check_record(facts)
        key = {"digest": digest, "kind": kind, "spent": False, "facts_json": to_text(was)}
        with self._database.writing() as connection:
            return replace_row(connection, tables.ticket, {"facts_json": to_text(facts)}, **key)

    def withdraw(self, kind: str, person_id: str, *, but: bytes = b"") -> None:
        """See the port."""
        of_person = (_TICKET.kind == kind, _TICKET.person == person_id, _TICKET.digest != but)
        gone = delete(tables.ticket).where(*of_person)
        with self._database.writing() as connection:
            connection.execute(gone)

    def count(self, kind: str) -> int:
        """See the port."""
        query = select(func.count()).select_from(tables.ticket).where(_TICKET.kind == kind)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def prune(self, now: int) -> int:
        """See the port."""
        with self._database.writing() as connection:
            return connection.execute(delete(tables.ticket).where(_TICKET.expires < now)).rowcount


def _person_row(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "tenant": person.tenant,
        "roles_json": names_to_text(person.roles),
        "purposes_json": names_to_text(person.purposes),
        "default_purpose": person.default_purpose,
        "state": person.state,
        "mark": person.mark,
        "sealed_json": to_text(person.sealed),
        "details": person.details,
        "password": person.password,
        "created": person.created,
        "revision": person.revision,
        "not_before": person.not_before,
    }


def _person(row: RowMapping) -> Person:
    return Person(
        id=row["id"],
        tenant=row["tenant"],
        roles=names_from_text(row["roles_json"]),
        purposes=names_from_text(row["purposes_json"]),
        default_purpose=row["default_purpose"],
        state=row["state"],
        mark=row["mark"],
        sealed=payload_from_text(row["sealed_json"]),
        details=row["details"],
        password=row["password"],
        created=row["created"],
        revision=row["revision"],
        not_before=row["not_before"],
    )


def _sign_in_row(one: SignIn) -> dict[str, Any]:
    names = ("id", "kind", "tenant", "person", "client", "thumbprint", "acr", "authenticated")
    more = ("created", "seen", "expires", "secret")
    row: dict[str, Any] = {name: getattr(one, name) for name in (*names, *more)}
    row["scopes_json"], row["amr_json"] = names_to_text(one.scopes), names_to_text(one.amr)
    return row


def _sign_in(row: RowMapping) -> SignIn:
    fields = dict(row)
    scopes, amr = fields.pop("scopes_json"), fields.pop("amr_json")
    return SignIn(**fields, scopes=names_from_text(scopes), amr=names_from_text(amr))


def _ticket_row(ticket: Ticket) -> dict[str, Any]:
    return {
        "digest": ticket.digest,
        "kind": ticket.kind,
        "tenant": ticket.tenant,
        "person": ticket.person,
        "sign_in": ticket.sign_in,
        "expires": ticket.expires,
        "facts_json": to_text(ticket.facts),
        "spent": ticket.spent,
    }


def _ticket(row: RowMapping) -> Ticket:
    fields = dict(row)
    return Ticket(facts=facts_from_text(fields.pop("facts_json")), **fields)
