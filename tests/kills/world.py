"""A gateway on a real data folder, its stores watched, its use cases called without a door."""

from __future__ import annotations

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from audit.pins import FilePins
from audit.stores.sqlite import SqliteLogStore
from audit.stores.sqlite_subjects import SqliteSubjectStore
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.store import ArtifactStore
from gateway.authorization.recorder import Call
from gateway.composition.authorization import make_guard, make_recorder
from gateway.composition.bootstrap import Plan, found
from gateway.composition.environment import Environment
from gateway.composition.foundation import (
    ARTIFACTS,
    AUDIT_FILE,
    KEYSTORE,
    PINS_FILE,
    SUBJECTS_FILE,
    Foundation,
    Stores,
    assemble,
    unlock_of,
)
from gateway.composition.identity import make_identity
from gateway.composition.use_cases import UseCases, make_use_cases
from gateway.errors import NotFound
from gateway.federation.coordinator import RunEvents, RunOrder
from gateway.identity.passwords import Cost
from gateway.identity.records import ROLES, Tenant
from gateway.identity.token_keys import TokenKeys
from gateway.settings import load_settings
from gateway.storage.database import open_database
from gateway.storage.stores import sql_stores
from policies.preparing_here import PreparingHere
from tests.gateway import parts
from tests.gateway.engine.threads import ThreadServer
from tests.kills import watched
from tests.kills.steps import Steps

ENVIRONMENT = Environment(
    time.time,
    time.monotonic,
    secrets.token_bytes,
    engines=lambda _: ThreadServer(),
    preparing=PreparingHere,
    passwords=Cost(1, 64, 1),
)
TENANTS = ("acme", "rival")
RULES = '@id("all")\npermit (principal, action, resource);\n'
"""Of the tenants: every start compiles them, and nothing here is about decisions."""
SETTINGS: dict[str, str | int | list[str]] = {
    "public_url": "http://127.0.0.1:8080",
    "audit_origin": "kills",
    "federation": "off",
    "four_eyes": ["rotate_log_key"],
}


@dataclass
class QuietCoordinator:
    """A coordinator that takes what it is given; of a run nothing is ever heard.

    Attributes:
        running: Ids of the runs that it was given and was not told to forget.
        asked: Set for each run once somebody has asked how it goes.
    """

    nodes: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    asked: dict[str, threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))
    ended: threading.Event = field(default_factory=threading.Event)

    def fleet_url(self, tenant: str) -> str:
        return f"http://superlink/{tenant}"

    def add_node(self, tenant: str, public_key: str) -> str:
        return self.nodes.setdefault(public_key, str(len(self.nodes) + 1))

    def remove_node(self, tenant: str, node_id: str) -> None:
        self.nodes = {key: node for key, node in self.nodes.items() if node != node_id}

    def start(self, order: RunOrder) -> None:
        self.running.add(order.run.id)

    def events(self, run_id: str, after: int, wait_s: float) -> RunEvents:
        self.asked[run_id].set()
        self.ended.wait(wait_s)
        return RunEvents([], "running")

    def result(self, run_id: str) -> bytes:
        raise NotFound

    def forget(self, run_id: str) -> None:
        self.running.discard(run_id)


@dataclass(frozen=True)
class World:
    """An open gateway.

    Attributes:
        steps: Counts the writes of its stores.
    """

    base: Foundation
    use: UseCases
    coordinator: QuietCoordinator
    steps: Steps
    token_keys: TokenKeys


def call(role: str, tenant: str = "acme", *, also: str = "") -> Call:
    """A call by the client of that role, or of two roles, which is registered on the ground."""
    made = parts.call(role, tenant)
    principal = replace(made.principal, expires=int(time.time()) + 3600)
    if also:
        name, roles = f"{tenant}-{role}-{also}", frozenset({role, also})
        principal = replace(principal, client_id=name, subject=name, roles=roles)
    return replace(made, principal=principal)


@contextmanager
def opened(data: Path, steps: Steps) -> Iterator[World]:
    """Open the gateway in a data folder for as long as the block runs; its log takes events."""
    settings = load_settings(data)
    with ExitStack() as closing:
        keys = LocalKeyStore.open(data / KEYSTORE, unlock_of(settings), secrets.token_bytes)
        database = open_database(settings.control_url)
        closing.callback(database.close)
        log, subjects = SqliteLogStore(data / AUDIT_FILE), SqliteSubjectStore(data / SUBJECTS_FILE)
        closing.callback(log.close)
        closing.callback(subjects.close)
        stores = Stores(
            control=watched.control(sql_stores(database), steps),
            log=watched.log(log, steps),
            subjects=watched.subjects(subjects, steps),
            artifacts=watched.artifacts(ArtifactStore.local(data / ARTIFACTS), steps),
            # Pins are no step: they are a lower bound that is written at leisure.
            pins=FilePins(data / PINS_FILE),
        )
        watched_keys: LocalKeyStore = watched.WatchedKeys(keys, steps)  # type: ignore[assignment]
        base = assemble(settings, ENVIRONMENT, watched_keys, stores)
        closing.callback(base.log.close)
        base.author.restore()
        recorder, coordinator = make_recorder(base), QuietCoordinator()
        guard, identity = make_guard(base, recorder), make_identity(base)
        use = make_use_cases(
            base,
            guard,
            recorder,
            coordinator,
            identity,
            lambda _: None,
            parts.unmeasured,
        )
        closing.callback(use.close)
        closing.callback(coordinator.ended.set)
        base.log.start()
        yield World(base, use, coordinator, steps, identity.token_keys)


def make_ground(data: Path) -> None:
    """Make a data folder with two tenants and a client of every role."""
    found(data, Plan(SETTINGS, "eu"), ENVIRONMENT)
    with opened(data, Steps()) as world:
        stores = world.base.stores
        for tenant in TENANTS:
            world.base.keys.create_tenant(tenant)
            stores.tenants.add(Tenant(tenant, tenant, "eu", purposes=frozenset({"care"})))
            world.base.author.publish(tenant, RULES, "test")
            for role in sorted(ROLES - {"administrator"}):
                stores.clients.add(parts.client_record(f"{tenant}-{role}", tenant, role))
        both = parts.client_record("acme-convenor-owner", "acme", "convenor", "owner")
        stores.clients.add(both)
        # One of each kind of person: with two administrators, a release takes two.
        stores.clients.add(
            parts.client_record("platform-administrator", "platform", "administrator")
        )
