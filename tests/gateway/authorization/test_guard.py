from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.authorization.guard import MAX_ASKERS, Guard
from gateway.errors import EvidenceUnavailable, Forbidden, NotFound
from gateway.federation.facts import site_facts
from gateway.federation.records import Site
from gateway.identity.errors import InvalidToken
from gateway.registry.facts import model_facts
from gateway.registry.records import Model
from gateway.registry.terms import Terms
from gateway.tenancy.solo import SOLO_SECONDS, SoloMode
from policies.facts import ServiceFacts, SiteFacts, TenantFacts
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house
from tests.sharings import sharing


def _model(tenant: str = TENANT, *shared: str) -> Model:
    sharings = frozenset(sharing(tenant, "m", one) for one in shared)
    return Model(tenant, "m", False, "internal", sharings, 1, "c")


def test_a_refusal_is_in_the_log_before_it_is_told() -> None:
    with house() as home:
        facts = model_facts(_model(), home.guard.tenant)
        with pytest.raises(Forbidden):
            home.guard.require(call("caller"), "uploadArtifact", facts, model_id="m")
        event = home.events()[-1]
    assert (event["outcome"], event["action"], event["client_id"]) == (
        "deny", "uploadArtifact", "acme-caller",
    )  # fmt: skip
    assert event["resource"] == "Model::acme/m"


def test_another_tenants_thing_looks_absent_and_policies_stay_untold() -> None:
    with house("rival") as home:
        facts = model_facts(_model(), home.guard.tenant)
        with pytest.raises(NotFound):
            home.guard.require(call("owner", "rival"), "uploadArtifact", facts)
        event = home.events("rival")[-1]
        assert home.events() == []
    assert "platform-isolation" in event["policy_ids"]  # type: ignore[operator]


def test_absent_and_forbidden_end_alike_where_nothing_can_be_recorded() -> None:
    with house() as home:
        home.stores.registry.add_model(_model())
        site, use = call("convenor"), home.use
        ways: list[Callable[[str], object]] = [
            lambda name: use.sharings.withdraw(site, name, "rival"),
            lambda name: use.sharings.offer(site, name, Terms("rival")),
            lambda name: use.uploads.admit(site, name, 9),
        ]
        for way in ways:
            for name in ("m", "absent"):
                with pytest.raises(NotFound):
                    way(name)
        assert [event["outcome"] for event in home.events()] == 6 * ["deny"]
        home.log.close()
        for way in ways:
            for name in ("m", "absent"):
                with pytest.raises(EvidenceUnavailable):
                    way(name)


def test_facts_fall_with_the_epoch() -> None:
    with house() as home:
        assert not home.guard.tenant(TENANT).suspended
        tenant = home.stores.tenants.get(TENANT)
        assert tenant is not None
        home.revocation_state.save_tenant(replace(tenant, suspended=True))
        assert home.guard.tenant(TENANT).suspended


def _fallen(home: House, what: str) -> None:
    client, tenant = home.stores.clients.get("acme-owner"), home.stores.tenants.get(TENANT)
    assert client is not None
    assert tenant is not None
    if what == "token":
        home.revocation_state.revoke_token("https://gateway.example", "t", int(NOW) + 300)
    elif what == "disabled":
        home.revocation_state.save_client(replace(client, disabled=True))
    elif what == "roles":
        home.revocation_state.save_client(replace(client, roles=frozenset({"caller"})))
    else:
        home.revocation_state.save_tenant(replace(tenant, suspended=True))


@pytest.mark.parametrize("what", ["token", "disabled", "roles", "suspended"])
def test_a_caller_who_fell_since_the_request_came_in_is_not_decided_for(what: str) -> None:
    with house() as home:
        facts, asked = model_facts(_model(), home.guard.tenant), call("owner")
        assert home.guard.require(asked, "uploadArtifact", facts).allowed
        _fallen(home, what)
        for decide in (
            lambda: home.guard.require(asked, "uploadArtifact", facts),
            lambda: home.guard.permit(asked, "uploadArtifact", facts),
            lambda: home.guard.may_read(asked, facts),
            lambda: home.guard.may_read(asked, None),
            lambda: home.guard.absent(asked, "uploadArtifact"),
        ):
            with pytest.raises(InvalidToken) as refused:
                decide()
            assert refused.value.challenge == 'Bearer error="invalid_token"'
        assert home.events() == []


