from __future__ import annotations

from dataclasses import replace

import pytest

from policies.engine import Decision, PolicyEngine
from policies.facts import (
    AuditLogFacts,
    ContextFacts,
    PrincipalFacts,
    ResourceFacts,
    ServiceFacts,
    SubjectFacts,
    VerdictFacts,
)
from tests.policies.world import (
    ACME,
    ANN,
    APP,
    CONTEXT,
    ECG,
    NODE,
    OTHER,
    PERMIT_ALL,
    PLATFORM_TENANT,
    RESOURCES,
    ROOT,
    SITE,
    engine_with,
)


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    """Tenants that permit everything: whatever is denied, the platform denies."""
    return engine_with(acme=PERMIT_ALL, other=PERMIT_ALL, platform=PERMIT_ALL)


@pytest.mark.parametrize("action", sorted(set(RESOURCES) - {"administer"}))
def test_the_platform_leaves_an_orderly_request_alone(engine: PolicyEngine, action: str) -> None:
    decision = engine.decide(NODE, action, RESOURCES[action], CONTEXT)
    assert decision == Decision(True, ("acme/all",), 1, None)


HELD = SubjectFacts(tenant=ACME, ref="sub_1", legal_hold=True)
SUSPENDED = replace(ACME, suspended=True)
STRICT = replace(ACME, require_binding=True)
FORBIDDEN: list[tuple[str, PrincipalFacts, str, ResourceFacts, ContextFacts]] = [
    ("platform-isolation", APP, "infer", replace(ECG, tenant=OTHER), CONTEXT),
    ("platform-isolation", APP, "reviewAudit", AuditLogFacts(tenant=OTHER), CONTEXT),
    (
        "platform-isolation",
        APP,
        "downloadArtifact",
        replace(ECG, tenant=OTHER, shared_with=frozenset({"acme"})),
        CONTEXT,
    ),
    (
        "platform-suspended",
        replace(APP, tenant=SUSPENDED),
        "infer",
        replace(ECG, tenant=OTHER, shared_with=frozenset({"acme"})),
        CONTEXT,
    ),
    (
        "platform-owner-suspended",
        APP,
        "infer",
        replace(ECG, tenant=replace(OTHER, suspended=True), shared_with=frozenset({"acme"})),
        CONTEXT,
    ),
    ("platform-purpose", APP, "infer", ECG, replace(CONTEXT, purpose=None)),
    ("platform-purpose", APP, "infer", ECG, replace(CONTEXT, purpose="marketing")),
    ("platform-purpose", APP, "releaseOutput", ECG, replace(CONTEXT, purpose="marketing")),
    ("platform-purpose", replace(APP, purposes=frozenset()), "infer", ECG, CONTEXT),
    (
        "platform-purpose",
        replace(APP, tenant=replace(ACME, purposes=frozenset())),
        "infer",
        replace(ECG, tenant=replace(ACME, purposes=frozenset())),
        CONTEXT,
    ),
    ("platform-screening", APP, "releaseOutput", ECG, replace(CONTEXT, verdict=None)),
    (
        "platform-screening",
        APP,
        "releaseOutput",
        ECG,
        replace(CONTEXT, verdict=VerdictFacts(outcome="block")),
    ),
    (
        "platform-screening",
        APP,
        "releaseOutput",
        ECG,
        replace(CONTEXT, verdict=VerdictFacts(outcome="Pass")),
    ),
    ("platform-residency", APP, "infer", ECG, replace(CONTEXT, region="us")),
    (
        "platform-residency",
        APP,
        "uploadArtifact",
        RESOURCES["uploadArtifact"],
        replace(CONTEXT, region="us"),
    ),
    (
        "platform-bound-token",
        replace(APP, tenant=STRICT),
        "readMetadata",
        replace(ECG, tenant=STRICT),
        replace(CONTEXT, binding="none"),
    ),
    ("platform-mfa", ANN, "managePolicy", RESOURCES["managePolicy"], replace(CONTEXT, acr=1)),
    (
        "platform-mfa",
        ANN,
        "eraseSubject",
        RESOURCES["eraseSubject"],
        replace(CONTEXT, auth_age=901),
    ),
    ("platform-mfa", ANN, "promote", ECG, replace(CONTEXT, auth_age=-1)),
    ("platform-four-eyes", APP, "promote", ECG, replace(CONTEXT, approvals=1)),
    ("platform-legal-hold", APP, "eraseSubject", HELD, CONTEXT),
    (
        "platform-revoked-site",
        replace(NODE, site=replace(SITE, revoked=True)),
        "infer",
        ECG,
        CONTEXT,
    ),
    *[
        ("platform-unsigned", APP, action, replace(ECG, signed=False), CONTEXT)
        for action in ("infer", "releaseOutput", "promote", "rollback", "downloadArtifact")
    ],
    *[
        ("platform-stage", APP, "infer", replace(ECG, stage=stage), CONTEXT)
        for stage in ("quarantined", "rejected", "retired", "nonsense")
    ],
]


