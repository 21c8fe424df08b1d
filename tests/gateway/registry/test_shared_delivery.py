"""What another tenant is handed of a model is in the owner's log before anything leaves."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from audit.errors import AuditUnavailable
from audit.event import Event
from audit.log import AuditLog, Receipt
from gateway.artifacts.age import generate_identity
from gateway.authorization.intents import Intents
from gateway.authorization.recorder import Recorder
from gateway.composition.authorization import make_guard
from gateway.errors import EvidenceUnavailable, NotFound
from gateway.registry.catalogue import Catalogue
from gateway.registry.delivery import Delivery, Found
from gateway.registry.records import Model, ModelVersion
from tests.gateway.parts import NOW, TENANT, House, call, house
from tests.sharings import sharing

RIVAL = "rival"
THEIRS = call("owner", RIVAL)
RECIPIENT = str(generate_identity(secrets.token_bytes).recipient)


class Closed(AuditLog):
    """A log that takes nothing for one tenant."""

    def __init__(self, log: AuditLog, closed: str) -> None:
        self.real, self.closed = log, closed

    def append_blocking(self, event: Event, sealed: Any = ()) -> Receipt:
        if event.tenant == self.closed:
            raise AuditUnavailable
        return self.real.append_blocking(event, sealed)

    def find(self, tenant: str, event_id: str) -> Receipt | None:
        return self.real.find(tenant, event_id)


@pytest.fixture
def home() -> Iterator[House]:
    with house(RIVAL) as made:
        graph = made.base.sealer.seal_bytes(TENANT, b"graph", "graph")
        lent = frozenset({sharing(TENANT, "m", RIVAL, download=True, infer=False)})
        made.stores.registry.add_model(
            Model(TENANT, "m", False, "internal", lent, int(NOW), "acme-owner")
        )
        made.stores.registry.add_version(
            ModelVersion(
                *(TENANT, "m", "1", "released", int(NOW), "acme-owner"),
                owner_bundle=b"bundle",
                link=b"link",
                payloads=(graph,),
            )
        )
        yield made


def delivery(home: House, closed: str) -> Delivery:
    """What hands out, on a log that takes nothing for a tenant."""
    base = home.base
    clock = base.environment.clock
    recorder = Recorder(
        Closed(home.log, closed),
        clock=clock,
        random_bytes=secrets.token_bytes,
        gateway_id="g",
        boot_id="b",
        region="eu",
    )
    guard, intents = make_guard(base, recorder), Intents(base.stores.pending, recorder, clock)
    catalogue = Catalogue(base.stores.registry, guard, intents, changed=home.changed, clock=clock)
    return Delivery(catalogue, guard, intents, base.sealer.header_for, recorder.new_id)


def find(home: House, hands: Delivery, name: str = f"{TENANT}~m") -> Found:
    version = home.stores.registry.get_version(TENANT, "m", "1")
    assert version is not None
    return hands.find(THEIRS, name, "1", version.payloads[0].digest, RECIPIENT)


def test_both_logs_have_what_was_handed_out_and_the_owners_names_nobody(home: House) -> None:
    hands = home.use.delivery
    found = find(home, hands)
    hands.header(THEIRS, found, RECIPIENT)
    opened = hands.open(THEIRS, found)
    mine = home.events(TENANT)
    hands.close(opened, sent=5, complete=True)
    assert [event["reason"] for event in mine if event.get("reason")] == ["header"]
    assert len(mine) == 2, "both before the first byte"
    for event in mine:
        assert (event["actor_ref"], event["actor_type"]) == (RIVAL, "tenant")
        assert (event["recipient"], event["model_id"]) == (RECIPIENT, "m")
        assert not {"client_id", "auth_method", "purpose"} & set(event)
    theirs = home.events(RIVAL)
    assert {event["model_id"] for event in theirs} == {f"{TENANT}~m"}
    assert {event["client_id"] for event in theirs} == {f"{RIVAL}-owner"}


@pytest.mark.parametrize("closed", [TENANT, RIVAL])
def test_where_one_of_the_two_logs_takes_nothing_nothing_leaves(home: House, closed: str) -> None:
    hands = delivery(home, closed)
    found = find(home, hands)
    with pytest.raises(EvidenceUnavailable):
        hands.header(THEIRS, found, RECIPIENT)
    with pytest.raises(EvidenceUnavailable):
        hands.open(THEIRS, found)
    if closed == TENANT:
        ended = home.events(RIVAL)[-1]
        assert (ended["phase"], ended["outcome"]) == ("result", "error")


def test_only_the_name_of_another_tenants_model_reaches_it(home: House) -> None:
    for name in ("m", f"{RIVAL}~m", f"{TENANT}/m", f"{TENANT}~~m"):
        with pytest.raises(NotFound):
            find(home, home.use.delivery, name)
    home.stores.registry.end(sharing(TENANT, "m", RIVAL))
    home.changed()
    with pytest.raises(NotFound):
        find(home, home.use.delivery)