class _Meanwhile:
    """A store that reads a record, and lets something happen before it hands it over."""

    def __init__(self, store: object, method: str, act: Callable[[], object]) -> None:
        self._store, self._method, self._act = store, method, act

    def __getattr__(self, name: str) -> object:
        real = getattr(self._store, name)
        if name != self._method:
            return real

        def read(*key: str) -> object:
            record, act = real(*key), self._act
            self._act = lambda: None
            act()
            return record

        return read


def _guard_on(home: House, **stores: object) -> Guard:
    given: dict[str, Any] = {
        "tenants": home.stores.tenants, "federation": home.stores.federations, **stores
    }  # fmt: skip

    def site_of(tenant: TenantFacts, client: str) -> SiteFacts | None:
        site = given["federation"].get_site(tenant.id, client)
        return None if site is None else site_facts(site, tenant)

    return Guard(
        home.engine,
        given["tenants"],
        home.recorder,
        site_of=site_of,
        confirm=home.revocation_state.confirm,
        region="eu",
        epoch=lambda: home.revocation_state.epoch,
        solo=lambda: False,
    )


def test_a_record_that_was_read_before_a_suspension_is_not_kept_after_it() -> None:
    with house() as home:

        def suspend() -> None:
            _fallen(home, "suspended")
            guard.tenant("platform")  # somebody asks under the new epoch before the old read ends

        guard = _guard_on(home, tenants=_Meanwhile(home.stores.tenants, "get", suspend))
        guard.tenant(TENANT)
        assert guard.tenant(TENANT).suspended


def test_a_site_that_was_read_before_its_revocation_is_not_kept_after_it() -> None:
    with house() as home:
        home.stores.federations.add_site(Site(TENANT, "acme-site", "key", "1", 0))

        def revoke() -> None:
            home.stores.federations.revoke_site(TENANT, "acme-site")
            home.changed()
            guard.tenant("platform")

        store = _Meanwhile(home.stores.federations, "get_site", revoke)
        guard = _guard_on(home, federation=store)
        asked = call("site").principal
        guard.principal(asked)
        facts = guard.principal(asked)
        assert isinstance(facts, ServiceFacts)
        site = facts.site
        assert site is not None
        assert site.revoked


def test_a_purpose_that_is_not_registered_stays_out_of_the_log() -> None:
    with house() as home:
        facts = model_facts(_model(), home.guard.tenant)
        for purpose in ("Jane Doe, 4711", "care"):
            home.guard.record(
                replace(call("owner"), purpose=purpose), "uploadArtifact", "done", None, facts
            )
        assert [event.get("purpose", "") for event in home.events()] == ["", "care"]


def test_a_revoked_site_is_out() -> None:
    with house() as home:
        home.stores.federations.add_site(Site(TENANT, "acme-site", "key", "1", 0))
        asked = call("site")
        facts = model_facts(_model(), home.guard.tenant)
        assert home.guard.decide(asked, "readMetadata", facts).allowed
        home.stores.federations.revoke_site(TENANT, "acme-site")
        home.changed()
        assert "platform-revoked-site" in home.guard.decide(asked, "readMetadata", facts).policy_ids


def test_solo_mode_ends_with_the_second_administrator_or_after_thirty_days() -> None:
    with house() as home:
        now = [NOW]
        solo = SoloMode(
            home.stores.clients, int(NOW), lambda: now[0], lambda: home.revocation_state.epoch
        )
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
        never = SoloMode(
            home.stores.clients, None, lambda: NOW, lambda: home.revocation_state.epoch
        )
        assert not never()


def test_a_caller_with_thousands_of_purposes_empties_no_other_tenants_memory() -> None:
    """The facts of all callers were made anew once one had asked for enough purposes."""
    with house("rival") as home:
        mine, theirs = call("caller"), call("caller", "rival")
        facts = model_facts(_model("rival"), home.guard.tenant)
        home.guard.decide(theirs, "readMetadata", facts)
        before = set(home.guard._known)
        for number in range(2 * MAX_ASKERS):
            home.guard.decide(replace(mine, purpose=f"purpose-{number}"), "readMetadata", facts)
        assert before <= set(home.guard._known)
        assert len(home.guard._known) <= MAX_ASKERS
