"""What is told of the first policies is what the engine decides by them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.compiled import ACTIONS, starter_text
from policies.starting import grants
from tests.policies.world import CONTEXT, NODE, RESOURCES, ROOT, engine_with

KNOWN = [
    ("infer", "ModelVersion", {"caller", "owner"}, {"infer"}),
    ("uploadArtifact", "Model", {"owner"}, {"models"}),
    ("downloadArtifact", "ModelVersion", {"owner", "site"}, {"artifacts"}),
    ("reviewAudit", "AuditLog", {"officer"}, {"audit"}),
    ("startRound", "Federation", {"convenor"}, {"federate"}),
    ("administer", "Platform", {"administrator"}, {"admin"}),
    ("managePolicy", "PolicySet", {"officer", "owner"}, {"policies"}),
]


@pytest.mark.parametrize(("action", "on", "roles", "scopes"), KNOWN)
def test_roles_and_scopes_of_an_action(
    action: str, on: str, roles: set[str], scopes: set[str]
) -> None:
    found = grants(action, on)
    assert {role for grant in found for role in grant.roles} == roles
    assert {scope for grant in found for scope in grant.scopes} == scopes


def test_what_a_policy_says_of_another_kind_of_thing_is_left_out() -> None:
    everywhere = {grant.policy for grant in grants("readMetadata", "Federation")}
    assert "convenor-rounds" in everywhere
    assert "caller-models" not in everywhere


def test_somebody_may_do_each_action_at_first() -> None:
    kinds = ("Model", "ModelVersion", "Federation", "AuditLog", "PolicySet", "Subject", "Tenant")
    for action in ACTIONS:
        assert any(grants(action, kind) for kind in kinds), action


@pytest.mark.parametrize("action", RESOURCES)
def test_the_engine_lets_whom_it_is_said_to_let_and_nobody_else(action: str) -> None:
    engine = engine_with(acme=starter_text())
    about = RESOURCES[action]
    who = ROOT if action == "administer" else NODE
    said = {
        (role, scope)
        for grant in grants(action, about.uid[0])
        for role in grant.roles
        for scope in grant.scopes
    }
    roles = {role for role, _ in said} | {"caller", "owner", "officer", "site", "convenor"}
    for role in roles:
        for scope in CONTEXT.scopes:
            asker = replace(who, roles=frozenset({role}))
            context = replace(CONTEXT, scopes=frozenset({scope}))
            allowed = engine.decide(asker, action, about, context).allowed
            assert allowed == ((role, scope) in said), (role, scope)
