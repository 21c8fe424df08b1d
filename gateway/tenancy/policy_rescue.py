"""Breaking the glass: a tenant that nobody in it can steer any more gets an earlier set back.

Safety argument:
1. It is decided by the platform's own policies (`administer`), which no tenant's set can alter, the
   platform's own neither; so nobody can lock the platform out of it.
2. It always takes two administrators (`gateway.authorization.approvals`), whatever the settings
   say, unless the recorded solo mode is in force. The second one agrees to the digest of the very
   set, and to the epoch that it follows: if anything is published meanwhile it does nothing.
3. It is refused while anybody of the tenant could publish: the platform overrides no tenant that
   can help itself. What comes into force is a set that the tenant published before or the one that
   every tenant starts with, never a text of the platform's.
4. It is looked at as every set is, and somebody of the tenant must be able to publish under it.
5. Intent and result are in the platform's log, and the tenant finds the result in its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from gateway.authorization.approvals import Approvals, Operation
from gateway.authorization.guard import RESCUE, Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, TOLD, UNDONE, Kind, Settled, by_call
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Approval, Pending
from gateway.errors import NotFound, StateConflict
from gateway.tenancy.steering import Steering
from policies.author import PolicyAuthor
from policies.bundle import SignedBundle
from policies.compiled import Prepared, starter_text
from policies.engine import PolicyEngine
from policies.errors import PolicySetInvalid, Problem
from policies.facts import TenantFacts

PUBLISH: Final = "managePolicy"


class PolicyRescue:
    """Brings earlier policy sets back for tenants that are locked out.

    Args:
        author: Publishes.
        engine: Knows who could publish now.
        steering: Knows who there is.
        guard: Decides.
        intents: Begin and end changes.
        approvals: Keeps what waits for a second person.
    """

    def __init__(
        self,
        author: PolicyAuthor,
        engine: PolicyEngine,
        steering: Steering,
        guard: Guard,
        intents: Intents,
        approvals: Approvals,
    ) -> None:
        self._author = author
        self._engine = engine
        self._steering = steering
        self._guard = guard
        self._intents = intents
        self._approvals = approvals
        intents.register(Kind(RESCUE, "administer", _details, self._finish))
        approvals.register(
            Operation(
                RESCUE,
                "administer",
                prepare=self._prepare,
                reason=lambda _: RESCUE,
                about=self._about,
                perform=self._perform,
            )
        )

    def rescue(self, call: Call, tenant: str, epoch: int | None) -> Approval | SignedBundle:
        """Bring a set back, or let that wait for a second person.

        Args:
            call: Who asks.
            tenant: Whose set it is.
            epoch: Which of its sets; None is the one that every tenant starts with.

        Returns:
            The request that waits, or the set that is in force now.

        Raises:
            NotFound: There is no such tenant or set, or the caller is no administrator.
            StateConflict: Somebody of the tenant can publish.
            PolicySetInvalid: Nobody of the tenant could publish under that set either.
            LimitReached: Too many requests of the caller wait.
        """
        waits = self._approvals.run(call, RESCUE, {"tenant": tenant, "epoch": epoch})
        if waits is not None:
            return waits
        newest = self._author.current(tenant)
        assert newest is not None, "it was published"
        return newest

    def _prepare(self, call: Call, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self._guard.require(call, "administer", self._guard.platform())
        about = self._about(body)
        text = self._text(about.id, body["epoch"])
        self._check_locked(call, about.id)
        self._prepared(call, about.id, text)  # not only once a second person has agreed
        return {**body, "after": self._epoch(about.id), "text_sha256": _digest(text)}

    def _perform(self, call: Call, body: Mapping[str, Any]) -> SignedBundle:
        about = self._about(body)
        tenant, text = about.id, self._text(about.id, body["epoch"])
        decision = self._guard.require(call, "administer", about, reason=RESCUE)
        if (self._epoch(tenant), _digest(text)) != (body["after"], body["text_sha256"]):
            raise StateConflict("another policy set was published meanwhile")
        self._check_locked(call, tenant)
        prepared = self._prepared(call, tenant, text)
        changed = {"tenant": tenant, "text": _digest(text), "after": str(body["after"])}
        if tenant != call.principal.tenant:
            changed[TOLD] = tenant
        by = by_call(call, decision)
        with self._intents.changing(RESCUE, call.principal.tenant, changed, by):
            return self._author.publish(tenant, text, call.principal.client_id, prepared)

    def _prepared(self, call: Call, tenant: str, text: str) -> Prepared:
        """Look at a set; refuse one under which nobody of the tenant could publish either."""
        prepared = self._author.prepare(tenant, text)
        standing = self._steering.standing(call, tenant)
        if not self._author.could(text, prepared, standing, PUBLISH):
            raise PolicySetInvalid((_NOBODY_STILL,))
        return prepared

    def _about(self, body: Mapping[str, Any]) -> TenantFacts:
        if not self._guard.has_tenant(body["tenant"]):
            raise NotFound("there is no tenant of this id")
        return self._guard.tenant(body["tenant"])

    def _text(self, tenant: str, epoch: int | None) -> str:
        if epoch is None:
            return starter_text()
        found = self._author.at(tenant, epoch)
        if found is None:
            raise NotFound("the tenant has published no set of this epoch")
        return found.text

    def _check_locked(self, call: Call, tenant: str) -> None:
        if self._engine.could(self._steering.standing(call, tenant), PUBLISH):
            raise StateConflict(
                "somebody of the tenant can publish policies: let them, with sealgate policy "
                "rollback or publish; who must not any more is disabled first"
            )

    def _epoch(self, tenant: str) -> int:
        newest = self._author.current(tenant)
        return 0 if newest is None else newest.epoch

    def _finish(self, pending: Pending) -> Settled:
        """Tell whether the set that was to follow is the one that followed."""
        newest = self._author.enforce(pending.facts["tenant"])
        if newest is None or newest.epoch <= int(pending.facts["after"]):
            return UNDONE
        return FINISHED if _digest(newest.text) == pending.facts["text"] else UNDONE


_NOBODY_STILL: Final = Problem(
    "",
    "nobody of the tenant could publish under this set either: choose another epoch, or register "
    "a client first that it lets publish (the starter set: role officer or owner, scope policies)",
)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _details(pending: Pending) -> Details:
    return {"reason": RESCUE, "resource": f"PolicySet::{pending.facts['tenant']}"}
