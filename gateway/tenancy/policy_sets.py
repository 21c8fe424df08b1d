"""Policy sets as people work with them: read, check, publish, explain."""

from __future__ import annotations

from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.errors import NotFound
from gateway.registry.catalogue import Catalogue
from policies.author import PolicyAuthor
from policies.bundle import SignedBundle
from policies.engine import Decision
from policies.errors import Problem
from policies.facts import PolicySetFacts, VerdictFacts


class PolicySets:
    """Works on the policy set of the caller's tenant.

    Args:
        author: Checks and publishes.
        catalogue: Looks up what a decision is explained about.
        guard: Decides and records.
    """

    def __init__(self, author: PolicyAuthor, catalogue: Catalogue, guard: Guard) -> None:
        self._author = author
        self._catalogue = catalogue
        self._guard = guard

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
        self._guard.require(call, "managePolicy", self._facts(call), reason="check")
        return self._author.check(text)

    def publish(self, call: Call, text: str) -> SignedBundle:
        """Bring a set into force; when this returns every later decision uses it.

        Raises:
            Forbidden: Policy says no.
            PolicySetInvalid: The text is not acceptable.
            EpochExists: Somebody else published meanwhile.
        """
        facts = self._facts(call)
        decision = self._guard.require(call, "managePolicy", facts)
        with self._guard.witness(call, "managePolicy", facts, decision, reason="publish"):
            return self._author.publish(call.principal.tenant, text, call.principal.client_id)

    def explain(
        self, call: Call, action: str, model: str, version: str, verdict: str | None
    ) -> Decision:
        """Tell what the caller itself would be answered, and by which policies; nothing is done.

        Raises:
            NotFound: The model version is absent, or not for this caller.
        """
        record, found = self._catalogue.version(call, model, version)
        facts = VerdictFacts(outcome=verdict) if verdict else None
        return self._guard.decide(call, action, self._guard.version(record, found), verdict=facts)

    def _facts(self, call: Call) -> PolicySetFacts:
        return PolicySetFacts(tenant=self._guard.tenant(call.principal.tenant))
