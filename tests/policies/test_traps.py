"""Every way that Cedar or its binding is known to turn a mistake into an allow."""

from __future__ import annotations

from dataclasses import replace

import cedarpy
import pytest

from policies.asking import schema
from policies.author import PolicyAuthor
from policies.compiled import compile_set
from policies.engine import PolicyEngine
from policies.errors import PolicySetInvalid
from policies.rendering import context_of, entity_slice
from policies.signers import BundleKeys
from tests.policies.world import (
    ACME,
    APP,
    CONTEXT,
    ECG,
    KEY,
    NOW,
    OTHER,
    PERMIT_ALL,
    DictStore,
    clock,
    engine_with,
)

OVERFLOW = (
    PERMIT_ALL + '@id("cap") forbid (principal, action, resource) '
    "when { context.approvals + 9223372036854775807 > 3 };"
)
MISSING_ENTITY = (
    PERMIT_ALL + '@id("z") forbid (principal, action, resource) when { Tenant::"zoo".suspended };'
)


def test_cedar_itself_skips_a_forbid_that_errs() -> None:
    """The trap is real: were it not, the engine's rule would be untested."""
    result = cedarpy.is_authorized(
        {
            "principal": 'Service::"app"',
            "action": 'Action::"readMetadata"',
            "resource": 'ModelVersion::"acme/ecg@1.0"',
            "context": context_of(CONTEXT, int(NOW)),
        },
        OVERFLOW,
        entity_slice(APP, ECG),
        schema(),
    )
    assert result.allowed
    assert result.diagnostics.errors


@pytest.mark.parametrize("text", [OVERFLOW, MISSING_ENTITY])
def test_an_error_in_a_forbid_is_a_deny(text: str) -> None:
    decision = engine_with(acme=text).decide(APP, "readMetadata", ECG, CONTEXT)
    assert (decision.allowed, decision.policy_ids, decision.error) == (False, (), "evaluation")


def test_an_error_in_the_owners_set_is_a_deny() -> None:
    engine = engine_with(acme=PERMIT_ALL, other=OVERFLOW)
    shared = replace(ECG, tenant=OTHER, shared_with=frozenset({"acme"}))
    decision = engine.decide(APP, "readMetadata", shared, CONTEXT)
    assert (decision.allowed, decision.error) == (False, "evaluation")


def test_an_unknown_action_is_a_deny() -> None:
    decision = engine_with(acme=PERMIT_ALL).decide(APP, "zap", ECG, CONTEXT)
    assert (decision.allowed, decision.error) == (False, "unknown_action")


def test_an_action_group_is_no_action() -> None:
    assert not engine_with(acme=PERMIT_ALL).decide(APP, "dataPlane", ECG, CONTEXT).allowed


def test_an_action_on_the_wrong_kind_of_resource_is_a_deny() -> None:
    decision = engine_with(acme=PERMIT_ALL).decide(APP, "reviewAudit", ECG, CONTEXT)
    assert (decision.allowed, decision.error) == (False, "evaluation")


def test_a_tenant_without_a_set_is_denied_as_caller_and_as_owner() -> None:
    decision = PolicyEngine(lambda: NOW).decide(APP, "infer", ECG, CONTEXT)
    assert (decision.allowed, decision.error) == (False, "no_policy_set")
    shared = replace(ECG, tenant=OTHER, shared_with=frozenset({"acme"}))
    decision = engine_with(acme=PERMIT_ALL).decide(APP, "infer", shared, CONTEXT)
    assert (decision.allowed, decision.error) == (False, "no_policy_set")


def test_facts_that_contradict_each_other_are_a_deny() -> None:
    stale = replace(ECG, tenant=replace(ACME, suspended=True))
    decision = engine_with(acme=PERMIT_ALL).decide(APP, "readMetadata", stale, CONTEXT)
    assert (decision.allowed, decision.error) == (False, "facts")


@pytest.mark.parametrize(
    "context",
    [
        replace(CONTEXT, acr=2**63),
        replace(CONTEXT, purpose="\ud800"),
        replace(CONTEXT, purpose="x" * 5000),
        replace(CONTEXT, region=None),  # type: ignore[arg-type]
        replace(CONTEXT, binding=7),  # type: ignore[arg-type]
    ],
)
def test_facts_out_of_bounds_are_a_deny(context: object) -> None:
    decision = engine_with(acme=PERMIT_ALL).decide(APP, "readMetadata", ECG, context)  # type: ignore[arg-type]
    assert not decision.allowed
    assert decision.error in ("facts", "evaluation")


def test_a_clock_out_of_range_is_a_deny() -> None:
    engine = PolicyEngine(lambda: 1e18)
    PolicyAuthor(engine, DictStore(), lambda: BundleKeys(KEY), clock).publish(
        "acme", PERMIT_ALL, "author"
    )
    assert engine.decide(APP, "promote", ECG, CONTEXT).error == "facts"


@pytest.mark.parametrize(
    "text",
    [
        '@id("a") permit (principal, action, resource) when { context.nosuch == 1 };',
        '@id("a") permit (principal, action == Action::"zap", resource);',
        '@id("a") permit (principal is Robot, action, resource);',
        '@id("a") forbid (principal, action, resource) when { context.purpose == "care" };',
        '@id("a") forbid (principal, action, resource) when { context.acr == "2" };',
        '@id("a") permit (principal == ?principal, action, resource);',
        '@id("a") permit (',
        "permit (principal, action, resource);",
        '@id("") permit (principal, action, resource);',
        '@id("Bad Name") permit (principal, action, resource);',
        '@id("platform-isolation") permit (principal, action, resource);',
        PERMIT_ALL + PERMIT_ALL,
        '@id("a") permit (principal, action, resource) when { "\ud800" == "" };',
    ],
)
def test_what_is_not_valid_is_not_published(text: str) -> None:
    with pytest.raises(PolicySetInvalid) as caught:
        compile_set(text)
    assert caught.value.problems


def test_an_optional_attribute_must_be_asked_for_first() -> None:
    compile_set(
        '@id("a") forbid (principal, action == Action::"infer", resource) '
        'when { context has purpose && context.purpose == "care" };'
    )


def test_an_empty_set_permits_nothing() -> None:
    assert not engine_with(acme="").decide(APP, "infer", ECG, CONTEXT).allowed
