"""The stores of people in memory, for tests and tools: every promise but durability."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.artifacts.upload import Rewrap
from gateway.errors import AlreadyExists, StateConflict
from gateway.identity.passkeys import Passkey
from gateway.identity.people import Person, SignIn, Ticket
from gateway.storage.bounds import check_key, check_record


@dataclass(slots=True)
class Kept:
    """What the stores of people share: removing a person removes what belongs to it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    people: dict[str, Person] = field(default_factory=dict)
    sign_ins: dict[str, SignIn] = field(default_factory=dict)
    tickets: dict[bytes, Ticket] = field(default_factory=dict)
    passkeys: dict[str, Passkey] = field(default_factory=dict)


class MemoryPersonStore:
    """`gateway.identity.people_ports.PersonStore`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def get(self, person_id: str) -> Person | None:
        """See the port."""
        return self._kept.people.get(person_id)

    def find(self, tenant: str, mark: bytes) -> Person | None:
        """See the port."""
        with self._kept.lock:
            people = self._kept.people.values()
            return next((p for p in people if (p.tenant, p.mark) == (tenant, mark)), None)

    def add(self, person: Person) -> None:
        """See the port."""
        check_key(person.id, person.tenant)
        check_record(person)
        with self._kept.lock:
            people = self._kept.people
            same = (
                p for p in people.values() if (p.tenant, p.mark) == (person.tenant, person.mark)
            )
            if person.id in people or next(same, None) is not None:
                raise AlreadyExists
            people[person.id] = person

    def update(self, person: Person) -> Person:
        """See the port."""
        check_key(person.id, person.tenant)
        check_record(person)
        with self._kept.lock:
            known = self._kept.people.get(person.id)
            key = (person.tenant, person.revision)
            if known is None or (known.tenant, known.revision) != key:
                raise StateConflict
            fresh = replace(person, revision=person.revision + 1)
            self._kept.people[person.id] = fresh
            return fresh

    def list(self, tenant: str, after: str, limit: int) -> Sequence[Person]:
        """See the port."""
        check_key(tenant, after)
        with self._kept.lock:
            mine = [p for p in self._kept.people.values() if p.tenant == tenant and p.id > after]
        return sorted(mine, key=lambda person: person.id)[:limit]

    def remove(self, tenant: str, person_id: str) -> None:
        """See the port."""
        with self._kept.lock:
            kept, gone = self._kept, (tenant, person_id)
            person = kept.people.get(person_id)
            if person is not None and person.tenant == tenant:
                del kept.people[person_id]
            for name in [n for n, s in kept.sign_ins.items() if (s.tenant, s.person) == gone]:
                del kept.sign_ins[name]
            for digest in [d for d, t in kept.tickets.items() if (t.tenant, t.person) == gone]:
                del kept.tickets[digest]
            for name in [n for n, k in kept.passkeys.items() if (k.tenant, k.person) == gone]:
                del kept.passkeys[name]

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See the port."""
        count = 0
        with self._kept.lock:
            for key, person in self._kept.people.items():
                fresh = change(person.sealed) if person.tenant == tenant else person.sealed
                if fresh != person.sealed:
                    self._kept.people[key] = replace(person, sealed=fresh)
                    count += 1
        return count


