"""The terms of a sharing, which no breadth of both tenants' sets lifts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.facts import VerdictFacts
from tests.policies.world import APP, CONTEXT, ECG, OTHER, PERMIT_ALL, engine_with

ENGINE = engine_with(acme=PERMIT_ALL, other=PERMIT_ALL)
LENT = replace(ECG, tenant=OTHER)
ACME_ONLY = frozenset({"acme"})
PASSED = replace(CONTEXT, verdict=VerdictFacts(outcome="pass"))


@pytest.mark.parametrize(
    ("terms", "allowed"),
    [
        ({}, set()),
        ({"shared_with": frozenset({"third"}), "delivered_to": frozenset({"third"})}, set()),
        ({"shared_with": ACME_ONLY}, {"infer", "releaseOutput", "readMetadata"}),
        ({"delivered_to": ACME_ONLY}, {"downloadArtifact", "readMetadata"}),
        (
            {"shared_with": ACME_ONLY, "agreed_purposes": frozenset({"care"})},
            {"infer", "releaseOutput", "readMetadata"},
        ),
        ({"shared_with": ACME_ONLY, "agreed_purposes": frozenset({"billing"})}, {"readMetadata"}),
        ({"shared_with": ACME_ONLY, "agreed_purposes": frozenset()}, {"readMetadata"}),
    ],
)
def test_the_terms_say_what_may_be_done(
    terms: dict[str, frozenset[str]], allowed: set[str]
) -> None:
    facts = replace(LENT, **terms)  # type: ignore[arg-type]
    actions = ("infer", "releaseOutput", "readMetadata", "downloadArtifact", "promote", "rollback")
    for _ in range(2):  # the second answer is a remembered one
        found = {one for one in actions if ENGINE.decide(APP, one, facts, PASSED).allowed}
        assert found == allowed


def test_agreed_purposes_bind_nobody_of_the_owner() -> None:
    facts = replace(ECG, agreed_purposes=frozenset({"billing"}))
    assert ENGINE.decide(APP, "infer", facts, CONTEXT).allowed
