"""Decisions: loaded policy sets, and facts, to an answer that names its reasons.

The safety argument:

1. **Unknown means no.** A decision allows only when Cedar says Allow *and* reports no error. Cedar
   skips a policy that errs, so an erring `forbid` would otherwise become an allow.
2. Nothing is asked of Cedar but by `policies.asking`, whose claims are these too.
3. A tenant without a loaded set is denied everything. The platform's policies are in every set.
4. What belongs to another tenant needs the sets of both, the caller's and the owner's, to allow.
5. `administer` is decided by the platform's policies alone: no tenant can grant it, and none can
   lock the platform out.
6. A set comes into force as a whole by one assignment, only with a genuine signature, and never an
   older one. A decision that begins after `load` returned uses the new set.
7. A remembered decision is one that this set gave for facts which it cannot tell from these
   (`policies.memo`), or that these very sets gave for these very objects: facts never change. No
   caller makes others' be forgotten (`policies.fair_memory`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.asking import ask
from policies.bundle import SignedBundle, verify_bundle
from policies.compiled import (
    ACTIONS,
    PLATFORM_PREFIX,
    CompiledSet,
    Prepared,
    join,
    platform_set,
    prepare,
)
from policies.errors import BundleRefused
from policies.facts import ContextFacts, PrincipalFacts, ResourceFacts
from policies.fair_memory import FairMemory
from policies.memo import Memo
from policies.standing import Standing, able

REMEMBERED: Final = frozenset({"infer", "releaseOutput", "readMetadata"})
"""Actions of the hot path. The others are rare and decided anew each time."""

MAX_RECENT: Final = 4096
"""Questions whose objects are known."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer and what determined it.

    Attributes:
        allowed: Whether the action may go on.
        policy_ids: The determining policies: `platform-…`, or `tenant/id` for a tenant's own.
        epoch: Epoch of the caller's policy set; 0 when no set was asked.
        error: Why nothing could be decided, as a stable code; None when it was.
    """

    allowed: bool
    policy_ids: tuple[str, ...]
    epoch: int
    error: str | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question of late with its answer.

    INVARIANT: it holds its facts, so no other object can have their identity.
    """

    sets: Mapping[str, _LoadedSet]
    facts: tuple[object, object, object]
    decision: Decision


@dataclass(frozen=True, slots=True)
class _LoadedSet:
    """A compiled set in force, and what it decided."""

    owner: str
    epoch: int
    digest: str
    compiled: CompiledSet
    memo: Memo[Decision] = field(default_factory=Memo)


