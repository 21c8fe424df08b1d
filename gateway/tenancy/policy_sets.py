"""Policy sets as people work with them: read, check, publish, roll back.

1. A set names tenants that exist, as sharing does (`gateway.registry.sharing`): a policy for a name
   that nobody holds is a typing error, or a grant to whoever is given that name later. A check that
   finds one is recorded, so that trying names out is seen.
2. Nothing comes into force under which nobody of the tenant could publish or read evidence any more
   (`policies.standing`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.errors import NotFound
from gateway.pages import PAGE
from gateway.registry.sharing import UNKNOWN_TENANT
from gateway.tenancy.steering import Steering
from policies.author import PolicyAuthor
from policies.bundle import SignedBundle
from policies.compiled import MAX_PROBLEMS, Prepared
from policies.engine import Decision
from policies.errors import PolicySetInvalid, Problem
from policies.facts import PolicySetFacts

_NO_EPOCH: Final = "there is no policy set of this epoch: sealgate policy history lists them"


class PolicySets:
    """Works on the policy set of the caller's tenant.

    Args:
        author: Checks and publishes.
        guard: Decides and records.
        intents: Begin and end changes.
        steering: Knows who must still be able to steer the tenant.
    """

    def __init__(
        self,
        author: PolicyAuthor,
        guard: Guard,
        intents: Intents,
        steering: Steering,
    ) -> None:
        self._author = author
        self._steering = steering
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
            LimitReached: Too many sets are looked at already.
        """
        facts = self._facts(call)
        decision = self._guard.require(call, "managePolicy", facts, reason="check")
        try:
            self._prepared(call, text, decision, facts)
        except PolicySetInvalid as invalid:
            return invalid.problems
        return ()

    def publish(self, call: Call, text: str) -> SignedBundle:
        """Bring a set into force; when this returns every later decision uses it.

        Raises:
            Forbidden: Policy says no.
            PolicySetInvalid: The text is not acceptable.
            EpochExists: Somebody else published meanwhile.
            LimitReached: Too many sets are looked at already.
        """
        facts = self._facts(call)
        decision = self._guard.require(call, "managePolicy", facts)
        prepared = self._prepared(call, text, decision, facts)
        decision = self._guard.require(call, "managePolicy", facts)  # it took its time
        tenant, author = call.principal.tenant, call.principal.client_id
        changed = {"text": _digest(text), "after": str(self._epoch(tenant))}
        with self._intents.changing("publish_policies", tenant, changed, by_call(call, decision)):
            return self._author.publish(tenant, text, author, prepared)

    def history(self, call: Call, *, after: int, limit: int) -> list[SignedBundle]:
        """Return the sets that were published, the oldest first.

        Raises:
            Forbidden: Policy says no.
        """
        self._guard.permit(call, "managePolicy", self._facts(call), reason="history")
        return self._author.history(call.principal.tenant, after=after, limit=min(limit, PAGE))

    def published(self, call: Call, epoch: int) -> SignedBundle:
        """Return the set of an epoch.

        Raises:
            Forbidden: Policy says no.
            NotFound: There is none of that epoch.
        """
        self._guard.permit(call, "managePolicy", self._facts(call), reason="read")
        bundle = self._author.at(call.principal.tenant, epoch)
        if bundle is None:
            raise NotFound(_NO_EPOCH)
        return bundle

    def roll_back(self, call: Call, epoch: int | None) -> SignedBundle:
        """Publish an earlier set once more, as a new epoch; errors as of `publish` besides.

        Args:
            call: Who asks.
            epoch: The earlier set; None is the one before the set in force.

        Raises:
            NotFound: There is none of that epoch.
        """
        self._guard.require(call, "managePolicy", self._facts(call), reason="rollback")
        tenant = call.principal.tenant
        wanted = self._epoch(tenant) - 1 if epoch is None else epoch
        earlier = self._author.at(tenant, wanted)
        if earlier is None:
            raise NotFound(_NO_EPOCH)
        return self.publish(call, earlier.text)

    def _prepared(
        self, call: Call, text: str, decision: Decision, facts: PolicySetFacts
    ) -> Prepared:
        """Look at a text; record one that names tenants which do not exist."""
        tenant = call.principal.tenant
        prepared, refused = None, PolicySetInvalid(())
        try:
            prepared = self._author.prepare(tenant, text, self._steering.standing(call, tenant))
        except PolicySetInvalid as invalid:
            refused = invalid
        unknown = self._unknown(refused.tenants if prepared is None else prepared.tenants)
        if unknown:
            self._guard.record(call, "managePolicy", "deny", decision, facts, reason=UNKNOWN_TENANT)
        if prepared is None or unknown:
            raise PolicySetInvalid((*unknown, *refused.problems)[:MAX_PROBLEMS])
        return prepared

    def _unknown(self, named: Mapping[str, frozenset[str]]) -> tuple[Problem, ...]:
        """Return the problems of policies that name tenants which do not exist."""
        return tuple(
            Problem(policy, f"there is no tenant `{tenant}`")
            for policy, tenants in named.items()
            for tenant in sorted(tenants)
            if not self._guard.has_tenant(tenant)
        )[:MAX_PROBLEMS]

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
