"""Tenants and clients: what the platform's administrators do.

Safety argument:
1. Each change is decided against the platform's own policies, which no tenant can alter.
2. Its intent and its result are in the log of the platform; the tenant that it concerns finds the
   change in its own log too.
3. A suspension or a disabled client holds for every token before the call returns.
4. A secret is in the answer once and nowhere else: only its hash is stored.
5. Only an administrator of the platform, who may list all tenants, is told which tenants or clients
   have a name near one that does not exist: that is decided first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Final

from audit.event import PLATFORM_TENANT
from gateway.artifacts.errors import KeyUnavailable
from gateway.artifacts.keys import KeyProvider
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intent, Intents
from gateway.authorization.kinds import FINISHED, TOLD, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, NotFound
from gateway.identity.ports import ClientStore, TenantStore
from gateway.identity.records import (
    AuthMethod,
    Client,
    Tenant,
    TokenBinding,
    admitted_after,
)
from gateway.identity.registration import register_client
from gateway.identity.revocation import RevocationState
from gateway.names import is_name, near, require_name
from gateway.pages import PAGE, every
from policies.author import PolicyAuthor
from policies.engine import Decision
from policies.facts import PlatformFacts, TenantFacts

MAX_PURPOSES: Final = 64
"""Purposes of a tenant: each is part of every decision."""
MAX_TITLE: Final = 200
"""Characters of a name for people."""


@dataclass(frozen=True, slots=True)
class ClientOrder:
    """What a new client is to be; see `gateway.identity.registration.register_client`."""

    id: str
    name: str
    roles: frozenset[str]
    scopes: frozenset[str]
    purposes: frozenset[str]
    default_purpose: str | None
    auth_method: AuthMethod
    jwks: Mapping[str, Any] | None
    token_binding: TokenBinding
    redirect_uris: tuple[str, ...] = ()


class Administration:
    """Creates, changes and lists tenants and clients.

    Args:
        tenants: Where tenants are kept.
        clients: Where clients are kept.
        revocation_state: Makes changes hold at once.
        keys: Makes a tenant's keys.
        author: Publishes a tenant's first policy set.
        starter: Text of that set.
        guard: Decides and records.
        intents: Begin and end changes.
        changed: Raises the epoch under which facts are remembered.
        random_bytes: Source of secrets.
        clock: Unix seconds.
    """

    def __init__(
        self,
        tenants: TenantStore,
        clients: ClientStore,
        revocation_state: RevocationState,
        keys: KeyProvider,
        author: PolicyAuthor,
        *,
        starter: str,
        guard: Guard,
        intents: Intents,
        changed: Callable[[], object],
        random_bytes: Callable[[int], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._tenants = tenants
        self._clients = clients
        self._revocation_state = revocation_state
        self._keys = keys
        self._author = author
        self._starter = starter
        self._guard = guard
        self._intents = intents
        self._changed = changed
        self._random_bytes = random_bytes
        self._clock = clock
        intents.register(
            Kind("create_tenant", "administer", _details, self._finish_create_tenant),
            Kind("suspend_tenant", "administer", _details, self._finish_suspension),
            Kind("resume_tenant", "administer", _details, self._finish_suspension),
            Kind("create_client", "administer", _details, self._finish_create_client),
            Kind("disable_client", "administer", _details, self._finish_disable_client),
        )

    def create_tenant(
        self, call: Call, tenant_id: str, name: str, region: str, purposes: frozenset[str]
    ) -> Tenant:
        """Make a tenant with keys of its own and the starter policy set.

        Repeating a call that was interrupted completes it.

        Raises:
            InvalidRequest: A field breaks its rule.
            AlreadyExists: The id is taken.
            Forbidden: The caller is no administrator.
        """
        tenant = Tenant(id=tenant_id, name=name, region=region, purposes=purposes)
        _check_tenant(tenant)
        author = call.principal.client_id
        changed = {
            "tenant": tenant_id,
            "name": name,
            "region": region,
            "purposes": " ".join(sorted(purposes)),
            "author": author,
        }
        decision = self._decided(call, self._guard.platform(), "create_tenant")
        if self._tenants.get(tenant_id) is not None:
            raise AlreadyExists  # before the intent: its finisher takes what is there for its own
        with self._changing(call, decision, "create_tenant", changed):
            self._make_tenant(tenant, author)
            self._changed()
        return tenant

    def set_suspended(self, call: Call, tenant_id: str, *, suspended: bool) -> Tenant:
        """Suspend a tenant or let it in again; holds for every token when this returns.

        Raises:
            NotFound: There is no such tenant.
            InvalidRequest: The platform's own tenant cannot be suspended.
            Forbidden: The caller is no administrator.
        """
        facts = self._tenant_facts(call, tenant_id)
        if tenant_id == PLATFORM_TENANT:
            raise InvalidRequest("the platform's own tenant cannot be suspended")
        kind = "suspend_tenant" if suspended else "resume_tenant"
        decision = self._decided(call, facts, kind)
        with self._changing(call, decision, kind, {"tenant": tenant_id}):
            before = self._existing(tenant_id)
            # Who is let in again asks for other tokens, and its people sign in anew.
            admitted = admitted_after(before.not_before, int(self._clock()))
            tenant = replace(
                before,
                suspended=suspended,
                not_before=admitted if suspended else before.not_before,
            )
            self._revocation_state.save_tenant(tenant)
        return tenant

    def tenants(self, call: Call, *, after: str, limit: int) -> list[Tenant]:
        """Return tenants by id.

        Raises:
            Forbidden: The caller is no administrator.
        """
        self._guard.require(call, "administer", self._guard.platform(), reason="list_tenants")
        return list(self._tenants.list(after or None, min(limit, PAGE)))

    def create_client(
        self, call: Call, tenant_id: str, order: ClientOrder
    ) -> tuple[Client, str | None]:
        """Register a client; returns it and, if it has one, its secret for the only time.

        Raises:
            NotFound: There is no such tenant.
            RegistrationRefused: The registration contradicts itself or the tenant.
            AlreadyExists: The id is taken (of `gateway.identity`).
            Forbidden: The caller is no administrator.
        """
        facts = self._tenant_facts(call, tenant_id)
        changed = {"tenant": tenant_id, "client": order.id}
        decision = self._decided(call, facts, "create_client")
        if self._clients.get(order.id) is not None:
            raise AlreadyExists  # before the intent: its finisher takes what is there for its own
        with self._changing(call, decision, "create_client", changed):
            made = register_client(
                self._clients,
                self._tenants,
                tenant_id,
                order.id,
                order.name,
                roles=order.roles,
                scopes=order.scopes,
                purposes=order.purposes,
                default_purpose=order.default_purpose,
                auth_method=order.auth_method,
                jwks=order.jwks,
                token_binding=order.token_binding,
                redirect_uris=order.redirect_uris,
                random_bytes=self._random_bytes,
            )
            self._changed()  # a second administrator ends the solo mode
        return made

    def disable_client(self, call: Call, tenant_id: str, client_id: str) -> Client:
        """Shut a client out; holds for every token when this returns.

        Raises:
            NotFound: There is no such client in that tenant.
            InvalidRequest: The caller itself.
            Forbidden: The caller is no administrator.
        """
        facts = self._tenant_facts(call, tenant_id)
        client = self._clients.get(client_id)
        if client is None or client.tenant != tenant_id:
            raise NotFound("the tenant has no client of this id").nearest(
                "client", self._near_clients(tenant_id, client_id)
            )
        if client_id == call.principal.client_id:
            raise InvalidRequest("a client cannot disable itself")
        changed = {"tenant": tenant_id, "client": client_id}
        decision = self._decided(call, facts, "disable_client")
        with self._changing(call, decision, "disable_client", changed):
            return self._shut_out(tenant_id, client_id)

    def clients(self, call: Call, tenant_id: str, *, after: str, limit: int) -> list[Client]:
        """Return the clients of a tenant by id.

        Raises:
            NotFound: There is no such tenant.
            Forbidden: The caller is no administrator.
        """
        self._tenant_facts(call, tenant_id)
        return list(self._clients.list(tenant_id, after or None, min(limit, PAGE)))

    def _tenant_facts(self, call: Call, tenant_id: str) -> TenantFacts:
        """Decide first about the platform, so that only administrators learn who is a tenant."""
        self._guard.require(call, "administer", self._guard.platform())
        self._existing(tenant_id)
        return self._guard.tenant(tenant_id)

    def _make_tenant(self, tenant: Tenant, author: str) -> None:
        # The record comes last: a tenant that can be seen has its keys and its policies.
        self._keys.create_tenant(tenant.id)
        if self._author.enforce(tenant.id) is None:
            self._author.publish(tenant.id, self._starter, author)
        self._tenants.add(tenant)

    def _existing(self, tenant_id: str) -> Tenant:
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            raise NotFound("there is no tenant of this id").nearest(
                "tenant", self._near_tenants(tenant_id)
            )
        return tenant

    def _near_tenants(self, tenant_id: str) -> list[str]:
        def page(after: str, limit: int) -> Sequence[Tenant]:
            return self._tenants.list(after or None, limit)

        return near(tenant_id, (tenant.id for tenant in every(page, lambda one: one.id, "")))

    def _near_clients(self, tenant_id: str, client_id: str) -> list[str]:
        def page(after: str, limit: int) -> Sequence[Client]:
            return self._clients.list(tenant_id, after or None, limit)

        return near(client_id, (client.id for client in every(page, lambda one: one.id, "")))

    def _decided(self, call: Call, facts: PlatformFacts | TenantFacts, kind: str) -> Decision:
        return self._guard.require(call, "administer", facts, reason=kind)

    def _changing(
        self, call: Call, decision: Decision, kind: str, changed: Mapping[str, str]
    ) -> AbstractContextManager[Intent]:
        """Begin a change of the tenant `changed["tenant"]`, which is told of it."""
        own = changed["tenant"] == call.principal.tenant
        row = {**changed} if own else {**changed, TOLD: changed["tenant"]}
        return self._intents.changing(kind, call.principal.tenant, row, by_call(call, decision))

    def _finish_create_tenant(self, pending: Pending) -> Settled:
        """Keys, policies and record can each be there already: what is missing is added."""
        facts = pending.facts
        if self._tenants.get(facts["tenant"]) is None:
            purposes = frozenset(facts["purposes"].split())
            tenant = Tenant(facts["tenant"], facts["name"], facts["region"], purposes=purposes)
            try:
                self._make_tenant(tenant, facts["author"])
            except KeyUnavailable:  # keys of that name were destroyed, and it is never used again
                return UNDONE
        self._changed()
        return FINISHED

    def _finish_suspension(self, pending: Pending) -> Settled:
        tenant = self._tenants.get(pending.facts["tenant"])
        if tenant is None or tenant.suspended != (pending.kind == "suspend_tenant"):
            return UNDONE
        self._changed()
        return FINISHED

    def _finish_create_client(self, pending: Pending) -> Settled:
        if self._clients.get(pending.facts["client"]) is None:
            return UNDONE
        self._changed()
        return FINISHED

    def _finish_disable_client(self, pending: Pending) -> Settled:
        """It is shut out: nobody lets it in again before this is settled."""
        tenant, client = pending.facts["tenant"], pending.facts["client"]
        if self._clients.get(client) is None:
            return UNDONE
        self._shut_out(tenant, client)
        return FINISHED

    def _shut_out(self, tenant: str, client_id: str) -> Client:
        now = int(self._clock())

        def change(client: Client) -> Client:
            admitted = admitted_after(client.not_before, now)
            return replace(client, disabled=True, not_before=admitted)

        return self._revocation_state.change_client(tenant, client_id, change)


def _details(pending: Pending) -> Details:
    tenant, client = pending.facts["tenant"], pending.facts.get("client")
    about = f"{tenant}/{client}" if client else tenant
    return {"reason": pending.kind, "resource": f"Tenant::{about}"}


def _check_tenant(tenant: Tenant) -> None:
    require_name("id", tenant.id)
    if tenant.id == PLATFORM_TENANT:
        raise InvalidRequest("`id` is the platform's own")
    if not 1 <= len(tenant.name) <= MAX_TITLE or not tenant.name.isprintable():
        raise InvalidRequest("`name` must be 1 to 200 printable characters")
    require_name("region", tenant.region)
    if len(tenant.purposes) > MAX_PURPOSES or not all(map(is_name, tenant.purposes)):
        raise InvalidRequest("`purposes` must be up to 64 short names")
