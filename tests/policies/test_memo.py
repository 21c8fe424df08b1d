from __future__ import annotations

import re
from dataclasses import fields, replace
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import facts
from policies.author import PolicyAuthor
from policies.compiled import ACTIONS, compile_set, join, prepare, starter_text
from policies.engine import PolicyEngine
from policies.errors import PolicySetInvalid
from policies.facts import ContextFacts
from policies.memo import MAX_FACTS, KeyPlan, Memo
from policies.signers import BundleKeys
from tests.policies.test_isolation import contexts, principals, resources, tenants
from tests.policies.world import (
    ACME,
    APP,
    CONTEXT,
    ECG,
    KEY,
    OTHER,
    PERMIT_ALL,
    RESOURCES,
    DictStore,
    clock,
    engine_with,
)


def reads(condition: str, action: str = "infer") -> frozenset[tuple[str, ...]] | None:
    scope = f'principal, action == Action::"{action}", resource'
    plan = compile_set(f'@id("a") permit ({scope}) when {{ {condition} }};').keys["infer"]
    return None if plan is None else plan.reads


PLATFORM_READS = reads("true") or frozenset()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", set()),
        ("principal == resource.tenant.tenant", {("principal",), ("resource", "tenant", "tenant")}),
        ("resource.data_class == context.binding", {("resource", "data_class")}),
        ("context.acr > 1 || resource.personal", {("context", "acr"), ("resource", "personal")}),
        ("false && context.solo", {("context", "solo")}),
        (
            "(if context.solo then 1 else context.acr) == 1",
            {("context", "solo"), ("context", "acr")},
        ),
        ('resource in Model::"acme/ecg"', {("resource",)}),
        ("context has recipient", {("context", "recipient")}),
        (
            "context has verdict && context.verdict.rules.containsAny(context.scopes)",
            {("context", "verdict"), ("context", "verdict", "rules"), ("context", "scopes")},
        ),
    ],
)
def test_a_key_holds_what_the_set_reads(condition: str, expected: set[tuple[str, ...]]) -> None:
    assert reads(condition) == PLATFORM_READS | expected


@pytest.mark.parametrize(
    "condition",
    [
        'context.now < datetime("2030-01-01")',
        "context.auth_age < 900",
        'Tenant::"zoo".suspended',
        'Tenant::"zoo" in Tenant::"acme"',
        "(if context.solo then principal.tenant else resource.tenant).suspended",
        '{"a": context.acr}.a == 1',
    ],
)
def test_what_reads_the_time_or_is_not_understood_is_not_remembered(condition: str) -> None:
    assert reads(condition) is None


def test_policies_for_other_actions_do_not_matter() -> None:
    assert reads("context.auth_age < 900", action="promote") == PLATFORM_READS


def test_the_starter_set_can_be_remembered_on_the_hot_path() -> None:
    compiled = compile_set(starter_text())
    assert compiled.keys["infer"] is not None
    assert compiled.keys["releaseOutput"] is not None
    assert compiled.keys["promote"] is None


def _schema() -> str:
    return files("policies").joinpath("schema.cedarschema").read_text(encoding="utf-8")


def test_every_attribute_of_the_schema_is_a_field_of_its_facts() -> None:
    """A key reads facts by the attribute's name: a missing field would be one value for all."""
    for kind, body in re.findall(r"^entity (\w+)[^=]*= \{(.*?)\};", _schema(), re.M | re.S):
        cls = getattr(facts, f"{kind}Facts")
        for attribute in re.findall(r"(\w+)\??:", re.sub(r"//.*", "", body)):
            assert hasattr(cls, attribute), (kind, attribute)
    for kind, cls in (("Ctx", ContextFacts), ("Verdict", facts.VerdictFacts)):
        body = re.search(rf"^type {kind} = \{{(.*?)\}};", _schema(), re.M | re.S)
        assert body is not None
        named = set(re.findall(r"(\w+)\??:", re.sub(r"//.*", "", body[1])))
        assert named - {"now"} == {field.name for field in fields(cls)}


def test_the_table_of_actions_is_the_schemas() -> None:
    declared = re.findall(r"^action ([\w, ]+?) in \[(\w+)\]", _schema(), re.M)
    assert dict(ACTIONS) == {
        name.strip(): group for names, group in declared for name in names.split(",")
    }
    assert set(RESOURCES) == set(ACTIONS)


