from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.lifecycle.errors import Forbidden, NotFound
from gateway.lifecycle.records import Model, Site
from gateway.lifecycle.solo import SOLO_SECONDS, SoloMode
from tests.gateway.lifecycle.house import NOW, TENANT, call, client_record, house


def _model(tenant: str = TENANT, *shared: str) -> Model:
    return Model(tenant, "m", False, "internal", frozenset(shared), 1, "c")


def test_a_refusal_is_in_the_log_before_it_is_told() -> None:
    with house() as home:
        facts = home.guard.model(_model())
        with pytest.raises(Forbidden):
            home.guard.require(call("caller"), "uploadArtifact", facts, model_id="m")
        event = home.events()[-1]
    assert (event["outcome"], event["action"], event["client_id"]) == (
        "deny", "uploadArtifact", "acme-caller",
    )  # fmt: skip
    assert event["resource"] == "Model::acme/m"


def test_another_tenants_thing_looks_absent_and_policies_stay_untold() -> None:
    with house("rival") as home:
        facts = home.guard.model(_model())
        with pytest.raises(NotFound):
            home.guard.require(call("owner", "rival"), "uploadArtifact", facts)
        event = home.events("rival")[-1]
        assert home.events() == []
    assert "platform-isolation" in event["policy_ids"]  # type: ignore[operator]


def test_an_allowed_change_has_an_intent_and_a_result() -> None:
    with house() as home:
        facts = home.guard.model(_model())
        asked = call("owner")
        decision = home.guard.require(asked, "uploadArtifact", facts)
        with home.guard.witness(asked, "uploadArtifact", facts, decision, reason="share"):
            assert [event["phase"] for event in home.events()] == ["intent"]
        events = home.events()
    assert [(e.get("phase"), e["outcome"]) for e in events] == [
        ("intent", "allow"), ("result", "done"),
    ]  # fmt: skip
    assert events[1]["intent_id"] == events[0]["id"]


def test_a_change_that_fails_says_so_by_its_code() -> None:
    with house() as home:
        facts = home.guard.model(_model())
        asked = call("owner")
        decision = home.guard.require(asked, "uploadArtifact", facts)
        with (
            pytest.raises(NotFound),
            home.guard.witness(asked, "uploadArtifact", facts, decision),
        ):
            raise NotFound
        event = home.events()[-1]
    assert (event["outcome"], event["reason"]) == ("error", "not_found")


def test_facts_fall_with_the_epoch() -> None:
    with house() as home:
        assert not home.guard.tenant(TENANT).suspended
        tenant = home.stores.tenants.get(TENANT)
        assert tenant is not None
        home.standing.save_tenant(replace(tenant, suspended=True))
        assert home.guard.tenant(TENANT).suspended


def test_a_revoked_site_is_out() -> None:
    with house() as home:
        home.stores.federations.add_site(Site(TENANT, "acme-site", "key", "1", 0))
        asked = call("site")
        facts = home.guard.model(_model())
        assert home.guard.decide(asked, "readMetadata", facts).allowed
        home.stores.federations.revoke_site(TENANT, "acme-site")
        home.changed()
        assert "platform-revoked-site" in home.guard.decide(asked, "readMetadata", facts).policy_ids


def test_solo_mode_ends_with_the_second_administrator_or_after_thirty_days() -> None:
    with house() as home:
        now = [NOW]
        solo = SoloMode(home.stores.clients, int(NOW), lambda: now[0], lambda: home.standing.epoch)
        home.stores.clients.add(client_record("one", "platform", "administrator"))
        assert solo()
        home.stores.clients.add(client_record("off", "platform", "administrator", disabled=True))
        home.changed()
        assert solo()
        now[0] = NOW + SOLO_SECONDS
        assert not solo()
        now[0] = NOW
        home.stores.clients.add(client_record("two", "platform", "administrator"))
        home.changed()
        assert not solo()
        never = SoloMode(home.stores.clients, None, lambda: NOW, lambda: home.standing.epoch)
        assert not never()
