from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit.event import Event
from gateway.authorization.intents import Intents
from gateway.errors import AlreadyExists, Forbidden, InvalidRequest, NotFound
from gateway.federation.coordinator import RunEvent, RunEvents, RunOrder
from gateway.federation.errors import CoordinatorUnavailable
from gateway.federation.federations import Federations, Plan
from gateway.federation.records import Federation, Run, Site
from gateway.federation.run_follower import RunFollower, step_id
from gateway.federation.runs import Runs
from gateway.federation.site_router import SiteRouter
from gateway.registry.errors import PublishRefused
from gateway.registry.records import Model
from tests.gateway.parts import NOW, TENANT, House, call, house

CONVENOR = call("convenor")
PLAN = Plan("lungs", "m", "logistic-regression", '{"features": 3}', quorum=2, deadline_s=60)


def _key() -> str:
    public = ec.generate_private_key(ec.SECP384R1()).public_key()
    form = serialization.PublicFormat.OpenSSH
    return public.public_bytes(serialization.Encoding.OpenSSH, form).decode()


@dataclass
class Rounds:
    """A coordinator that remembers what it was asked and plays back prepared steps."""

    orders: list[RunOrder] = field(default_factory=list)
    steps: list[RunEvent] = field(default_factory=list)
    nodes: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    down: bool = False
    restarted: bool = False
    page: int = 2

    def fleet_url(self, tenant: str) -> str:
        return f"http://superlink/{tenant}"

    def add_node(self, tenant: str, public_key: str) -> str:
        self._answer()
        return self.nodes.setdefault(public_key, str(len(self.nodes) + 1))

    def remove_node(self, tenant: str, node_id: str) -> None:
        self._answer()
        self.removed.append(node_id)

    def start(self, order: RunOrder) -> None:
        self._answer()
        self.orders.append(order)

    def events(self, run_id: str, after: int, wait_s: float) -> RunEvents:
        self._answer()
        if self.restarted:
            raise NotFound
        return RunEvents([s for s in self.steps if s.seq > after][: self.page], "running")

    def result(self, run_id: str) -> bytes:
        return b"onnx"

    def forget(self, run_id: str) -> None:
        self.steps = []

    def _answer(self) -> None:
        if self.down:
            raise CoordinatorUnavailable


STEPS = [
    RunEvent(1, "run_started"),
    RunEvent(2, "round_started", round=1),
    RunEvent(3, "site_result", round=1, site="a", n_examples=40, digest="0" * 64),
    RunEvent(4, "site_error", round=1, site="b", code="timeout"),
    RunEvent(5, "round_aggregated", round=1, n_examples=40),
    RunEvent(6, "run_finished"),
]


@dataclass
class Field:
    home: House
    rounds: Rounds
    federations: Federations
    runs: Runs
    published: list[tuple[str, str, bytes]]
    follower: RunFollower

    def add(self, *sites: str) -> None:
        self.home.stores.registry.add_model(
            Model(TENANT, "m", False, "internal", frozenset(), 1, "c")
        )
        self.federations.create(CONVENOR, PLAN, None)
        for site in sites:
            self.federations.add_site(CONVENOR, "lungs", site, _key())


@pytest.fixture
def scene() -> Iterator[Field]:
    rounds, published = Rounds(steps=list(STEPS)), []
    with house(coordinator=rounds) as home:

        def publish(federation: Federation, run: Run, trained: bytes) -> None:
            published.append((federation.model, run.version, trained))

        stores = home.stores
        runs = Runs(
            stores.federations,
            stores.registry,
            home.use.federations,
            home.guard,
            Intents(stores.pending, home.recorder, lambda: NOW),
            rounds,
            follower=None,  # the tests follow on their own thread
            clock=lambda: NOW,
            new_id=home.new_id,
        )
        follower = RunFollower(stores.federations, rounds, home.recorder, publish)
        yield Field(home, rounds, home.use.federations, runs, published, follower)


