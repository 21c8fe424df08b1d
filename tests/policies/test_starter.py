from __future__ import annotations

from dataclasses import replace

import pytest

from policies.compiled import starter_text
from policies.engine import PolicyEngine
from policies.facts import SiteFacts, VerdictFacts
from tests.policies.world import APP, CONTEXT, ECG, NODE, OTHER, RESOURCES, SITE, engine_with

MAY = {
    "caller": {"infer": "infer", "releaseOutput": "infer", "readMetadata": "infer"},
    "owner": {
        "infer": "infer",
        "releaseOutput": "infer",
        "readMetadata": "models",
        "uploadArtifact": "models",
        "promote": "models",
        "rollback": "models",
        "downloadArtifact": "artifacts",
        "managePolicy": "policies",
    },
    "officer": {
        "readMetadata": "models",
        "managePolicy": "policies",
        "reviewAudit": "audit",
        "exportAudit": "audit",
        "exportSubject": "audit",
        "eraseSubject": "audit",
    },
    "site": {
        "readMetadata": "artifacts",
        "downloadArtifact": "artifacts",
        "joinFederation": "federate",
    },
    "convenor": {"startRound": "federate"},
    "administrator": {},
    "stranger": {},
}
"""Role → action → the scope that it needs."""

CASES = [(role, action) for role in MAY for action in RESOURCES if action != "administer"]


@pytest.fixture(scope="module")
def engine() -> PolicyEngine:
    return engine_with(acme=starter_text(), other=starter_text())


@pytest.mark.parametrize(("role", "action"), CASES)
def test_a_role_may_do_what_the_table_says_with_the_scope_and_not_without(
    engine: PolicyEngine, role: str, action: str
) -> None:
    principal = replace(NODE, roles=frozenset({role}))
    scope = MAY[role].get(action)
    for granted in sorted(CONTEXT.scopes):
        context = replace(CONTEXT, scopes=frozenset({granted}))
        allowed = engine.decide(principal, action, RESOURCES[action], context).allowed
        if granted == scope:
            assert allowed
        elif not (role == "site" and action == "readMetadata" and granted == "federate"):
            assert not allowed


def test_a_caller_gets_released_versions_only(engine: PolicyEngine) -> None:
    candidate = replace(ECG, stage="candidate")
    assert not engine.decide(APP, "infer", candidate, CONTEXT).allowed
    owner = replace(APP, roles=frozenset({"owner"}))
    assert engine.decide(owner, "infer", candidate, CONTEXT).allowed


def test_an_unscreened_answer_stays_in(engine: PolicyEngine) -> None:
    context = replace(CONTEXT, verdict=VerdictFacts(outcome="unscreened"))
    decision = engine.decide(APP, "releaseOutput", ECG, context)
    assert decision.policy_ids == ("acme/screened-only",)


def test_a_download_names_its_recipient(engine: PolicyEngine) -> None:
    context = replace(CONTEXT, recipient=None)
    assert not engine.decide(NODE, "downloadArtifact", ECG, context).allowed


@pytest.mark.parametrize("site", [None, replace(SITE, name="south")])
def test_only_the_federations_own_sites_join(engine: PolicyEngine, site: SiteFacts | None) -> None:
    node = replace(NODE, site=site)
    assert not engine.decide(node, "joinFederation", RESOURCES["joinFederation"], CONTEXT).allowed


def test_a_shared_model_is_served_and_both_sets_are_named(engine: PolicyEngine) -> None:
    shared = replace(ECG, tenant=OTHER, shared_with=frozenset({"acme"}))
    decision = engine.decide(APP, "infer", shared, CONTEXT)
    assert decision.allowed
    assert decision.policy_ids == ("acme/caller-infer", "other/caller-infer")
    assert not engine.decide(
        APP, "infer", replace(shared, shared_with=frozenset()), CONTEXT
    ).allowed
