"""Which people of a tenant could steer it now: those who are active and have a passkey.

INVARIANT: who is named could sign in as strongly as the platform asks of people who steer, with
what it has now: without a passkey nobody does (`platform-mfa`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from gateway.identity.passkeys import PasskeyStore
from gateway.identity.people import Person, registration_of
from gateway.identity.people_ports import PersonStore
from gateway.pages import every
from policies.standing import Candidate

MAX_READ: Final = 5_000
"""People of a tenant that are looked through."""


class Steerers:
    """Finds them. Blocks.

    Args:
        people: Where people are kept.
        passkeys: Where passkeys are kept.
    """

    def __init__(self, people: PersonStore, passkeys: PasskeyStore) -> None:
        self._people = people
        self._passkeys = passkeys

    def candidates(self, tenant: str) -> Iterator[Candidate]:
        """Yield the tenant's people with the widest tokens that they may have.

        At best they come by the command line, which binds its tokens.
        """
        for person in self._strong(tenant):
            registered = registration_of(person)
            yield Candidate(
                id=person.id,
                kind="user",
                roles=person.roles,
                scopes=registered.scopes,
                purposes=person.purposes,
                binding="dpop",
                purpose=person.default_purpose,
            )

    def administrators(self, tenant: str) -> Iterator[str]:
        """Yield the ids of the tenant's people who could administer."""
        return (p.id for p in self._strong(tenant) if "administrator" in p.roles)

    def _strong(self, tenant: str) -> Iterator[Person]:
        holders = self._passkeys.holders(tenant)
        if not holders:
            return

        def page(after: str, limit: int) -> Sequence[Person]:
            return self._people.list(tenant, after, limit)

        found = islice(every(page, lambda person: person.id, ""), MAX_READ)
        yield from (p for p in found if p.id in holders and p.state == "active")
