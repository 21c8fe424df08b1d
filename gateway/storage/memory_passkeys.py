"""The store of passkeys in memory, beside the people that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.errors import AlreadyExists, LimitReached, StateConflict
from gateway.identity.passkeys import Passkey
from gateway.storage.bounds import check_key, check_record
from gateway.storage.memory_people import Kept


class MemoryPasskeyStore:
    """`gateway.identity.passkeys.PasskeyStore`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def add(self, passkey: Passkey, most: int) -> None:
        """See the port."""
        check_key(passkey.id, passkey.tenant, passkey.person)
        check_record(passkey)
        with self._kept.lock:
            known, person = self._kept.passkeys, self._kept.people.get(passkey.person)
            if person is None or person.tenant != passkey.tenant:
                raise StateConflict
            taken = any(one.credential == passkey.credential for one in known.values())
            if taken or passkey.id in known:
                raise AlreadyExists
            if len(self._of(passkey.person)) >= most:
                raise LimitReached
            known[passkey.id] = passkey

    def get(self, passkey_id: str) -> Passkey | None:
        """See the port."""
        return self._kept.passkeys.get(passkey_id)

    def find(self, credential: bytes) -> Passkey | None:
        """See the port."""
        with self._kept.lock:
            known = self._kept.passkeys.values()
            return next((one for one in known if one.credential == credential), None)

    def list(self, person_id: str) -> Sequence[Passkey]:
        """See the port."""
        check_key(person_id)
        with self._kept.lock:
            return sorted(self._of(person_id), key=lambda one: (one.created, one.id))

    def holders(self, tenant: str) -> frozenset[str]:
        """See the port."""
        check_key(tenant)
        with self._kept.lock:
            known = self._kept.passkeys.values()
            return frozenset(one.person for one in known if one.tenant == tenant and not one.copied)

    def used(self, passkey_id: str, was: int, counter: int, now: int) -> bool:
        """See the port."""
        with self._kept.lock:
            known = self._kept.passkeys.get(passkey_id)
            if known is None or known.copied or known.counter != was:
                return False
            self._kept.passkeys[passkey_id] = replace(known, counter=counter, used=now)
            return True

    def mark_copied(self, passkey_id: str) -> None:
        """See the port."""
        with self._kept.lock:
            known = self._kept.passkeys.get(passkey_id)
            if known is not None:
                self._kept.passkeys[passkey_id] = replace(known, copied=True)

    def remove(self, passkey_id: str, *, keep: int = 0) -> bool:
        """See the port."""
        with self._kept.lock:
            known = self._kept.passkeys.get(passkey_id)
            if known is None:
                return False
            others = [
                one for one in self._of(known.person) if one.id != passkey_id and not one.copied
            ]
            if len(others) < keep:
                return False
            del self._kept.passkeys[passkey_id]
            return True

    def _of(self, person_id: str) -> Sequence[Passkey]:
        return [one for one in self._kept.passkeys.values() if one.person == person_id]
