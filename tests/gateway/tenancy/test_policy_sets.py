"""A mistake in a policy set is mended: it is refused, rolled back, or rescued by two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from gateway.authorization.recorder import Call
from gateway.authorization.records import Approval
from gateway.errors import Forbidden, NotFound, StateConflict
from gateway.identity.records import Client
from gateway.tenancy.steering import Steering
from policies.bundle import SignedBundle, sign_bundle
from policies.compiled import starter_text
from policies.errors import PolicySetInvalid
from policies.standing import Candidate
from tests.gateway.parts import NOW, TENANT, House, call, client_record, house
from tests.policies.forty_sets import SELF_LOCKING

OWNER, OFFICER = call("owner"), call("officer")
ANN, BOB = (call("administrator", "platform", name) for name in ("ann", "bob"))
MINE = starter_text() + '@id("mine") permit (principal, action, resource) when { context.solo };\n'
SHUT = '@id("shut") forbid (principal, action, resource);\n'
SCOPES = {
    "owner": {"policies", "models"},
    "officer": {"audit", "policies"},
}


def _scoped(client: Client) -> Client:
    return replace(client, scopes=frozenset(SCOPES[next(iter(client.roles))]))


@pytest.fixture
def home() -> Iterator[House]:
    with house() as made:
        for role in ("owner", "officer"):
            made.revocation_state.change_client(TENANT, f"{TENANT}-{role}", _scoped)
        for name in ("ann", "bob"):
            made.stores.clients.add(client_record(name, "platform", "administrator"))
        yield made


def epoch(home: House) -> int:
    return home.engine.epoch(TENANT)


OF_ELSEWHERE = {"only in solo mode", "only with another binding"}
"""The solo mode is off here, and tokens are bound."""


@pytest.mark.parametrize("name", [one for one in SELF_LOCKING if one not in OF_ELSEWHERE])
def test_a_set_that_locks_its_tenant_out_is_not_published(home: House, name: str) -> None:
    with pytest.raises(PolicySetInvalid) as refused:
        home.use.policies.publish(OWNER, SELF_LOCKING[name])
    assert any("any more" in problem.reason for problem in refused.value.problems)
    assert home.use.policies.check(OWNER, SELF_LOCKING[name]) == refused.value.problems
    assert epoch(home) == 1
    assert home.use.policies.publish(OWNER, MINE).epoch == 2


def test_the_platform_cannot_lock_itself_out_of_its_own_log(home: House) -> None:
    officer = client_record("records", "platform", "officer")
    home.stores.clients.add(replace(officer, scopes=frozenset({"audit", "policies"})))
    asked = call("officer", "platform", "records")
    with pytest.raises(PolicySetInvalid) as refused:
        home.use.policies.publish(asked, SELF_LOCKING["one wrong word for reading"])
    assert "reviewAudit" in refused.value.problems[0].reason


def test_people_count_as_clients_do(home: House) -> None:
    person = Candidate(
        "dora", "user", frozenset({"officer"}), frozenset({"audit"}), frozenset(), "dpop"
    )
    steering = Steering(home.stores.clients, home.guard, lambda: NOW, lambda _: [person])
    assert person in steering.standing(OWNER, TENANT).candidates


def test_a_client_that_is_shut_out_steers_nothing(home: House) -> None:
    home.revocation_state.change_client(
        TENANT, f"{TENANT}-officer", lambda one: replace(one, disabled=True)
    )
    steering = Steering(home.stores.clients, home.guard, lambda: NOW)
    found = steering.standing(OWNER, TENANT).candidates
    assert found[0].id == f"{TENANT}-owner"
    assert f"{TENANT}-officer" not in {one.id for one in found}


def test_an_earlier_set_is_one_command_away(home: House) -> None:
    home.use.policies.publish(OWNER, MINE)
    rolled = home.use.policies.roll_back(OWNER, None)
    assert (rolled.epoch, rolled.text) == (3, starter_text())
    again = home.use.policies.roll_back(OWNER, 2)
    assert (again.epoch, again.text) == (4, MINE)
    listed = home.use.policies.history(OWNER, after=0, limit=9)
    assert [one.epoch for one in listed] == [1, 2, 3, 4]
    assert home.use.policies.published(OWNER, 2).text == MINE
    with pytest.raises(NotFound):
        home.use.policies.roll_back(OWNER, 17)
    with pytest.raises(NotFound):
        home.use.policies.published(OWNER, 17)


def test_who_may_not_publish_sees_no_earlier_set_and_brings_none_back(home: House) -> None:
    caller = call("caller")
    for refused in (
        lambda: home.use.policies.history(caller, after=0, limit=9),
        lambda: home.use.policies.published(caller, 1),
        lambda: home.use.policies.roll_back(caller, 1),
    ):
        with pytest.raises(Forbidden):
            refused()


def locked(home: House) -> None:
    """The tenant is locked out, as one is that published before such sets were refused."""
    home.author.publish(TENANT, SHUT, "somebody")
    with pytest.raises(Forbidden):
        home.use.policies.publish(OWNER, MINE)


def asked(home: House, by: Call = ANN, number: int | None = 1) -> Approval:
    waits = home.use.policy_rescue.rescue(by, TENANT, number)
    assert isinstance(waits, Approval)
    return waits


def test_two_administrators_bring_a_set_back_and_both_logs_tell_of_it(home: House) -> None:
    locked(home)
    waits = asked(home)
    assert epoch(home) == 2
    with pytest.raises(Forbidden):
        home.use.approvals.grant(ANN, waits.id, waits.digest)
    home.use.approvals.grant(BOB, waits.id, waits.digest)
    assert epoch(home) == 3
    assert home.use.policies.publish(OWNER, MINE).epoch == 4
    for tenant in ("platform", TENANT):
        about = f"PolicySet::{TENANT}"
        told = [one for one in home.events(tenant) if one.get("reason") == "rescue_policies"]
        done = [one for one in told if (one["resource"], one["outcome"]) == (about, "done")]
        assert [(one["client_id"], one["input_commit"]) for one in done] == [("bob", waits.digest)]


def test_a_tenant_that_can_help_itself_is_not_overridden(home: House) -> None:
    with pytest.raises(StateConflict):
        asked(home)


def test_what_was_published_meanwhile_is_not_replaced(home: House) -> None:
    locked(home)
    waits = asked(home)
    home.author.publish(TENANT, SHUT + "// again\n", "somebody")
    with pytest.raises(StateConflict):
        home.use.approvals.grant(BOB, waits.id, waits.digest)
    assert epoch(home) == 3


def test_nobody_is_rescued_into_another_lock(home: House) -> None:
    locked(home)
    with pytest.raises(PolicySetInvalid):
        asked(home, number=2)
    assert not home.use.approvals.waiting(ANN)
    waits = asked(home)
    for role in ("owner", "officer"):
        shut_out = partial(replace, disabled=True)
        home.revocation_state.change_client(TENANT, f"{TENANT}-{role}", shut_out)
    with pytest.raises(PolicySetInvalid):
        home.use.approvals.grant(BOB, waits.id, waits.digest)


def test_only_administrators_rescue(home: House) -> None:
    locked(home)
    with pytest.raises(NotFound):
        home.use.policy_rescue.rescue(OWNER, TENANT, None)
    with pytest.raises(Forbidden):
        home.use.policy_rescue.rescue(call("owner", "platform"), TENANT, None)


def test_the_platform_itself_is_rescued_too(home: House) -> None:
    officer = client_record("records", "platform", "officer")
    home.stores.clients.add(replace(officer, scopes=frozenset({"audit", "policies"})))
    home.author.publish("platform", SHUT, "somebody")
    waits = home.use.policy_rescue.rescue(ANN, "platform", None)
    assert isinstance(waits, Approval)
    home.use.approvals.grant(BOB, waits.id, waits.digest)
    assert home.engine.epoch("platform") == 3


def test_a_stored_set_that_cannot_be_used_shuts_its_tenant_only_and_is_rescued(
    home: House,
) -> None:
    bundles = home.stores.bundles
    home.author.publish(TENANT, SHUT, "somebody")
    slow = _as_if_published(home, '@id("a") permit (principal, action, resource) when { x };')
    assert bundles.latest(TENANT) == slow
    home.author.enforce(TENANT)
    assert list(home.author.refused) == [TENANT]
    waits = asked(home, number=1)
    home.use.approvals.grant(BOB, waits.id, waits.digest)
    assert (epoch(home), dict(home.author.refused)) == (4, {})


def _as_if_published(home: House, text: str) -> SignedBundle:
    newest = home.author.current(TENANT)
    assert newest is not None
    fresh = SignedBundle(TENANT, newest.epoch + 1, newest.digest, "somebody", text, int(NOW))
    signed = sign_bundle(fresh, home.base.keys.signing_key("policy"))
    home.stores.bundles.put(signed)
    return signed
