"""Changes that take two: one person asks, another one agrees, and only then it is made.

Safety argument:
1. Whether a change takes two is decided by policy, not here: it is asked for where the caller is
   refused alone and would be allowed with a second person behind it.
2. What the second person agrees to is what the first one asked for: they name the digest of all of
   it, with the state that it is bound to, as it was told over to them.
3. The first person is no second one: policy decides with both as they are now, before anything is
   used up. The one who asked must still be let in, and allowed to ask. Who acts for another by an
   exchanged token (`gateway.identity.delegation`) neither asks nor agrees: it may be one person.
4. A request is used once, also by two who agree at the same moment, and is nothing after its time.
   It is used up before the change begins: killed in between, nothing was changed, and it is to be
   asked for again.
5. Asking, agreeing and withdrawing are intents. The change is one of its own, decided once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.authorization.as_registered import as_registered
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Kind, Settled, by_call
from gateway.authorization.ports import ApprovalStore
from gateway.authorization.recorder import Agreed, Call, Details
from gateway.authorization.records import Approval, Pending
from gateway.errors import Forbidden, InvalidRequest, LimitReached, NotFound, StateConflict
from gateway.identity.records import Client, Tenant
from gateway.pages import every
from policies.engine import Decision
from policies.facts import ResourceFacts

Body = Mapping[str, Any]
"""A request, as JSON has it."""

LIFE: Final = 24 * 3600
"""Seconds: the second person may be asleep, and nobody agrees to what was wanted last week."""
MAX_EACH: Final = 16
"""Requests of one client that wait at a time, so that nobody takes the places of others."""
MAX_BODY: Final = 16 << 10
"""Characters of a request: what people can look through before they agree."""

ASK: Final = "ask_approval"
GRANT: Final = "grant_approval"
WITHDRAW: Final = "withdraw_approval"


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that may take two.

    Attributes:
        name: Stored in requests: it never changes its meaning.
        action: The Cedar action that is decided.
        prepare: Checks a request, and returns it with the state that it is bound to; raises for a
            caller who may not even ask, before anything is told.
        reason: Returns what events of such a request call it.
        about: Returns what it would be done to; raises `NotFound` where there is nothing.
        perform: Makes the change; decides once more.
    """

    name: str
    action: str
    prepare: Callable[[Call, Body], Body]
    reason: Callable[[Body], str]
    about: Callable[[Body], ResourceFacts]
    perform: Callable[[Call, Body], object]


