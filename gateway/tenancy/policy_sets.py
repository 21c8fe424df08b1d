"""Policy sets as people work with them: read, check, publish, explain.

1. A set names tenants that exist, as sharing does (`gateway.registry.sharing`): a policy for a name
   that nobody holds is a typing error, or a grant to whoever is given that name later. A check that
   finds one is recorded, so that trying names out is seen.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details, own_ids
from gateway.authorization.records import Pending
from gateway.errors import InvalidRequest, NotFound
from gateway.registry.catalogue import Catalogue
from gateway.registry.facts import version_facts
from gateway.registry.sharing import UNKNOWN_TENANT
from policies.author import PolicyAuthor
from policies.bundle import SignedBundle
from policies.compiled import MAX_PROBLEMS, tenants_named
from policies.engine import Decision
from policies.errors import PolicySetInvalid, Problem
from policies.facts import PolicySetFacts, VerdictFacts

EXPLAINED: Final = frozenset(
    {"infer", "releaseOutput", "readMetadata", "downloadArtifact", "promote", "rollback"}
)
"""Actions whose resource is a version of a model (`policies/schema.cedarschema`)."""
VERDICTS: Final = frozenset({"pass", "flag", "degrade", "block", "unscreened"})
"""Outcomes of a screen, as the schema has them."""


class PolicySets:
    """Works on the policy set of the caller's tenant.

    Args:
        author: Checks and publishes.
        catalogue: Looks up what a decision is explained about.
        guard: Decides and records.
        intents: Begin and end changes.
    """

    def __init__(
        self, author: PolicyAuthor, catalogue: Catalogue, guard: Guard, intents: Intents
    ) -> None:
        self._author = author
        self._catalogue = catalogue
        self._guard = guard
        self._intents = intents
        intents.register(Kind("publish_policies", "managePolicy", _details, self._finish_publish))

    def current(self, call: Call) -> SignedBundle:
        """Return the set in force.

        Raises:
            Forbidden: Policy says no.
            NotFound: Nothing was ever published.
        """
        self._guard.permit(call, "managePolicy", self._facts(call), reason="read")
        bundle = self._author.current(call.principal.tenant)
        if bundle is None:
            raise NotFound
        return bundle

    def check(self, call: Call, text: str) -> tuple[Problem, ...]:
        """Return what is wrong with a text; empty when it could be published.

        Raises:
            Forbidden: Policy says no.
        """
        facts = self._facts(call)
        decision = self._guard.require(call, "managePolicy", facts, reason="check")
        return self._author.check(text) or self._of_nobody(call, text, decision, facts)

    def publish(self, call: Call, text: str) -> SignedBundle:
        """Bring a set into force; when this returns every later decision uses it.

        Raises:
            Forbidden: Policy says no.
            PolicySetInvalid: The text is not acceptable.
            EpochExists: Somebody else published meanwhile.
        """
        facts = self._facts(call)
        decision = self._guard.require(call, "managePolicy", facts)
        problems = self._author.check(text) or self._of_nobody(call, text, decision, facts)
        if problems:
            raise PolicySetInvalid(problems)
        tenant = call.principal.tenant
        changed = {"text": _digest(text), "after": str(self._epoch(tenant))}
        with self._intents.changing("publish_policies", tenant, changed, by_call(call, decision)):
            return self._author.publish(tenant, text, call.principal.client_id)

    def explain(
        self, call: Call, action: str, model: str, version: str, verdict: str | None
    ) -> Decision:
        """Tell what the caller itself would be answered, and by which policies; nothing is done.

        Raises:
            InvalidRequest: No such thing is done to a version of a model, or found by a screen.
            NotFound: The model version is absent, or not for this caller.
        """
        if action not in EXPLAINED:
            what = "`action` is nothing that is done to a version of a model"
            raise InvalidRequest(what).among("action", EXPLAINED)
        if verdict is not None and verdict not in VERDICTS:
            raise InvalidRequest("`verdict` is none of a screen").among("verdict", VERDICTS)
        record, found = self._catalogue.version(call, model, version)
        facts = VerdictFacts(outcome=verdict) if verdict else None
        decision = self._guard.decide(
            call, action, version_facts(record, found, self._guard.tenant), verdict=facts
        )
        # Of a shared model the owner's policies decide as well: their names are not told.
        return replace(decision, policy_ids=own_ids(decision.policy_ids, call.principal.tenant))

    def _of_nobody(
        self, call: Call, text: str, decision: Decision, facts: PolicySetFacts
    ) -> tuple[Problem, ...]:
        """Return the policies that name tenants which do not exist."""
        problems = tuple(
            Problem(policy, f"there is no tenant `{tenant}`")
            for policy, tenants in tenants_named(text).items()
            for tenant in sorted(tenants)
            if not self._guard.has_tenant(tenant)
        )[:MAX_PROBLEMS]
        if problems:
            self._guard.record(call, "managePolicy", "deny", decision, facts, reason=UNKNOWN_TENANT)
        return problems

    def _finish_publish(self, pending: Pending) -> Settled:
        """Tell whether the set that was to follow is the one that followed."""
        newest = self._author.enforce(pending.tenant)
        if newest is None or newest.epoch <= int(pending.facts["after"]):
            return UNDONE
        return FINISHED if _digest(newest.text) == pending.facts["text"] else UNDONE

    def _epoch(self, tenant: str) -> int:
        newest = self._author.current(tenant)
        return 0 if newest is None else newest.epoch

    def _facts(self, call: Call) -> PolicySetFacts:
        return PolicySetFacts(tenant=self._guard.tenant(call.principal.tenant))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _details(pending: Pending) -> Details:
    return {"reason": "publish", "resource": f"PolicySet::{pending.tenant}"}
