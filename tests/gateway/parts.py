"""The parts of a gateway in memory, with one tenant: for use cases without HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.log import AuditLog
from audit.note import LogSigner
from audit.reader import LogReader
from audit.stores.memory import MemoryLogStore
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call, Recorder
from gateway.identity.principal import Principal
from gateway.identity.records import ROLES, SCOPES, Client, Tenant
from gateway.identity.revocation import RevocationState
from gateway.storage.stores import Stores, memory_stores
from policies.author import PolicyAuthor
from policies.compiled import starter_text
from policies.engine import PolicyEngine

TENANT = "acme"
NOW = 1_700_000_000.0
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@dataclass(frozen=True)
class House:
    """What use cases are made of."""

    stores: Stores
    log: AuditLog
    reader: LogReader
    recorder: Recorder
    guard: Guard
    engine: PolicyEngine
    revocation_state: RevocationState
    author: PolicyAuthor
    new_id: Callable[[], str]

    def changed(self) -> None:
        self.stores.revocations.bump()
        self.revocation_state.refresh()

    def events(self, tenant: str = TENANT) -> list[dict[str, object]]:
        import msgspec

        return [msgspec.to_builtins(entry.event) for entry in self.reader.events(tenant)]


def call(role: str, tenant: str = TENANT, client: str | None = None) -> Call:
    principal = Principal(
        issuer="https://gateway.example",
        client_id=client or f"{tenant}-{role}",
        subject=client or f"{tenant}-{role}",
        tenant=tenant,
        kind="service",
        roles=frozenset({role}),
        scopes=frozenset(SCOPES),
        purposes=frozenset({"care"}),
        default_purpose="care",
        binding="none",
        acr=0,
        auth_age=60,
        token_id="t",
        expires=int(NOW) + 300,
    )
    return Call(principal, "care", "request-1")


@contextmanager
def house(*tenants: str, solo: bool = False) -> Iterator[House]:
    stores, numbers = memory_stores(), count(1)

    def clock() -> float:
        return NOW

    def random_bytes(length: int) -> bytes:
        return next(numbers).to_bytes(length, "big")

    log_store = MemoryLogStore()
    log = AuditLog(
        log_store,
        lambda tenant: LogSigner(f"log/{tenant}", KEY),
        clock=clock,
        random_bytes=random_bytes,
    )
    recorder = Recorder(
        log, clock=clock, random_bytes=random_bytes, gateway_id="g", boot_id="b", region="eu"
    )
    revocation_state = RevocationState(
        stores.revocations, stores.clients, stores.tenants, clock=clock
    )
    revocation_state.load()
    engine = PolicyEngine(clock)
    author = PolicyAuthor(engine, stores.bundles, KEY, clock)
    for tenant in ("platform", TENANT, *tenants):
        stores.tenants.add(Tenant(tenant, tenant, "eu", purposes=frozenset({"care"})))
        author.publish(tenant, starter_text(), "test")
        for role in sorted(ROLES - {"administrator"}):
            stores.clients.add(client_record(f"{tenant}-{role}", tenant, role))
    stores.clients.add(client_record("second", TENANT, "owner"))
    guard = Guard(
        engine,
        stores.tenants,
        stores.federations,
        recorder,
        confirm=revocation_state.confirm,
        region="eu",
        epoch=lambda: revocation_state.epoch,
        solo=lambda: solo,
    )
    log.start()
    try:
        yield House(
            stores,
            log,
            LogReader(log_store, log.verifier),
            recorder,
            guard,
            engine,
            revocation_state,
            author,
            recorder.new_id,
        )
    finally:
        log.close()


def client_record(name: str, tenant: str, *roles: str, disabled: bool = False) -> Client:
    return Client(name, tenant, name, roles=frozenset(roles), disabled=disabled)