class Approvals:
    """Keeps requests until a second person agrees.

    Args:
        store: Where they wait.
        guard: Decides.
        intents: Begin and end changes.
        registered: Returns the client or person of an id, and its tenant, as they are now.
        clock: Unix seconds.
        new_id: Returns ids that follow one another in time.
    """

    def __init__(
        self,
        store: ApprovalStore,
        guard: Guard,
        intents: Intents,
        *,
        registered: Callable[[str], tuple[Client | None, Tenant | None]],
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._guard = guard
        self._intents = intents
        self._registered = registered
        self._clock = clock
        self._new_id = new_id
        self._operations: dict[str, Operation] = {}
        intents.register(
            Kind(ASK, "askApproval", _details, self._finish_ask),
            Kind(GRANT, "grantApproval", _details, self._finish_removal),
            Kind(WITHDRAW, "withdrawApproval", _details, self._finish_removal),
        )

    def register(self, *operations: Operation) -> None:
        """Take in what may take two, before the first request."""
        for operation in operations:
            assert operation.name not in self._operations, operation.name
            self._operations[operation.name] = operation

    def run(self, call: Call, name: str, body: Body) -> Approval | None:
        """Make a change, or keep the request where it takes two.

        Args:
            call: Who asks.
            name: Of a registered operation.
            body: The request.

        Returns:
            None when the change was made; else the request, which waits.

        Raises:
            Forbidden: The caller may not ask for it, or not even with a second person.
            StateConflict: It takes two, and the caller acts for another.
            LimitReached: Too many requests of the caller wait.
            SealgateError: The change is not possible; nothing waits.
        """
        operation = self._operations[name]
        bound = operation.prepare(call, body)
        decision = self._with_a_second(call, operation, bound)
        if decision is None:
            operation.perform(call, bound)
            return None
        _check_for_itself(call)
        return self._ask(call, decision, operation, bound)

    def waiting(self, call: Call) -> list[Approval]:
        """Return what waits among the caller's own people, oldest first, as far as it may see it.

        Raises:
            InvalidToken: The caller is no longer valid.
        """
        self._guard.confirm(call)
        found = self._all(call.principal.tenant)
        return [one for one in found if self._alive(one) and self._may_see(call, one)]

    def find(self, call: Call, approval_id: str) -> Approval:
        """Return a request that waits.

        Raises:
            NotFound: There is none, its time is up, or it is not the caller's to see.
            InvalidToken: The caller is no longer valid.
        """
        self._guard.confirm(call)
        found = self._store.get_approval(call.principal.tenant, approval_id)
        if found is None or not self._alive(found) or not self._may_see(call, found):
            raise NotFound("nothing of this id waits: sealgate approval list")
        return found

    def grant(self, call: Call, approval_id: str, digest: str) -> Approval:
        """Agree to what another one asked for, and make the change.

        Args:
            call: Who agrees.
            approval_id: Which request.
            digest: Of the request, as the one who asked told it.

        Raises:
            NotFound: It waits no more, or is not the caller's to see.
            StateConflict: It has another digest, or who asked for it may not any more, or
                the caller acts for another.
            Forbidden: Policy says no, for instance because the caller asked for it.
            SealgateError: The change is not possible any more; the request is used up.
        """
        found = self.find(call, approval_id)
        _check_for_itself(call)
        if digest != found.digest:
            raise StateConflict("the request has another digest: compare it with who asked for it")
        operation, body = self._operations[found.operation], json.loads(found.body)
        if not self._may_still_ask(call, found, operation, body):
            raise StateConflict("who asked for this may not any more: ask for it yourself")
        agreed = replace(call, agreed=Agreed(found.asked_by, found.digest))
        decision = self._second(agreed, operation, body)
        self._remove(agreed, decision, GRANT, found)
        operation.perform(agreed, body)
        return found

    def withdraw(self, call: Call, approval_id: str) -> None:
        """Forget a request; whoever could agree to it may say no for good.

        Raises:
            NotFound: It waits no more, or is not the caller's to see.
        """
        found = self.find(call, approval_id)
        operation, body = self._operations[found.operation], json.loads(found.body)
        decision = self._guard.decide(call, operation.action, operation.about(body), approvals=2)
        self._remove(call, decision, WITHDRAW, found)

    def _with_a_second(self, call: Call, operation: Operation, body: Body) -> Decision | None:
        """Return the decision by which a second person is missing; None: the caller is enough.

        Raises:
            Forbidden: Policy says no in any case; it is recorded.
        """
        reason, about = operation.reason(body), operation.about(body)
        two = self._guard.wants_two(operation.action, reason)
        if self._guard.decide(call, operation.action, about, four_eyes=two).allowed:
            return None
        second = self._guard.decide(call, operation.action, about, approvals=2, four_eyes=two)
        if not second.allowed:
            self._guard.require(call, operation.action, about, reason=reason)
        return second

    def _may_still_ask(self, call: Call, found: Approval, operation: Operation, body: Body) -> bool:
        """Tell whether who asked is let in, and could ask for it, now (claim 3)."""
        client, tenant = self._registered(found.asked_by)
        if client is None or client.disabled or client.tenant != found.tenant:
            return False
        if tenant is None or tenant.suspended:
            return False
        asker = as_registered(client, self._guard)
        asked = replace(call, principal=asker, purpose=asker.default_purpose)
        about = operation.about(body)
        return self._guard.decide(asked, operation.action, about, approvals=2).allowed

    def _second(self, call: Call, operation: Operation, body: Body) -> Decision:
        """Decide whether the caller is the second person; who sees the request hears why not.

        Raises:
            Forbidden: It is not; that is recorded.
        """
        about, reason = operation.about(body), operation.reason(body)
        two = self._guard.wants_two(operation.action, reason)
        decision = self._guard.decide(call, operation.action, about, four_eyes=two)
        if not decision.allowed:
            self._guard.record(call, operation.action, "deny", decision, about, reason=reason)
            raise Forbidden(decision.policy_ids)
        return decision

    def _ask(self, call: Call, decision: Decision, operation: Operation, body: Body) -> Approval:
        now, principal = int(self._clock()), call.principal
        self._check_room(principal.tenant, principal.client_id)
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        if len(text) > MAX_BODY:
            raise InvalidRequest("the request is too large for a second person to look through")
        approval = Approval(
            id=self._new_id(),
            tenant=principal.tenant,
            operation=operation.name,
            body=text,
            asked_by=principal.client_id,
            at=now,
            expires=now + LIFE,
        )
        by = by_call(replace(call, agreed=Agreed(principal.client_id, approval.digest)), decision)
        row = {"approval": approval.id, "operation": operation.name}
        with self._intents.changing(ASK, approval.tenant, row, by):
            self._store.add_approval(approval)
        return approval

    def _remove(self, call: Call, decision: Decision, kind: str, found: Approval) -> None:
        """Use a request up, or forget it.

        Raises:
            NotFound: Somebody else did meanwhile.
        """
        row = {"approval": found.id, "operation": found.operation}
        with self._intents.changing(kind, found.tenant, row, by_call(call, decision)):
            if not self._store.remove_approval(found.tenant, found.id):
                raise NotFound

    def _check_room(self, tenant: str, client_id: str) -> None:
        """Forget requests whose time is up, and refuse one too many of a client.

        Raises:
            LimitReached: So it is.
        """
        own = 0
        for one in self._all(tenant):
            if not self._alive(one):  # it is nothing any more: no change of state
                self._store.remove_approval(tenant, one.id)
            elif one.asked_by == client_id:
                own += 1
        if own >= MAX_EACH:
            raise LimitReached("too many of your requests wait: withdraw one first")

    def _all(self, tenant: str) -> list[Approval]:
        def page(after: str, limit: int) -> list[Approval]:
            return self._store.list_approvals(tenant, after=after, limit=limit)

        return list(every(page, lambda one: one.id, ""))

    def _alive(self, approval: Approval) -> bool:
        known = approval.operation in self._operations  # a newer release may have had others
        return known and approval.expires > self._clock()

    def _may_see(self, call: Call, approval: Approval) -> bool:
        """Tell whether the caller could ask for it or agree to it, apart from who asked."""
        operation, body = self._operations[approval.operation], json.loads(approval.body)
        try:
            about = operation.about(body)
        except NotFound:
            return False
        return self._guard.decide(call, operation.action, about, approvals=2).allowed

    def _finish_ask(self, pending: Pending) -> Settled:
        found = self._store.get_approval(pending.tenant, pending.facts["approval"])
        return UNDONE if found is None else FINISHED

    def _finish_removal(self, pending: Pending) -> Settled:
        found = self._store.get_approval(pending.tenant, pending.facts["approval"])
        return FINISHED if found is None else UNDONE


def _check_for_itself(call: Call) -> None:
    """Refuse a caller by whom somebody else asks or agrees.

    Raises:
        StateConflict: So it is.
    """
    if call.principal.acting_for:
        raise StateConflict(
            "whoever acts for another neither asks for what takes two nor agrees to it: let the "
            "other one do so itself, without token exchange"
        )


def _details(pending: Pending) -> Details:
    return {
        "reason": pending.facts["operation"],
        "resource": f"Approval::{pending.facts['approval']}",
    }
