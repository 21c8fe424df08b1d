"""The key that signs policy sets is followed by another one.

Safety argument:
1. It is decided as administration of the platform and is an intent; both are recorded.
2. The new key is durable first, then it signs the newest set of every tenant, and only then it is
   the one that signs and the old private half goes. Meanwhile both may sign the newest sets, and
   nothing is published (`policies.author`).
3. From then on the old key brings nothing into force: the newest set of a tenant has to be signed
   by the new key, and earlier ones hang on it by their digests (`policies.signers`). So it is the
   same after a loss.
4. Cut off, it is replaced to the end as soon as there is a new key; before that nothing was begun.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from audit.event import PLATFORM_TENANT
from gateway.artifacts.keys import KeyProvider
from gateway.authorization.guard import Guard
from gateway.authorization.intents import Intents
from gateway.authorization.kinds import (
    FINISHED,
    UNDONE,
    Attribution,
    Kind,
    Settled,
    by_call,
)
from gateway.authorization.recorder import Call, Details
from gateway.authorization.records import Pending
from gateway.tenancy.turns import Turns
from policies.author import PolicyAuthor

ROTATE_POLICY: Final = "rotate_policy_key"
PURPOSE: Final = "policy"


class PolicyKeys:
    """Replaces the key of policy sets.

    Args:
        keys: The keys of all tenants.
        author: Signs policy sets.
        turns: One at a time.
        guard: Decides and records.
        intents: Begin and end changes.
    """

    def __init__(
        self,
        keys: KeyProvider,
        author: PolicyAuthor,
        turns: Turns,
        *,
        guard: Guard,
        intents: Intents,
    ) -> None:
        self._keys = keys
        self._author = author
        self._turns = turns
        self._guard = guard
        self._intents = intents
        intents.register(Kind(ROTATE_POLICY, "administer", _details, self._finish))

    def rotate(self, call: Call, *, after: int) -> None:
        """Sign policy sets with a new key from now on.

        Args:
            call: Who asks.
            after: Number of the key that is to be replaced.

        Raises:
            StateConflict: Another key signs by now, or another rotation is under way.
            LimitReached: There were too many keys.
            Forbidden: The caller is no administrator, or a second person is missing.
        """
        facts = self._guard.platform()
        decision = self._guard.require(call, "administer", facts, reason=ROTATE_POLICY)
        self._rotate(after, by_call(call, decision))

    def rotate_again(self) -> None:
        """Replace a key that came back with a backup of before it was replaced.

        Raises:
            EvidenceUnavailable: It could not be recorded: the process must not become ready.
        """
        self._rotate(self._keys.ring(PURPOSE).number, Attribution())

    def _rotate(self, after: int, by: Attribution) -> None:
        row = {"tenant": PLATFORM_TENANT, "after": str(after)}
        with (
            self._turns.one(PLATFORM_TENANT, ROTATE_POLICY),
            self._intents.changing(ROTATE_POLICY, PLATFORM_TENANT, row, by),
        ):
            self._keys.prepare_successor(PURPOSE, after=after)
            self._to_the_end(after)

    def _to_the_end(self, after: int) -> None:
        complete = partial(self._keys.complete_succession, PURPOSE, after=after, endorsement="")
        self._author.resign(complete)

    def _finish(self, pending: Pending) -> Settled:
        after, ring = int(pending.facts["after"]), self._keys.ring(PURPOSE)
        if ring.number > after:
            return FINISHED
        if ring.successor is None:
            return UNDONE
        self._to_the_end(after)
        return FINISHED


def _details(pending: Pending) -> Details:
    return {"reason": pending.kind, "resource": f"Key::policy/{pending.facts['tenant']}"}
