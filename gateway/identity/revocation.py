"""What has been taken away: tokens, clients, tenants. Reads are from memory, changes are durable.

1. A change returns only when it is durable in the store *and* visible to every later read here.
2. Every change bumps the durable epoch, so that whoever remembers a decision or a token under an
   epoch notices, in this process at once and in other replicas when they `refresh`.
3. A record that was read while a change went on is not kept (`gateway.epoch_memo`): it may be from
   before the change. That a client does not exist is remembered too: who registers one calls
   `changed`.
4. When the store cannot be read there is no answer, and so no caller.
5. A person is known here by a registration as a client is (`gateway.identity.people`). Its tokens
   also end with their client, and with the sign-in that they are of.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.epoch_memo import UNKNOWN, EpochMemo
from gateway.identity.errors import InvalidToken, UnknownRecord
from gateway.identity.people import COMMAND_LINE, Person, is_person_id, registration_of
from gateway.identity.people_ports import PersonStore
from gateway.identity.ports import ClientStore, RevocationStore, TenantStore
from gateway.identity.principal import Principal, client_serves, still_valid
from gateway.identity.records import Client, Tenant

SWEEP: Final = 1024
"""Revoked tokens in memory before the expired ones are first dropped."""

Registration = tuple[Client | None, Tenant | None]
"""A client and its tenant, as far as they exist."""
NOBODY: Final[Registration] = (None, None)
_NOBODYS_ID: Final = "-"
"""No client and no tenant can be named so (`gateway.names`)."""


class RevocationState:
    """Which tokens, clients and tenants are valid, as of the newest change.

    Args:
        revocations: The durable revocations.
        clients: The registered clients.
        tenants: The tenants.
        clock: Unix seconds.
        people: The people; None where there are none.

    Call `load` once before use. Methods that may block say so; all are safe in any thread.
    """

    def __init__(
        self,
        revocations: RevocationStore,
        clients: ClientStore,
        tenants: TenantStore,
        *,
        clock: Callable[[], float],
        people: PersonStore | None = None,
    ) -> None:
        self._revocations = revocations
        self._client_store = clients
        self._tenant_store = tenants
        self._person_store = people
        self._clock = clock
        self._lock = threading.Lock()
        self._revoked: dict[tuple[str, str], int] = {}
        self._sweep_at = SWEEP
        self._changes = 0
        self._registered: EpochMemo[str, Registration] = EpochMemo(lambda: self._changes)
        self.epoch = -1

    def load(self) -> None:
        """Read the state from the store and forget everything remembered. Blocks."""
        with self._lock:
            now = int(self._clock())
            self._revocations.prune(now)
            epoch = self._revocations.epoch()
            self._revoked = dict(self._revocations.revoked(now))
            self._forget()
            self.epoch = epoch

    def refresh(self) -> bool:
        """Load again if another replica has changed something, and tell whether. Blocks."""
        if self._revocations.epoch() == self.epoch:
            return False
        self.load()
        return True

    def is_revoked(self, issuer: str, token_id: str) -> bool:
        """Tell whether a token has been revoked. Does not block."""
        return (issuer, token_id) in self._revoked

    def others_hold(self, principal: Principal) -> bool:
        """Tell whether everyone else in its token may still do all that it may. Blocks."""
        others = map(self.look_up, principal.acting_for)
        return all(
            still_valid(principal, client, tenant)
            and client is not None
            and principal.scopes <= client.scopes
            and principal.purposes <= client.purposes
            for client, tenant in others
        )

    def has_ended(self, principal: Principal, app: Client | None) -> bool:
        """Tell whether a token, one that it came from, or its sign-in has ended. Does not block.

        Args:
            principal: Of the token.
            app: The registered client of its `app`, now; None for a service.
        """
        if principal.app:
            if app is None or not client_serves(app, principal.tenant):
                return True
            if principal.issued < app.not_before:
                return True
        ended = (principal.token_id, principal.sign_in, *principal.origins)
        return any((principal.issuer, one) in self._revoked for one in ended)

    def remembered(self, client_id: str) -> Registration | None:
        """Return client and tenant as they are in memory, None when they are not. Never blocks."""
        found = self._registered.now().get(client_id)
        if found is UNKNOWN:
            return None
        return NOBODY if found is None else found

    def look_up(self, client_id: str) -> Registration:
        """Return client and tenant, from the store if need be. Blocks."""
        return self._registered.look_up(client_id, lambda: self._read(client_id)) or NOBODY

    def read_nobody(self) -> None:
        """Read as much as `look_up` does for a client that is not remembered. Blocks."""
        self._read(_NOBODYS_ID)

    def changed(self) -> int:
        """Raise the epoch after some other change and return it. Blocks until it holds."""
        with self._lock:
            return self._advance(self._revocations.bump())

    def confirm(self, principal: Principal) -> None:
        """Make sure that a principal is still valid as it was authenticated. Blocks.

        Raises:
            InvalidToken: Its token was revoked, or its client or tenant was changed or shut out.
        """
        registration = self.look_up(principal.client_id)
        app = self.look_up(principal.app)[0] if principal.app else None
        ended = self.has_ended(principal, app) or not self.others_hold(principal)
        if ended or not still_valid(principal, *registration):
            scheme = "DPoP" if principal.binding == "dpop" else "Bearer"
            raise InvalidToken(challenge=f'{scheme} error="{InvalidToken.code}"')

    def revoke_token(self, issuer: str, token_id: str, expires: int) -> int:
        """Revoke one token and return the new epoch. Blocks until it holds."""
        with self._lock:
            epoch = self._revocations.revoke_token(issuer, token_id, expires)
            self._drop_expired()
            self._revoked[issuer, token_id] = expires
            return self._advance(epoch)

    def save_client(self, client: Client) -> int:
        """Replace a client's registration and return the new epoch. Blocks until it holds.

        Raises:
            UnknownRecord: There is no such client in that tenant.
        """
        with self._lock:
            self._forget()
            self._client_store.update(client)
            return self._advance(self._revocations.bump())

    def change_client(
        self, tenant: str, client_id: str, change: Callable[[Client], Client]
    ) -> Client:
        """Change a client's registration as it is now, and return it. Blocks until it holds.

        No other change comes between: whoever shuts a client out is not undone by whoever gives it
        another secret.

        Args:
            tenant: Whose client.
            client_id: Which.
            change: Returns what it is to be; what it raises changes nothing.

        Raises:
            UnknownRecord: There is no such client in that tenant.
        """
        with self._lock:
            client = self._client_store.get(client_id)
            if client is None or client.tenant != tenant:
                raise UnknownRecord
            changed = change(client)
            self._forget()
            self._client_store.update(changed)
            self._advance(self._revocations.bump())
            return changed

    def change_person(
        self, tenant: str, person_id: str, change: Callable[[Person], Person]
    ) -> Person:
        """Change a person as `change_client` does a client, and return it. Blocks until it holds.

        Raises:
            UnknownRecord: There is no such person in that tenant.
            StateConflict: Another replica changed it meanwhile.
        """
        assert self._person_store is not None
        with self._lock:
            person = self._person_store.get(person_id)
            if person is None or person.tenant != tenant:
                raise UnknownRecord
            changed = change(person)
            self._forget()
            stored = self._person_store.update(changed)
            self._advance(self._revocations.bump())
            return stored

    def remove_person(self, tenant: str, person_id: str) -> None:
        """Forget a person and all that belongs to it. Blocks until it holds; may be repeated."""
        assert self._person_store is not None
        with self._lock:
            self._forget()
            self._person_store.remove(tenant, person_id)
            self._advance(self._revocations.bump())

    def save_tenant(self, tenant: Tenant) -> int:
        """Replace a tenant's record and return the new epoch. Blocks until it holds.

        Raises:
            UnknownRecord: There is no such tenant.
        """
        with self._lock:
            self._forget()
            self._tenant_store.update(tenant)
            return self._advance(self._revocations.bump())

    def _advance(self, epoch: int) -> int:
        # INVARIANT: memory is cleared before the epoch moves: nothing old is filed under the new.
        if epoch != self.epoch + 1:
            # Other replicas revoked as well since we last looked.
            self._revoked = dict(self._revocations.revoked(int(self._clock())))
        self._forget()
        self.epoch = epoch
        return epoch

    def _forget(self) -> None:
        # The epoch of `_registered` moves before and after a change, also when the change fails.
        self._changes += 1

    def _drop_expired(self) -> None:
        # Expired tokens are refused without this table; copying keeps readers undisturbed.
        if len(self._revoked) < self._sweep_at:
            return
        now = int(self._clock())
        self._revoked = {k: expires for k, expires in self._revoked.items() if expires >= now}
        self._sweep_at = max(SWEEP, 2 * len(self._revoked))

    def _read(self, client_id: str) -> Registration | None:
        client = self._client_store.get(client_id)
        if client is None and self._person_store is not None:
            client = self._read_person(client_id)
        # Two reads, whether it exists or not: nobody learns that from how long they take.
        tenant = self._tenant_store.get(_NOBODYS_ID if client is None else client.tenant)
        if client is None or tenant is None:
            return None if client is None else (client, None)
        # INVARIANT: nobody who is looked up has tokens of before its tenant was suspended.
        admitted = max(client.not_before, tenant.not_before)
        return replace(client, not_before=admitted), tenant

    def _read_person(self, client_id: str) -> Client | None:
        """Return what stands for a person, or for the command line that people use."""
        assert self._person_store is not None
        if client_id == COMMAND_LINE.id:
            return COMMAND_LINE
        person = self._person_store.get(client_id) if is_person_id(client_id) else None
        return None if person is None else registration_of(person)