def test_a_second_equal_request_is_remembered_and_a_new_epoch_is_not() -> None:
    engine = engine_with(acme=starter_text())
    first = engine.decide(APP, "infer", ECG, CONTEXT)
    assert (engine.hits, engine.misses) == (0, 1)
    assert engine.decide(APP, "infer", ECG, replace(CONTEXT, auth_age=999)) == first
    assert (engine.hits, engine.misses) == (1, 1)
    assert engine.decide(APP, "infer", ECG, replace(CONTEXT, epoch=2)) == first
    assert (engine.hits, engine.misses) == (1, 2)


def test_a_decision_for_one_is_not_served_to_another() -> None:
    text = (
        '@id("one") permit (principal == Service::"app", action, resource);'
        '@id("two") permit (principal, action, resource in Model::"acme/public");'
    )
    engine = engine_with(acme=text)
    assert engine.decide(APP, "infer", ECG, CONTEXT).allowed
    assert not engine.decide(replace(APP, id="other"), "infer", ECG, CONTEXT).allowed
    public = replace(ECG, model="public")
    assert engine.decide(replace(APP, id="other"), "infer", public, CONTEXT).allowed
    assert engine.misses == 3


def test_a_changed_fact_is_not_served_from_memory() -> None:
    engine = engine_with(acme=starter_text())
    assert engine.decide(APP, "infer", ECG, CONTEXT).allowed
    assert not engine.decide(APP, "infer", replace(ECG, signed=False), CONTEXT).allowed
    suspended = replace(ACME, suspended=True)
    assert not engine.decide(
        replace(APP, tenant=suspended), "infer", replace(ECG, tenant=suspended), CONTEXT
    ).allowed


def test_errors_and_control_actions_are_never_remembered() -> None:
    engine = engine_with(acme=PERMIT_ALL)
    stale = replace(ECG, tenant=replace(ACME, region="us"))
    for _ in range(2):
        assert engine.decide(APP, "infer", stale, CONTEXT).error == "facts"
        assert engine.decide(APP, "uploadArtifact", RESOURCES["uploadArtifact"], CONTEXT).allowed
    assert engine.hits == 0


SHARES = [frozenset[str](), frozenset({"acme"})]


def test_a_key_tells_optional_entities_apart() -> None:
    wanted = frozenset({("principal", "site"), ("principal", "site", "revoked")})
    with_site = replace(APP, site=facts.SiteFacts(tenant=ACME, name="north", revoked=False))
    revoked = replace(APP, site=facts.SiteFacts(tenant=ACME, name="north", revoked=True))
    keys = {KeyPlan(wanted).key("infer", who, ECG, CONTEXT) for who in (APP, with_site, revoked)}
    assert len(keys) == 3


def test_a_key_of_plain_attributes_tells_every_value_apart() -> None:
    wanted = frozenset({("resource", "stage"), ("resource", "tenant", "suspended")})
    others = [
        ECG,
        replace(ECG, stage="candidate"),
        replace(ECG, tenant=replace(ACME, suspended=True)),
    ]
    keys = {KeyPlan(wanted).key("infer", APP, version, CONTEXT) for version in others}
    assert len(keys) == 3


def test_a_key_is_read_from_a_root_that_lacks_an_attribute() -> None:
    wanted = frozenset({("resource", "stage"), ("resource", "personal")})
    model = facts.ModelFacts(tenant=ACME, name="ecg", personal=False, data_class="health")
    plan = KeyPlan(wanted)
    assert plan.key("readMetadata", APP, model, CONTEXT) != plan.key(
        "readMetadata", APP, replace(model, personal=True), CONTEXT
    )


def test_what_is_remembered_of_facts_is_theirs_however_many_come_and_go() -> None:
    wanted = reads("principal == resource.tenant.tenant && resource.personal")
    assert wanted is not None
    plan = KeyPlan(wanted)
    for number in range(2 * MAX_FACTS + 10):  # each may get the identity of one that is gone
        version = replace(ECG, personal=bool(number % 2), version=str(number))
        fresh = KeyPlan(wanted).key("infer", APP, version, CONTEXT)
        assert plan.key("infer", APP, version, CONTEXT) == fresh
    assert plan.key("infer", APP, replace(ECG), CONTEXT) == plan.key("infer", APP, ECG, CONTEXT)


def test_the_least_recently_used_goes_first() -> None:
    memo: Memo[str] = Memo(limit=2)
    memo.put(1, "one")
    memo.put(2, "two")
    assert memo.get(1) == "one"
    memo.put(3, "three")
    assert (memo.get(1), memo.get(2), memo.get(3)) == ("one", None, "three")
    assert len(memo) == 2


