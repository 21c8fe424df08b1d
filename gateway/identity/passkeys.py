"""The record of a passkey, and what passkeys need from storage.

1. A passkey is a public key: nothing here signs anybody in. What its owner calls it is sealed under
   the person's own key (`gateway.identity.person_details`).
2. The handle by which an authenticator knows the person follows from the person's random key and is
   not the pseudonym of the log: whoever keeps passkeys for people cannot find them there.
3. A passkey whose counter went back may exist twice. It is marked, and signs nobody in from then
   on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

MAX_PASSKEYS: Final = 10
"""Of a person: some devices and a spare; all of them are named in each request of a page."""


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey of a person.

    Attributes:
        id: Our reference: in the log and on the person's page.
        tenant: Of the person.
        person: Its id.
        credential: The id that the authenticator chose, unique over all.
        handle: What the authenticator knows the person by.
        public_key: COSE key (RFC 9052 section 7), as CBOR.
        counter: Of signatures, as last seen; 0 for those that do not count.
        copied: Its counter went back: it signs nobody in any more.
        label: What the person calls it, sealed.
        created: Unix seconds.
        used: When it last signed in, Unix seconds; 0: never.
    """

    id: str
    tenant: str
    person: str
    credential: bytes = field(repr=False)
    handle: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    counter: int
    copied: bool
    label: bytes = field(repr=False)
    created: int
    used: int = 0


class PasskeyStore(Protocol):
    """The passkeys of all people; `PersonStore.remove` forgets those of a person with it."""

    def add(self, passkey: Passkey, most: int) -> None:
        """Store a new passkey of a person who is there and has fewer than `most`.

        Raises:
            AlreadyExists: The id or the credential is taken, by whomever.
            LimitReached: The person has `most` by now.
            StateConflict: The person is not there.
        """
        ...

    def get(self, passkey_id: str) -> Passkey | None:
        """Return the passkey, or None."""
        ...

    def find(self, credential: bytes) -> Passkey | None:
        """Return the passkey of a credential, or None."""
        ...

    def list(self, person_id: str) -> Sequence[Passkey]:
        """Return the passkeys of a person, the oldest first."""
        ...

    def holders(self, tenant: str) -> frozenset[str]:
        """Return the ids of the tenant's people who have a passkey that is not marked."""
        ...

    def used(self, passkey_id: str, was: int, counter: int, now: int) -> bool:
        """Note a use, if the counter still is `was` and there is no mark; tell whether it was."""
        ...

    def mark_copied(self, passkey_id: str) -> None:
        """Let a passkey sign nobody in any more. Idempotent."""
        ...

    def remove(self, passkey_id: str, *, keep: int = 0) -> bool:
        """Forget a passkey if `keep` others without a mark stay; tell whether it was forgotten."""
        ...


def new_passkey_id(random_bytes: Callable[[int], bytes]) -> str:
    """Return a fresh reference of a passkey."""
    return f"passkey-{random_bytes(16).hex()}"
