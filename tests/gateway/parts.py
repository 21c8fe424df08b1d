"""A composed gateway whose stores end with the process: for use cases without HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.log import AuditLog
from audit.reader import Entry, LogReader
from audit.stores.memory import MemoryLogStore, MemorySubjectStore
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.store import ArtifactStore
from gateway.artifacts.unlock import KeyFile
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.recorder import Call, Recorder
from gateway.composition.authorization import make_guard, make_recorder
from gateway.composition.environment import Environment
from gateway.composition.foundation import Foundation, Stores, assemble
from gateway.composition.identity import Identity, make_identity
from gateway.composition.use_cases import UseCases, make_use_cases
from gateway.federation.coordinator import Coordinator
from gateway.identity.principal import Principal
from gateway.identity.records import ROLES, SCOPES, Client, Tenant
from gateway.identity.revocation import RevocationState
from gateway.pages import every
from gateway.settings import Settings
from gateway.storage.stores import ControlStores, memory_stores
from policies.author import PolicyAuthor
from policies.compiled import starter_text
from policies.engine import PolicyEngine
from policies.preparing_here import PreparingHere
from tests.gateway.identity.fakes import URL

TENANT = "acme"
NOW = 1_700_000_000.0
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@dataclass(frozen=True)
class House:
    """What use cases are made of, and the use cases."""

    base: Foundation
    recorder: Recorder
    guard: Guard
    identity: Identity
    use: UseCases

    @property
    def stores(self) -> ControlStores:
        return self.base.stores

    @property
    def log(self) -> AuditLog:
        return self.base.log

    @property
    def reader(self) -> LogReader:
        return self.base.reader

    @property
    def engine(self) -> PolicyEngine:
        return self.base.engine

    @property
    def author(self) -> PolicyAuthor:
        return self.base.author

    @property
    def revocation_state(self) -> RevocationState:
        return self.base.revocation_state

    @property
    def intents(self) -> Intents:
        return self.use.intents

    @property
    def new_id(self) -> Callable[[], str]:
        return self.recorder.new_id

    def changed(self) -> None:
        self.base.revocation_state.changed()

    def events(self, tenant: str = TENANT) -> list[dict[str, object]]:
        def page(after: int, limit: int) -> Sequence[Entry]:
            return self.reader.events(tenant, after=after, limit=limit)

        entries = every(page, lambda entry: entry.index, -1)
        return [msgspec.to_builtins(entry.event) for entry in entries]


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


def unmeasured(*_: object, **__: object) -> dict[str, str]:
    """What is kept of a version that no engine was tried with."""
    return {}


@contextmanager
def house(
    *tenants: str,
    coordinator: Coordinator | None = None,
    clock: Callable[[], float] = lambda: NOW,
    **settings: object,
) -> Iterator[House]:
    """Compose a gateway with one tenant and more; each has the starter policies and all roles."""
    numbers = count(1)
    environment = Environment(
        clock,
        lambda: 0.0,
        lambda length: next(numbers).to_bytes(length, "big"),
        preparing=PreparingHere,
    )
    with tempfile.TemporaryDirectory(prefix="house-") as folder:
        base = _foundation(Path(folder), environment, settings)
        for tenant in ("platform", TENANT, *tenants):
            base.keys.create_tenant(tenant)
            base.stores.tenants.add(Tenant(tenant, tenant, "eu", purposes=frozenset({"care"})))
            base.author.publish(tenant, starter_text(), "test")
            for role in sorted(ROLES - {"administrator"}):
                base.stores.clients.add(client_record(f"{tenant}-{role}", tenant, role))
        base.stores.clients.add(client_record("second", TENANT, "owner"))
        recorder = make_recorder(base)
        guard = make_guard(base, recorder)
        identity = make_identity(base)
        use = make_use_cases(
            base,
            guard,
            recorder,
            coordinator,
            identity,
            lambda _: None,
            unmeasured,
        )
        base.log.start()
        try:
            yield House(base, recorder, guard, identity, use)
        finally:
            use.close()
            base.log.close()


def _foundation(folder: Path, environment: Environment, settings: dict[str, object]) -> Foundation:
    given = {"public_url": URL, "audit_origin": "log", "federation": "off", **settings}
    stores = Stores(
        control=memory_stores(),
        log=MemoryLogStore(),
        subjects=MemorySubjectStore(),
        artifacts=ArtifactStore.local(folder / "artifacts"),
        pins=None,
    )
    unlock = KeyFile(folder / "root.key")
    keys = LocalKeyStore.create(folder / "keystore", unlock, clock=environment.clock)
    return assemble(Settings(data_dir=folder, **given), environment, keys, stores)  # type: ignore[arg-type]


def client_record(name: str, tenant: str, *roles: str, disabled: bool = False) -> Client:
    scopes = SCOPES if "administrator" in roles else frozenset()
    return Client(name, tenant, name, roles=frozenset(roles), scopes=scopes, disabled=disabled)
