"""What people need from storage, as promises: those of `gateway.identity.ports`, and these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.artifacts.upload import Rewrap
from gateway.identity.people import Person, SignIn, Ticket


class PersonStore(Protocol):
    """The people of all tenants. Ids are unique over all, marks within a tenant."""

    def get(self, person_id: str) -> Person | None:
        """Return the person, or None when there is none of that id."""
        ...

    def find(self, tenant: str, mark: bytes) -> Person | None:
        """Return the tenant's person of that mark, or None."""
        ...

    def add(self, person: Person) -> None:
        """Store a new person.

        Raises:
            AlreadyExists: The id is taken, or the tenant has a person of that mark.
        """
        ...

    def update(self, person: Person) -> Person:
        """Replace the stored person as a whole, and return it with its new revision.

        Raises:
            StateConflict: Another revision is stored by now, or none.
        """
        ...

    def list(self, tenant: str, after: str, limit: int) -> Sequence[Person]:
        """Return up to `limit` people of the tenant with an id greater than `after`, by id."""
        ...

    def remove(self, tenant: str, person_id: str) -> None:
        """Forget a person with all its sign-ins and tickets, in one transaction. Idempotent."""
        ...

    def rewrap(self, tenant: str, change: Rewrap) -> int:
        """See `gateway.artifacts.upload.HoldsWrappedKeys`."""
        ...


class SignInStore(Protocol):
    """Where people are signed in."""

    def add(self, sign_in: SignIn) -> None:
        """Store a new sign-in.

        Raises:
            AlreadyExists: The id is taken.
        """
        ...

    def get(self, sign_in_id: str) -> SignIn | None:
        """Return the sign-in, or None."""
        ...

    def find(self, secret: bytes) -> SignIn | None:
        """Return the browser's sign-in whose secret has this SHA-256, or None."""
        ...

    def update(self, sign_in: SignIn) -> bool:
        """Replace the stored one of the same id; tell whether there was one."""
        ...

    def list(self, person_id: str, limit: int) -> Sequence[SignIn]:
        """Return up to `limit` sign-ins of a person, the newest first."""
        ...

    def remove(self, sign_in_id: str) -> bool:
        """Forget a sign-in and its tickets, in one transaction; tell whether there was one."""
        ...

    def prune(self, now: int) -> int:
        """Forget those that have `expires < now`, and their tickets; return how many."""
        ...


class TicketStore(Protocol):
    """Secrets for one use."""

    def add(self, ticket: Ticket) -> None:
        """Store a new ticket.

        Raises:
            AlreadyExists: There is one of that digest.
        """
        ...

    def get(self, kind: str, digest: bytes) -> Ticket | None:
        """Return the ticket of that kind and digest, spent or not, or None."""
        ...

    def spend(
        self,
        kind: str,
        digest: bytes,
        facts: Mapping[str, str] | None = None,
        *,
        for_one: Ticket | None = None,
    ) -> bool:
        """Mark a ticket as spent, with other facts if given; true for exactly one caller.

        What it is spent for is stored in the same transaction: both are there, or neither.

        Raises:
            AlreadyExists: There is a ticket of the digest of `for_one`; nothing was spent.
        """
        ...

    def change(
        self, kind: str, digest: bytes, was: Mapping[str, str], facts: Mapping[str, str]
    ) -> bool:
        """Replace the facts of a ticket that is not spent and has these; tell whether it did."""
        ...

    def withdraw(self, kind: str, person_id: str, *, but: bytes = b"") -> None:
        """Forget all tickets of a kind and person, but the one of that digest."""
        ...

    def count(self, kind: str) -> int:
        """Return how many tickets of a kind there are."""
        ...

    def prune(self, now: int) -> int:
        """Forget tickets that have `expires < now`; return how many."""
        ...
