"""A page is not everything: each sweep, count and listing over more records than one page holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from audit.event import PLATFORM_TENANT
from gateway.authorization.kinds import Attribution
from gateway.authorization.records import Pending
from gateway.errors import LimitReached
from gateway.federation.federations import Plan
from gateway.federation.records import Federation, Run
from gateway.federation.runs import MAX_UNFINISHED
from gateway.identity.records import Tenant
from gateway.inference.directory import ModelDirectory
from gateway.pages import PAGE
from gateway.registry.records import Model, ModelVersion, Release, SealedPayload, Upload
from gateway.storage.memory_policies import MemoryBundleStore
from gateway.tenancy.solo import SoloMode
from gateway.web.oip import build_router
from policies.author import PAGE as BUNDLES
from policies.author import PolicyAuthor
from policies.bundle import SignedBundle
from policies.engine import PolicyEngine
from policies.errors import BundleRefused
from policies.signers import BundleKeys
from tests.audit.samples import until
from tests.gateway.cli.command import sealgate
from tests.gateway.federation.test_federations import PLAN, Rounds, _key
from tests.gateway.inference.works import works
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house
from tests.gateway.place import Place, served_place
from tests.gateway.web.in_process import call as send
from tests.gateway.web.test_subjects import consulted

MANY = 2 * PAGE + 5
POLICY = '@id("all")\npermit (principal, action, resource);'
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def home() -> Iterator[House]:
    """Whatever is asked about a run, the coordinator does not know it."""
    with house("rival", coordinator=Rounds(restarted=True)) as made:
        yield made


def run(number: int, tenant: str = TENANT, federation: str = "lungs", **how: Any) -> Run:
    made = Run(f"run-{number:05}", tenant, federation, "1", 1, "running", 1, "c", "care")
    return replace(made, **how)


def test_every_unfinished_run_is_followed(home: House) -> None:
    store = home.stores.federations
    for number in range(MANY):
        store.add_run(run(number, (TENANT, "rival")[number % 2]))
    home.use.recovery.follow_runs()
    until(lambda: store.unfinished_runs(after="", limit=1) == [])
    ended = store.list_runs(TENANT, "lungs", after="", limit=MANY)
    assert {one.reason for one in ended} == {"coordinator_lost"}
    assert len(ended) == (MANY + 1) // 2


def test_every_change_that_was_cut_off_is_settled(home: House) -> None:
    begun = [home.intents.begin("export", TENANT, {}, Attribution()) for _ in range(MANY)]
    for number in range(MANY):  # and rows whose intents never came to be
        home.stores.pending.add_pending(Pending(f"row-{number:05}", TENANT, "export", {}, 1))
    assert home.intents.settle_all() == 2 * MANY
    assert home.stores.pending.list_pending(after=(-1, ""), limit=1) == []
    results = [event for event in home.events() if event.get("phase") == "result"]
    assert {event["intent_id"] for event in results} == {intent.id for intent in begun}
    assert len(results) == MANY


def test_an_erasure_is_found_behind_many_other_changes(home: House) -> None:
    for number in range(1_000 + MANY):
        kind = ("export", "download")[number % 2]
        home.stores.pending.add_pending(Pending(f"row-{number:05}", TENANT, kind, {}, number))
    last = Pending("row-last", TENANT, "erase", {"ref": "r"}, 1_000 + MANY)
    home.stores.pending.add_pending(last)
    assert list(home.intents.unfinished("erase", TENANT)) == [last]
    assert list(home.intents.unfinished("erase", "rival")) == []


def test_every_upload_that_expired_is_removed() -> None:
    """Also behind more than a page of those that are in use and stay."""
    now, payload = [NOW], SealedPayload("upload", "d" * 64, 9, 9, "p", b"k", post_quantum=False)
    with house(clock=lambda: now[0]) as home:
        store, uploads = home.stores.uploads, home.use.uploads
        names = [f"upload-{number:05}" for number in range(MANY)]
        for name in names:
            store.add_upload(Upload(name, TENANT, "acme-owner", payload, 1, int(NOW) + 1))
        held = names[: PAGE + 1]
        with uploads.using(call("owner"), *held):
            now[0] += 2
            assert uploads.sweep() == MANY - len(held)
            assert [one.id for one in store.list_uploads(TENANT, after="", limit=MANY)] == held
        assert uploads.sweep() == len(held)
        assert store.list_uploads(TENANT, after="", limit=1) == []


@pytest.mark.parametrize("going", [MAX_UNFINISHED - 1, MAX_UNFINISHED])
def test_the_limit_of_runs_counts_those_of_the_federation(home: House, going: int) -> None:
    convenor, store = call("convenor"), home.stores.federations
    home.stores.registry.add_model(Model(TENANT, "m", False, "internal", frozenset(), 1, "c"))
    home.use.federations.create(convenor, PLAN, None)
    home.use.federations.create(convenor, Plan(**{**_fields(PLAN), "name": "others"}), None)
    for site in ("a", "b"):
        home.use.federations.add_site(convenor, "lungs", site, _key())
    for number in range(MANY):  # before and after them, by id
        store.add_run(run(number, ("rival", TENANT)[number % 2], "others"))
        store.add_run(run(90_000 + number, "rival"))
        store.add_run(run(10_000 + number, state="finished"))
    for number in range(going):
        store.add_run(run(50_000 + number))
    if going == MAX_UNFINISHED:
        with pytest.raises(LimitReached):
            home.use.runs.start(convenor, "lungs", "2", 1)
        return
    assert home.use.runs.start(convenor, "lungs", "2", 1).state == "running"


def _fields(plan: Plan) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in Plan.__slots__}


@pytest.mark.parametrize("second", ["00", "zz"])
def test_a_second_administrator_ends_the_solo_mode_among_many_clients(
    home: House, second: str
) -> None:
    clients, epoch = home.stores.clients, [1]
    for number in range(MANY):
        clients.add(client_record(f"client-{number:05}", PLATFORM_TENANT, "officer"))
    clients.add(client_record("client-00050-first", PLATFORM_TENANT, "administrator"))
    off = client_record("client-00150-off", PLATFORM_TENANT, "administrator", disabled=True)
    clients.add(off)
    solo = SoloMode(clients, int(NOW), lambda: NOW, lambda: epoch[0])
    assert solo()
    clients.add(client_record(f"{second}-second", PLATFORM_TENANT, "administrator"))
    epoch[0] += 1
    assert not solo()


def test_the_index_lists_every_model() -> None:
    with works() as shop:
        version = shop.publish()
        registry = shop.house.stores.registry
        names = [f"model-{number:05}" for number in range(MANY)]
        for number, name in enumerate(names):
            registry.add_model(Model(TENANT, name, False, "internal", frozenset(), 1, "c"))
            registry.add_version(replace(version, model=name, state="candidate", revision=0))
            if number > PAGE:  # more than a page that has nothing to show
                release = Release(TENANT, name, "1", None, "promote", "c", 1)
                registry.release(release, expected=None)
        shop.house.changed()
        directory = ModelDirectory(
            shop.authenticator,
            shop.house.guard,
            shop.routes,
            shop.models,
            registry,
            shop.manifests,
            shop.made.statistics,
        )
        app = FastAPI()
        app.include_router(build_router(directory, "9.9", lambda: True))
        headers = {"authorization": f"Bearer {shop.bearer()}"}
        listed = send(app, "POST", "/v2/repository/index", headers=headers).json()
    assert [row["name"] for row in listed] == ["m", *names[PAGE + 1 :]]


class Altered(MemoryBundleStore):
    """Gives out one bundle with another text than was signed."""

    altered: tuple[str, int] = ("", 0)

    def list(self, tenant: str, *, after: int, limit: int) -> list[SignedBundle]:
        return [
            replace(bundle, text=POLICY + " ")
            if (bundle.tenant, bundle.epoch) == self.altered
            else bundle
            for bundle in super().list(tenant, after=after, limit=limit)
        ]


def test_every_policy_set_is_restored_and_every_history_checked() -> None:
    store = Altered()
    author = PolicyAuthor(PolicyEngine(lambda: NOW), store, lambda: BundleKeys(KEY), lambda: NOW)
    tenants = [f"tenant-{number:05}" for number in range(BUNDLES + 5)]
    for tenant in tenants:
        author.publish(tenant, POLICY, "c")
    for _ in range(BUNDLES + 5):
        author.publish("changing", POLICY, "c")

    def restored() -> PolicyEngine:
        engine = PolicyEngine(lambda: NOW)
        assert (
            PolicyAuthor(engine, store, lambda: BundleKeys(KEY), lambda: NOW).restore()
            == len(tenants) + 1
        )
        return engine

    engine = restored()
    assert {engine.epoch(tenant) for tenant in tenants} == {1}
    assert engine.epoch("changing") == BUNDLES + 5
    store.altered = "changing", BUNDLES + 2
    with pytest.raises(BundleRefused):
        restored()


def test_the_command_line_lists_everything(tmp_path: Path) -> None:
    many = [f"x-{number:05}" for number in range(PAGE + 5)]
    with served_place(tmp_path) as place:
        tenant = place.tenant("crowd")
        profiles = {role: place.profile(tenant, role) for role in ("owner", "convenor", "officer")}
        profiles["admin"] = tmp_path / "data" / "admin.json"
        ref = fill(place, tenant, many)

        def listed(role: str, *command: str) -> Any:
            said = sealgate(*command, "--profile", profiles[role], "--json")
            assert said.code == 0, said
            return said.json

        assert [one["name"] for one in listed("owner", "model", "list")] == many
        shown = listed("owner", "model", "show", many[0])
        assert [one["version"] for one in shown["versions"]] == many
        moves = listed("owner", "model", "history", many[0])
        assert [one["version"] for one in moves] == many
        assert [one["name"] for one in listed("convenor", "federation", "list")] == many
        clients = {one["id"] for one in listed("admin", "client", "list", "--tenant", tenant)}
        assert clients >= set(many)
        tenants = {one["id"] for one in listed("admin", "tenant", "list")}
        assert tenants >= set(many)
        uses = listed("officer", "subject", "show", ref)
        assert sum(one["event"]["action"] == "infer" for one in uses) == len(many)


def fill(place: Place, tenant: str, names: list[str]) -> str:
    """Store a thing of each kind under each name; returns whom as many events are about."""
    base = place.foundation
    registry, federations = base.stores.registry, base.stores.federations
    for name in names:
        base.stores.tenants.add(Tenant(name, name, "eu"))
        base.stores.clients.add(client_record(name, tenant, "officer"))
        registry.add_model(Model(tenant, name, False, "internal", frozenset(), 1, "c"))
        registry.add_version(ModelVersion(tenant, names[0], name, "candidate", 1, "c"))
        federations.add_federation(Federation(tenant, name, names[0], (), "t", "{}", 2, 9, 1, "c"))
    for before, name in zip([None, *names], names, strict=False):
        move = Release(tenant, names[0], name, before, "promote", "c", 1)
        registry.release(move, expected=before)
    (ref,) = {consulted(base, tenant, "MRN-1") for _ in names}
    return ref