def test_a_run_reaches_only_sites_that_are_listed_and_not_revoked(scene: Field) -> None:
    scene.add("a", "b", "c")
    scene.federations.revoke_site(CONVENOR, "lungs", "b")
    run = scene.runs.start(CONVENOR, "lungs", "2.0", 3)
    assert run.state == "running"
    assert [site.name for site in scene.rounds.orders[0].sites] == ["a", "c"]


def test_too_few_sites_or_a_taken_version_start_nothing(scene: Field) -> None:
    scene.add("a")
    with pytest.raises(InvalidRequest):
        scene.runs.start(CONVENOR, "lungs", "2.0", 3)
    assert scene.rounds.orders == []


def test_a_run_that_the_coordinator_does_not_take_has_failed(scene: Field) -> None:
    scene.add("a", "b")
    scene.rounds.down = True
    with pytest.raises(CoordinatorUnavailable):
        scene.runs.start(CONVENOR, "lungs", "2.0", 3)
    runs = scene.runs.runs(CONVENOR, "lungs", after="", limit=10)
    assert [(run.state, run.reason) for run in runs] == [("failed", "not_started")]
    assert scene.home.events()[-1]["outcome"] == "error"


def test_each_step_is_recorded_once_and_the_result_published(scene: Field) -> None:
    scene.add("a", "b")
    run = scene.runs.start(CONVENOR, "lungs", "2.0", 1)
    before = len(scene.home.events())
    done = scene.follower.follow(run)
    events = scene.home.events()[before:]
    assert (done.state, done.cursor) == ("finished", 6)
    assert [event["action"] for event in events] == [
        "runStarted", "roundStarted", "siteResult", "siteError", "roundAggregated", "runFinished",
    ]  # fmt: skip
    assert events[2]["fl"] == {
        "federation": "lungs", "round": 1, "site": "a", "n_examples": 40, "digest": "0" * 64,
    }  # fmt: skip
    assert (events[3]["outcome"], events[3]["reason"]) == ("error", "timeout")
    assert scene.published == [("m", "2.0", b"onnx")]


def test_a_step_that_was_recorded_before_a_crash_is_not_recorded_again(scene: Field) -> None:
    scene.add("a", "b")
    run = scene.runs.start(CONVENOR, "lungs", "2.0", 1)
    before = len(scene.home.events())
    earlier = Event(
        id=step_id(run.id, 1), ts=1, tenant=TENANT, category="federation", action="runStarted",
        outcome="done", boot_id="an earlier boot",
    )  # fmt: skip
    scene.home.log.append_blocking(earlier)
    assert scene.follower.follow(run).state == "finished"
    actions = [event["action"] for event in scene.home.events()[before:]]
    assert actions.count("runStarted") == 1
    assert len(actions) == len(STEPS)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(PublishRefused("malformed"), "publish_refused"), (OSError("no space left"), "fault")],
)
def test_a_result_that_cannot_be_published_fails_the_run_with_the_reason(
    scene: Field, fault: Exception, reason: str
) -> None:
    scene.add("a", "b")
    run = scene.runs.start(CONVENOR, "lungs", "2.0", 1)

    def refuses(*_: object) -> None:
        raise fault

    store = scene.home.stores.federations
    failed = RunFollower(store, scene.rounds, scene.home.recorder, refuses).follow(run)
    assert (failed.state, failed.reason) == ("failed", reason)
    assert _last(scene) == ("runFailed", "error", reason)


def test_a_run_that_is_lost_with_its_coordinator_ends_in_the_log_too(scene: Field) -> None:
    scene.add("a", "b")
    run = scene.runs.start(CONVENOR, "lungs", "2.0", 1)
    scene.rounds.restarted = True
    lost = scene.follower.follow(run)
    assert (lost.state, lost.reason) == ("failed", "coordinator_lost")
    assert _last(scene) == ("runFailed", "error", "coordinator_lost")
    before = len(scene.home.events())
    again = scene.follower.follow(replace(run, revision=lost.revision))  # as after a crash
    assert again.state == "failed"
    assert len(scene.home.events()) == before