NEVER = '@id("never") forbid (principal, action, resource) when { context.auth_age < -9 };'
REMEMBERING = engine_with(acme=starter_text(), other=starter_text())
FORGETTING = engine_with(acme=starter_text() + NEVER, other=starter_text() + NEVER)
"""The same policies, with one that reads the time and never applies: decided anew each time."""


@settings(deadline=None, max_examples=500)
@given(data=st.data())
def test_remembering_never_changes_a_decision(data: st.DataObject) -> None:
    home, owner = data.draw(tenants("acme")), data.draw(tenants("other"))
    principal = data.draw(principals(home))
    resource = data.draw(resources(data.draw(st.sampled_from([home, owner]))))
    action = data.draw(st.sampled_from(["infer", "releaseOutput", "readMetadata"]))
    context = data.draw(contexts)
    remembered = REMEMBERING.decide(principal, action, resource, context)  # type: ignore[arg-type]
    assert remembered == FORGETTING.decide(principal, action, resource, context)  # type: ignore[arg-type]
    assert FORGETTING.hits + FORGETTING.misses == 0


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_change_of_one_fact_is_decided_as_if_nothing_were_remembered(data: st.DataObject) -> None:
    """Near neighbours of one request, so that keys are often equal and often differ in one part."""
    context = data.draw(contexts)
    field = data.draw(st.sampled_from([f.name for f in fields(ContextFacts)]))
    roles = data.draw(st.frozensets(st.sampled_from(["caller", "owner"])))
    shared = replace(ECG, tenant=OTHER, shared_with=data.draw(st.sampled_from(SHARES)))
    stage = data.draw(st.sampled_from(["released", "candidate", "retired"]))
    for who, what, when in (
        (APP, ECG, CONTEXT),
        (APP, ECG, replace(CONTEXT, **{field: getattr(context, field)})),
        (replace(APP, roles=roles), ECG, CONTEXT),
        (APP, shared, CONTEXT),
        (APP, replace(ECG, stage=stage), CONTEXT),
        (replace(APP, purposes=frozenset()), ECG, CONTEXT),
    ):
        assert REMEMBERING.decide(who, "infer", what, when) == FORGETTING.decide(
            who, "infer", what, when
        )


def test_the_very_same_facts_are_answered_from_what_these_sets_said() -> None:
    engine = engine_with(acme=starter_text())
    first = engine.decide(APP, "infer", ECG, CONTEXT)
    assert engine.decide(APP, "infer", ECG, CONTEXT) is first
    assert (engine.hits, engine.misses) == (1, 1)
    blocked = replace(CONTEXT, verdict=facts.VerdictFacts(outcome="block"))
    assert not engine.decide(APP, "releaseOutput", ECG, blocked).allowed
    assert not engine.decide(APP, "infer", replace(ECG, signed=False), CONTEXT).allowed


def test_the_very_same_facts_are_asked_anew_of_another_set() -> None:
    engine = PolicyEngine(clock)
    author = PolicyAuthor(engine, DictStore(), lambda: BundleKeys(KEY), clock)
    author.publish("acme", PERMIT_ALL, "author")
    assert engine.decide(APP, "infer", ECG, CONTEXT).allowed
    author.publish("acme", '@id("none") forbid (principal, action, resource);', "author")
    assert not engine.decide(APP, "infer", ECG, CONTEXT).allowed


def test_the_very_same_facts_are_asked_anew_where_the_time_counts() -> None:
    moment = [1_500_000_000.0]
    engine = PolicyEngine(lambda: moment[0])
    author = PolicyAuthor(engine, DictStore(), lambda: BundleKeys(KEY), clock)
    early = 'when { context.now < datetime("2020-01-01") };'
    author.publish("acme", f'@id("early") permit (principal, action, resource) {early}', "author")
    assert engine.decide(APP, "infer", ECG, CONTEXT).allowed
    moment[0] = 1_600_000_000.0
    assert not engine.decide(APP, "infer", ECG, CONTEXT).allowed


def test_tenants_with_one_text_share_what_was_checked_and_nothing_that_was_learned() -> None:
    prepared = prepare(starter_text())
    one, other = join(starter_text(), prepared), join(starter_text(), prepared)
    for action, plan in one.keys.items():
        assert plan is None or plan is not other.keys[action]


def test_a_text_that_is_refused_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(PolicySetInvalid):
            compile_set("permit (principal, action, resource);")
