"""Clients get new secrets and keys, and are let in again.

Safety argument:
1. Each change is decided as administration of the platform; its intent and its result are in the
   platform's log, and the tenant finds it in its own.
2. What is replaced goes on for a stated time and ends by itself; without one it is refused from the
   moment the call returns. Tokens that it got live to their end, five minutes at most.
3. A secret is in the answer once and nowhere else: only its hash is stored.
4. An answer that is lost locks nobody out: what was in use goes on to its own time, however often
   the call is repeated.
5. Changes of one client come one after the other, each from what the one before has left
   (`RevocationState.change_client`): none undoes another.
6. A client is let in only when no order to shut it out is still being settled.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from audit.event import PLATFORM_TENANT
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intent, Intents
from gateway.authorization.kinds import FINISHED, TOLD, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import InvalidRequest, NotFound, StateConflict
from gateway.identity.ports import ClientStore, TenantStore
from gateway.identity.records import Client
from gateway.identity.registration import with_new_credential
from gateway.identity.revocation import RevocationState

OVERLAP: Final = 24 * 3600
"""Seconds for which what was replaced goes on unless another time is asked for: a working day."""
MAX_OVERLAP: Final = 30 * 24 * 3600
"""Seconds: what is accepted for longer was not replaced."""

ROTATE: Final = "rotate_client"
ENABLE: Final = "enable_client"


class Credentials:
    """Replaces what clients authenticate with, and lets disabled ones in again.

    Args:
        tenants: Where tenants are kept.
        clients: Where clients are kept.
        revocation_state: Makes changes hold at once.
        guard: Decides and records.
        intents: Begin and end changes.
        clock: Unix seconds.
        random_bytes: Source of secrets.
    """

    def __init__(
        self,
        tenants: TenantStore,
        clients: ClientStore,
        revocation_state: RevocationState,
        *,
        guard: Guard,
        intents: Intents,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._tenants = tenants
        self._clients = clients
        self._revocation_state = revocation_state
        self._guard = guard
        self._intents = intents
        self._clock = clock
        self._random_bytes = random_bytes
        self._turn = threading.Lock()
        intents.register(
            Kind(ROTATE, "administer", _details, self._finish_rotate),
            Kind(ENABLE, "administer", _details, self._finish_enable),
        )

    def rotate(
        self,
        call: Call,
        tenant: str,
        client_id: str,
        jwks: Mapping[str, Any] | None,
        overlap: int | None = None,
    ) -> tuple[Client, str | None]:
        """Give a client another secret, or other keys; returns the secret for the only time.

        Args:
            call: Who asks.
            tenant: Whose client.
            client_id: Which.
            jwks: Its new public keys; None for a client with a secret.
            overlap: Seconds for which what it has now goes on; 0 ends it at once.

        Raises:
            InvalidRequest: The overlap is out of bounds.
            NotFound: There is no such client in that tenant.
            RegistrationRefused: The keys do not fit the client, or cannot be told apart.
            LimitReached: Too much of before is accepted still.
            StateConflict: An earlier rotation of the client is not settled yet.
            Forbidden: The caller is no administrator.
        """
        seconds = OVERLAP if overlap is None else overlap
        if not 0 <= seconds <= MAX_OVERLAP:
            raise InvalidRequest(f"`overlap_s` must be 0 to {MAX_OVERLAP} seconds")
        secrets: list[str | None] = []

        def change(client: Client) -> Client:
            fresh, secret = with_new_credential(
                client,
                jwks,
                now=int(self._clock()),
                overlap=seconds,
                random_bytes=self._random_bytes,
            )
            secrets.append(secret)
            return fresh

        with self._turn:
            client, begin = self._begin(call, tenant, client_id, ROTATE)
            with begin({"was": _fingerprint(client)}):
                fresh = self._revocation_state.change_client(tenant, client_id, change)
        return fresh, secrets[-1]

    def enable(self, call: Call, tenant: str, client_id: str) -> Client:
        """Let a disabled client in again; its tokens of before stay shut out.

        Raises:
            NotFound: There is no such client in that tenant.
            InvalidRequest: It is not disabled.
            StateConflict: An order to shut it out is still being settled.
            Forbidden: The caller is no administrator.
        """
        with self._turn:
            client, begin = self._begin(call, tenant, client_id, ENABLE, "disable_client")
            if not client.disabled:
                raise InvalidRequest("the client is not disabled")
            with begin({}):
                now = int(self._clock())
                return self._revocation_state.change_client(
                    tenant, client_id, partial(_enabled, now)
                )

    def _begin(
        self, call: Call, tenant: str, client_id: str, kind: str, *others: str
    ) -> tuple[Client, Callable[[Mapping[str, str]], AbstractContextManager[Intent]]]:
        """Decide; return the client, and what begins the change with further facts."""
        # First about the platform, so that only administrators learn who is a tenant.
        self._guard.require(call, "administer", self._guard.platform(), reason=kind)
        client = self._clients.get(client_id)
        if self._tenants.get(tenant) is None or client is None or client.tenant != tenant:
            raise NotFound
        decision = self._guard.require(call, "administer", self._guard.tenant(tenant), reason=kind)
        for name in (kind, *others):
            left = self._intents.unfinished(name, PLATFORM_TENANT)
            if any(pending.facts["client"] == client_id for pending in left):
                raise StateConflict(
                    "an earlier change of this client is being settled: try again in a minute"
                )

        def changing(facts: Mapping[str, str]) -> AbstractContextManager[Intent]:
            row = {"tenant": tenant, "client": client_id, **facts}
            if tenant != PLATFORM_TENANT:
                row[TOLD] = tenant
            return self._intents.changing(kind, PLATFORM_TENANT, row, by_call(call, decision))

        return client, changing

    def _finish_rotate(self, pending: Pending) -> Settled:
        """Tell whether it has other credentials: nobody was told the secret, none can be undone."""
        client = self._clients.get(pending.facts["client"])
        if client is None or _fingerprint(client) == pending.facts["was"]:
            return UNDONE
        self._revocation_state.changed()  # it may not be in force here yet
        return FINISHED

    def _finish_enable(self, pending: Pending) -> Settled:
        client = self._clients.get(pending.facts["client"])
        if client is None or client.disabled:
            return UNDONE
        self._revocation_state.changed()
        return FINISHED


def _enabled(now: int, client: Client) -> Client:
    return replace(client, disabled=False, not_before=max(client.not_before, now))


def _fingerprint(client: Client) -> str:
    """Return what tells one credential of a client from another, and gives neither away."""
    held = [(client.secret_hash or b"").hex(), client.jwks and dict(client.jwks)]
    return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()


def _details(pending: Pending) -> Details:
    about = f"{pending.facts['tenant']}/{pending.facts['client']}"
    return {"reason": pending.kind, "resource": f"Tenant::{about}"}