class MemorySignInStore:
    """`gateway.identity.people_ports.SignInStore`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, sign_in: SignIn) -> None:
        """See the port."""
        check_key(sign_in.id)
        check_record(sign_in)
        with self._kept.lock:
            if sign_in.id in self._kept.sign_ins:
                raise AlreadyExists
            self._kept.sign_ins[sign_in.id] = sign_in

    def get(self, sign_in_id: str) -> SignIn | None:
        """See the port."""
        return self._kept.sign_ins.get(sign_in_id)

    def find(self, secret: bytes) -> SignIn | None:
        """See the port."""
        with self._kept.lock:
            found = (
                s
                for s in self._kept.sign_ins.values()
                if s.kind == "browser" and s.secret == secret
            )
            return next(found, None) if secret else None

    def update(self, sign_in: SignIn) -> bool:
        """See the port."""
        check_record(sign_in)
        with self._kept.lock:
            known = sign_in.id in self._kept.sign_ins
            if known:
                self._kept.sign_ins[sign_in.id] = sign_in
            return known

    def list(self, person_id: str, limit: int) -> Sequence[SignIn]:
        """See the port."""
        check_key(person_id)
        with self._kept.lock:
            mine = [s for s in self._kept.sign_ins.values() if s.person == person_id]
        return sorted(mine, key=lambda one: (-one.created, one.id))[:limit]

    def remove(self, sign_in_id: str) -> bool:
        """See the port."""
        with self._kept.lock:
            return self._remove(sign_in_id)

    def prune(self, now: int) -> int:
        """See the port."""
        with self._kept.lock:
            old = [name for name, one in self._kept.sign_ins.items() if one.expires < now]
            return sum(self._remove(name) for name in old)

    def _remove(self, sign_in_id: str) -> bool:
        tickets = self._kept.tickets
        for digest in [d for d, ticket in tickets.items() if ticket.sign_in == sign_in_id]:
            del tickets[digest]
        return self._kept.sign_ins.pop(sign_in_id, None) is not None


class MemoryTicketStore:
    """`gateway.identity.people_ports.TicketStore`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, ticket: Ticket) -> None:
        """See the port."""
        check_key(ticket.kind, ticket.tenant, ticket.person, ticket.sign_in)
        check_record(ticket)
        with self._kept.lock:
            if ticket.digest in self._kept.tickets:
                raise AlreadyExists
            self._kept.tickets[ticket.digest] = replace(ticket, facts=dict(ticket.facts))

    def get(self, kind: str, digest: bytes) -> Ticket | None:
        """See the port."""
        found = self._kept.tickets.get(digest)
        if found is None or found.kind != kind:
            return None
        return replace(found, facts=dict(found.facts))

    def spend(
        self,
        kind: str,
        digest: bytes,
        facts: Mapping[str, str] | None = None,
        *,
        for_one: Ticket | None = None,
    ) -> bool:
        """See the port."""
        check_record(facts)
        check_record(for_one)
        with self._kept.lock:
            known = self._kept.tickets.get(digest)
            if known is None or known.kind != kind or known.spent:
                return False
            if for_one is not None:
                if for_one.digest in self._kept.tickets:
                    raise AlreadyExists
                self._kept.tickets[for_one.digest] = replace(for_one, facts=dict(for_one.facts))
            told = known.facts if facts is None else dict(facts)
            self._kept.tickets[digest] = replace(known, spent=True, facts=told)
            return True

    def change(
        self, kind: str, digest: bytes, was: Mapping[str, str], facts: Mapping[str, str]
    ) -> bool:
        """See the port."""
        check_record(facts)
        with self._kept.lock:
            known = self._kept.tickets.get(digest)
            if known is None or known.kind != kind or known.spent or known.facts != was:
                return False
            self._kept.tickets[digest] = replace(known, facts=dict(facts))
            return True

    def withdraw(self, kind: str, person_id: str, *, but: bytes = b"") -> None:
        """See the port."""
        with self._kept.lock:
            tickets, gone = self._kept.tickets, (kind, person_id)
            for digest in [d for d, t in tickets.items() if (t.kind, t.person) == gone]:
                if digest != but:
                    del tickets[digest]

    def count(self, kind: str) -> int:
        """See the port."""
        with self._kept.lock:
            return sum(ticket.kind == kind for ticket in self._kept.tickets.values())

    def prune(self, now: int) -> int:
        """See the port."""
        with self._kept.lock:
            tickets = self._kept.tickets
            old = [digest for digest, ticket in tickets.items() if ticket.expires < now]
            for digest in old:
                del tickets[digest]
            return len(old)