@pytest.mark.parametrize(("policy", "principal", "action", "resource", "context"), FORBIDDEN)
def test_a_platform_forbid_overrides_a_tenant_that_permits_everything(
    engine: PolicyEngine,
    policy: str,
    principal: PrincipalFacts,
    action: str,
    resource: ResourceFacts,
    context: ContextFacts,
) -> None:
    decision = engine.decide(principal, action, resource, context)
    assert not decision.allowed
    assert decision.error is None
    assert decision.policy_ids == (policy,)


def test_services_need_no_second_factor(engine: PolicyEngine) -> None:
    context = replace(CONTEXT, acr=0, auth_age=10**6)
    assert engine.decide(APP, "managePolicy", RESOURCES["managePolicy"], context).allowed


def test_solo_mode_stands_in_for_the_second_pair_of_eyes(engine: PolicyEngine) -> None:
    assert engine.decide(APP, "promote", ECG, replace(CONTEXT, approvals=1, solo=True)).allowed


def test_an_unscreened_answer_is_the_tenants_own_choice(engine: PolicyEngine) -> None:
    context = replace(CONTEXT, verdict=VerdictFacts(outcome="unscreened"))
    assert engine.decide(APP, "releaseOutput", ECG, context).allowed


ADMINISTERED: list[ResourceFacts] = [ACME, PLATFORM_TENANT, RESOURCES["administer"], SUSPENDED]


@pytest.mark.parametrize("resource", ADMINISTERED)
def test_the_platform_administers_every_tenant(resource: ResourceFacts) -> None:
    decision = engine_with().decide(ROOT, "administer", resource, CONTEXT)
    assert decision == Decision(True, ("platform-administer",), 0, None)


@pytest.mark.parametrize(
    "principal",
    [
        replace(APP, roles=frozenset({"administrator"})),
        replace(ANN, roles=frozenset({"administrator"})),
        replace(ROOT, roles=frozenset({"owner"})),
        replace(ROOT, tenant=replace(PLATFORM_TENANT, suspended=True)),
    ],
)
def test_nobody_else_administers_whatever_their_tenant_permits(
    engine: PolicyEngine, principal: ServiceFacts
) -> None:
    for resource in ADMINISTERED:
        assert not engine.decide(principal, "administer", resource, CONTEXT).allowed


def test_administration_needs_its_scope(engine: PolicyEngine) -> None:
    context = replace(CONTEXT, scopes=frozenset({"models"}))
    assert not engine.decide(ROOT, "administer", ACME, context).allowed


def test_no_tenant_can_lock_the_platform_out() -> None:
    shut = '@id("none") forbid (principal, action, resource);'
    engine = engine_with(acme=shut, platform=shut)
    assert engine.decide(ROOT, "administer", ACME, CONTEXT).allowed


def test_the_platforms_administrator_reads_nothing_of_a_tenant(engine: PolicyEngine) -> None:
    for action in set(RESOURCES) - {"administer", "joinFederation"}:
        assert not engine.decide(ROOT, action, RESOURCES[action], CONTEXT).allowed