class PolicyEngine:
    """Decides for all tenants. Safe for threads; `decide` does no I/O.

    Args:
        clock: Unix seconds: the `now` of every decision.

    Attributes:
        generation: Grows with every set that comes into force.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sets: Mapping[str, _LoadedSet] = {}
        self.generation = 0
        self._recent: FairMemory[_Asked] = FairMemory(MAX_RECENT)
        self._known = self._recent.known
        self._recalled = 0
        self._platform = _LoadedSet("", 0, "", platform_set())

    def load(
        self,
        bundle: SignedBundle,
        public_key: Ed25519PublicKey,
        *,
        tenant: str | None = None,
        prepared: Prepared | None = None,
    ) -> None:
        """Bring a bundle into force. When this returns, every new decision uses it.

        Loading the bundle that is in force already changes nothing.

        Args:
            bundle: The signed set.
            public_key: The key that bundles must be signed with.
            tenant: The tenant it was asked for, where that is known from elsewhere.
            prepared: What preparing its text gave; None prepares it here, with the interpreter's
                lock held for as long as the text wants.

        Raises:
            BundleRefused: Bad signature, another tenant's, older than the set in force, or not the
                successor of it.
            PolicySetInvalid: The text is not acceptable.
        """
        verify_bundle(bundle, public_key)
        if tenant is not None and bundle.tenant != tenant:
            raise BundleRefused("the policy bundle belongs to another tenant")
        compiled = join(bundle.text, prepare(bundle.text) if prepared is None else prepared)
        fresh = _LoadedSet(bundle.tenant, bundle.epoch, bundle.digest, compiled)
        with self._lock:
            current = self._sets.get(bundle.tenant)
            if current is not None:
                if bundle.digest == current.digest:
                    return
                if bundle.epoch <= current.epoch:
                    raise BundleRefused("a newer policy bundle is in force")
                if bundle.epoch == current.epoch + 1 and bundle.previous != current.digest:
                    raise BundleRefused("the policy bundle does not follow the one in force")
            self._sets = MappingProxyType({**self._sets, bundle.tenant: fresh})
            self.generation += 1

    def in_force(self, tenant: str) -> str:
        """Return the digest of the tenant's bundle in force; empty when there is none."""
        loaded = self._sets.get(tenant)
        return "" if loaded is None else loaded.digest

    def could(self, standing: Standing, action: str) -> bool:
        """Tell whether somebody of a tenant is allowed to steer it now (`policies.standing`)."""
        loaded = self._sets.get(standing.tenant.id)
        return loaded is not None and able(loaded.compiled.handle, standing, action)

    def epoch(self, tenant: str) -> int:
        """Return the epoch of the tenant's set in force; 0 when there is none."""
        loaded = self._sets.get(tenant)
        return 0 if loaded is None else loaded.epoch

    @property
    def hits(self) -> int:
        """Decisions that were remembered, over the sets in force."""
        return self._recalled + sum(loaded.memo.hits for loaded in self._sets.values())

    @property
    def misses(self) -> int:
        """Decisions that could have been remembered and were not, over the sets in force."""
        return sum(loaded.memo.misses for loaded in self._sets.values())

    def decide(
        self,
        principal: PrincipalFacts,
        action: str,
        resource: ResourceFacts,
        context: ContextFacts,
    ) -> Decision:
        """Decide whether `principal` may do `action` to `resource`.

        Returns:
            The decision. Whatever cannot be decided is denied with an `error`: `unknown_action`,
            `no_policy_set`, `facts` (they contradict each other or break the schema) or
            `evaluation` (a policy erred).
        """
        sets = self._sets
        key = (id(principal), id(resource), id(context), action)
        asked = self._known.get(key)
        if (
            asked is not None
            and asked.sets is sets
            and asked.facts[0] is principal
            and asked.facts[1] is resource
            and asked.facts[2] is context
        ):
            self._recalled += 1
            return asked.decision
        decision = self._decide(sets, principal, action, resource, context)
        if action in REMEMBERED and decision.error is None:
            owners = {principal.tenant.id, resource.tenant.id}
            if all(sets[owner].compiled.keys[action] is not None for owner in owners):
                asked = _Asked(sets, (principal, resource, context), decision)
                self._recent.keep(principal.tenant.id, principal.id, key, asked)
        return decision

    def _decide(
        self,
        sets: Mapping[str, _LoadedSet],
        principal: PrincipalFacts,
        action: str,
        resource: ResourceFacts,
        context: ContextFacts,
    ) -> Decision:
        if action not in ACTIONS:
            return Decision(False, (), self.epoch(principal.tenant.id), "unknown_action")
        if action == "administer":
            return self._ask(self._platform, principal, action, resource, context)
        own = sets.get(principal.tenant.id)
        theirs = sets.get(resource.tenant.id)
        if own is None or theirs is None:
            return Decision(False, (), 0 if own is None else own.epoch, "no_policy_set")
        decision = self._ask(own, principal, action, resource, context)
        if theirs is own or not decision.allowed:
            return decision
        other = self._ask(theirs, principal, action, resource, context)
        if not other.allowed:
            return Decision(False, other.policy_ids, own.epoch, other.error)
        return Decision(True, decision.policy_ids + other.policy_ids, own.epoch, None)

    def _ask(
        self,
        loaded: _LoadedSet,
        principal: PrincipalFacts,
        action: str,
        resource: ResourceFacts,
        context: ContextFacts,
    ) -> Decision:
        plan = loaded.compiled.keys[action] if action in REMEMBERED else None
        key: Hashable = None
        if plan is not None:
            key = plan.key(action, principal, resource, context)
            known = loaded.memo.get(key)
            if known is not None:
                return known
        decision = self._evaluate(loaded, principal, action, resource, context)
        if plan is not None and decision.error is None:
            loaded.memo.put(key, decision)
        return decision

    def _evaluate(
        self,
        loaded: _LoadedSet,
        principal: PrincipalFacts,
        action: str,
        resource: ResourceFacts,
        context: ContextFacts,
    ) -> Decision:
        answer = ask(loaded.compiled.handle, principal, action, resource, context, self._clock())
        names = (
            n if n.startswith(PLATFORM_PREFIX) else f"{loaded.owner}/{n}" for n in answer.names
        )
        return Decision(answer.allowed, tuple(sorted(names)), loaded.epoch, answer.error)