def _last(scene: Field) -> tuple[object, object, object]:
    event = scene.home.events()[-1]
    return event["action"], event["outcome"], event["reason"]


def test_a_key_of_another_tenants_site_is_taken_and_no_more_is_told(scene: Field) -> None:
    scene.add("a")
    taken = _key()
    scene.home.stores.federations.add_site(Site("rival", "theirs", taken, "9", 0))
    with pytest.raises(AlreadyExists) as refused:
        scene.federations.add_site(CONVENOR, "lungs", "b", taken)
    assert refused.value.public == AlreadyExists().public


def test_the_purpose_of_a_run_is_recorded_only_if_it_is_registered(scene: Field) -> None:
    scene.add("a", "b")
    asked = replace(CONVENOR, purpose="Jane Doe, 4711")
    with suppress(Forbidden):
        scene.runs.start(asked, "lungs", "1", 3)
    runs = scene.home.stores.federations.list_runs(TENANT, "lungs", after="", limit=9)
    assert all(run.purpose == "" for run in runs)
    assert "Jane" not in str(scene.home.events())


def test_a_node_key_belongs_to_one_site_for_ever(scene: Field) -> None:
    scene.add()
    key = _key()
    scene.federations.add_site(CONVENOR, "lungs", "a", key)
    assert scene.federations.add_site(CONVENOR, "lungs", "a", f"{key} comment").name == "a"
    for name, other in (("b", key), ("a", _key())):
        with pytest.raises(AlreadyExists):
            scene.federations.add_site(CONVENOR, "lungs", name, other)
    scene.federations.revoke_site(CONVENOR, "lungs", "a")
    with pytest.raises(AlreadyExists):
        scene.federations.add_site(CONVENOR, "lungs", "a", key)


def test_only_convenors_do_any_of_this(scene: Field) -> None:
    scene.add("a", "b")
    for refused in (
        lambda: scene.federations.create(call("owner"), replace(PLAN, name="x"), None),
        lambda: scene.federations.revoke_site(call("owner"), "lungs", "a"),
        lambda: scene.runs.start(call("officer"), "lungs", "2.0", 1),
    ):
        with pytest.raises(Forbidden):
            refused()
    with pytest.raises(NotFound):  # who may not know of it
        scene.federations.add_site(call("caller"), "lungs", "z", _key())
    with pytest.raises(NotFound):
        scene.federations.get(call("caller"), "lungs")


def test_the_site_door_shuts_with_the_revocation(scene: Field) -> None:
    scene.add()
    key = _key()
    scene.federations.add_site(CONVENOR, "lungs", "a", key)
    door = SiteRouter(scene.home.stores.federations, scene.home.guard, scene.rounds)
    scene.rounds.nodes.clear()  # as after a restart of the coordinator
    opened = door.open_for(key)
    assert opened is not None
    assert list(scene.rounds.nodes) == [key]
    assert (opened[0].name, opened[1]) == ("a", "http://superlink/acme")
    assert door.open_for(_key()) is None
    scene.rounds.nodes.clear()
    door.forget(TENANT)
    assert door.open_for(key) == opened
    assert list(scene.rounds.nodes) == [key]
    tenant = scene.home.stores.tenants.get(TENANT)
    assert tenant is not None
    scene.home.revocation_state.save_tenant(replace(tenant, suspended=True))
    assert door.open_for(key) is None
    scene.home.revocation_state.save_tenant(tenant)
    scene.rounds.down = True
    door.forget(TENANT)
    with pytest.raises(CoordinatorUnavailable):  # a site that may pass is not turned away for it
        door.open_for(key)
    # The revocation does not depend on the coordinator.
    scene.federations.revoke_site(CONVENOR, "lungs", "a")
    assert door.open_for(key) is None
