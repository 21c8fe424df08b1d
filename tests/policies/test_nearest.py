"""What is told of rules is what Cedar says of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.compiled import ACTIONS, starter_text
from policies.facts import ContextFacts, ServiceFacts, VerdictFacts
from policies.nearest import Rule, rule_that_decided, rules_of
from tests.policies.world import ANN, APP, CONTEXT, ECG, NODE, NOW, RESOURCES, engine_with

STRANGER = replace(APP, roles=frozenset())
CONTEXTS = (
    CONTEXT,
    replace(CONTEXT, scopes=frozenset()),
    replace(CONTEXT, purpose=None, recipient=None),
    replace(CONTEXT, verdict=VerdictFacts(outcome="unscreened")),
    replace(CONTEXT, verdict=None, acr=0, approvals=1, region="us"),
)


def rules(text: str, asker: ServiceFacts = APP, context: ContextFacts = CONTEXT) -> dict[str, Rule]:
    found = rules_of(text, asker, "infer", ECG, context, NOW)
    return {rule.id: rule for rule in found if not rule.id.startswith("platform-")}


@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "administer"])
def test_the_rules_that_apply_are_the_decision(action: str) -> None:
    engine = engine_with(acme=starter_text())
    for asker in (APP, ANN, NODE, STRANGER):
        for context in CONTEXTS:
            decision = engine.decide(asker, action, RESOURCES[action], context)
            found = rules_of(starter_text(), asker, action, RESOURCES[action], context, NOW)
            forbids = {rule.id for rule in found if rule.effect == "forbid" and rule.applies}
            permits = {rule.id for rule in found if rule.effect == "permit" and rule.applies}
            if decision.error is None:
                assert decision.allowed == (bool(permits) and not forbids)
                told = {name.rpartition("/")[2] for name in decision.policy_ids}
                assert told == (permits if decision.allowed else forbids)


def test_a_permit_tells_only_what_is_missing() -> None:
    text = """@id("p") permit (principal, action, resource)
      when { principal.roles.contains("caller") && context.scopes.contains("admin") &&
             (context.region == "us" || context.solo) }
      unless { context.binding == "dpop" || context.binding == "mtls" };"""
    context = replace(CONTEXT, scopes=frozenset())
    assert rules(text, context=context)["p"].ways == (
        (
            'context.scopes.contains("admin")',
            '(context.region == "us") || context.solo',
            '!(context.binding == "dpop")',
        ),
    )


def test_a_forbid_tells_each_way_out() -> None:
    text = """@id("f") forbid (principal, action, resource)
      when { context.binding == "dpop" && resource.signed }
      unless { context.region == "us" && context.acr >= 2 };"""
    assert rules(text)["f"].ways == (
        ('!(context.binding == "dpop")',),
        ("!(resource.signed)",),
        ('context.region == "us"',),
    )


def test_a_condition_that_errs_alone_is_never_told_as_met() -> None:
    text = """@id("p") permit (principal, action, resource)
      when { context has purpose && context.purpose == "care" };"""
    (way,) = rules(text, context=replace(CONTEXT, purpose=None))["p"].ways
    assert way == ("context has purpose", 'context.purpose == "care"')


def test_a_rule_about_something_else_is_left_out() -> None:
    text = """@id("a") permit (principal, action == Action::"promote", resource);
              @id("b") permit (principal is User, action, resource);
              @id("c") permit (principal, action, resource == ModelVersion::"acme/other@1");"""
    assert rules(text) == {}


def test_rules_are_told_as_they_were_written() -> None:
    text = """// about ";" and (
    @id("a") permit (principal, action, resource)
      when { context.region == "e;u" }; // }
    @id("b")
    forbid (principal, action, resource);"""
    told = rule_that_decided(text, "b")
    assert told is not None
    assert told.text == '@id("b")\n    forbid (principal, action, resource);'
    assert rules(text)["a"].text.endswith('when { context.region == "e;u" };')
    assert rules(text)["b"].ways == ()


def test_a_rule_that_decided_has_its_effect_and_text_and_an_unknown_one_is_none() -> None:
    permit = rule_that_decided(starter_text(), "caller-infer")
    forbid = rule_that_decided(starter_text(), "platform-isolation")
    assert permit is not None
    assert forbid is not None
    assert (permit.effect, forbid.effect) == ("permit", "forbid")
    assert permit.text.startswith('@id("caller-infer")')
    assert 'resource.stage == "released"' in permit.text
    assert rule_that_decided(starter_text(), "nobody") is None


def test_a_rule_that_errs_is_told_as_undecided() -> None:
    text = """@id("f") forbid (principal, action, resource)
      when { context.auth_age * 9223372036854775807 > 0 };"""
    assert rules(text)["f"].applies is None
