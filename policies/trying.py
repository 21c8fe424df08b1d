"""How long a set takes to decide, over requests that are made up. Deterministic but for the time.

Every action is asked by a client, by a site's client and by a person, about every kind of thing
that it applies to, in the circumstances that make policies work most: texts of the caller as long
as they may be, and roles, scopes and purposes that the policies themselves ask for.

1. What is made up decides nothing about anybody: it is asked of a set that is not in force.
2. A decision counts as slow when it is slow four times: something else may have had the processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeAlias

from policies.asking import ask
from policies.errors import Problem
from policies.facts import (
    AuditLogFacts,
    ContextFacts,
    FederationFacts,
    ModelFacts,
    ModelVersionFacts,
    PlatformFacts,
    PolicySetFacts,
    PrincipalFacts,
    ResourceFacts,
    ServiceFacts,
    SiteFacts,
    SubjectFacts,
    TenantFacts,
    UserFacts,
    VerdictFacts,
)
from policies.rendering import MAX_TEXT

SLOWEST_SECONDS: Final = 0.002
"""Of processor time. Fifty policies take 0.15 to 0.35 ms, the largest set within the bounds of
`policies.cost` 1.2 ms; the interpreter's lock is held meanwhile, so everybody's answers wait."""
TRIES: Final = 3
MAX_WORDS: Final = 32
"""Of the policies' own that a made-up caller has: a real one has about ten roles and scopes."""
VARIANTS: Final = 3
"""Callers made up for each action, kind of principal and kind of thing."""

Question: TypeAlias = tuple[PrincipalFacts, str, ResourceFacts, ContextFacts]

_HOME: Final = TenantFacts(id="made-up", region="eu", suspended=False, purposes=frozenset())


@dataclass(frozen=True, slots=True)
class Slowest:
    """The decision that took longest.

    Attributes:
        seconds: Of processor time.
        action: What was asked.
        principal: Kind of who asked.
    """

    seconds: float
    action: str
    principal: str


def slowest(
    handle: Any,
    empty: Any,
    policies: Mapping[str, Any],
    actions: Sequence[str],
    *,
    now: float,
    timer: Callable[[], float] = time.thread_time,
) -> Slowest:
    """Return the slowest decision of a set over made-up requests.

    Args:
        handle: The parsed policies.
        empty: Those that are in every set: what they take for a long text is not the set's fault.
        policies: The tenant's, in Cedar's JSON form: where words of the requests come from.
        actions: Names of actions.
        now: Unix seconds.
        timer: Seconds of the processor's time.
    """

    def took(asked: Any, question: Question) -> float:
        begun = timer()
        ask(asked, *question, now)
        return timer() - begun

    found = Slowest(0.0, "", "")
    for question in questions(policies, actions):
        seconds = took(handle, question)
        if seconds > SLOWEST_SECONDS:
            least = min(seconds, *(took(handle, question) for _ in range(TRIES)))
            seconds = least - min(took(empty, question) for _ in range(TRIES))
        if seconds > found.seconds:
            found = Slowest(seconds, question[1], question[0].uid[0])
    return found


def too_slow(found: Slowest, largest: str) -> tuple[Problem, ...]:
    """Return the problem of a set whose slowest decision takes too long; empty for others.

    Args:
        found: The slowest decision.
        largest: `@id` of the policy that expands to most.
    """
    if found.seconds <= SLOWEST_SECONDS:
        return ()
    return (
        Problem(
            largest,
            f"deciding `{found.action}` for a {found.principal} takes {found.seconds * 1000:.1f} "
            f"ms, more than {SLOWEST_SECONDS * 1000:.0f}: every call of everybody would wait for "
            "it; this is the largest policy, make it or the number of policies smaller",
        ),
    )


def questions(policies: Mapping[str, Any], actions: Sequence[str]) -> Iterator[Question]:
    """Yield requests, the same for the same arguments."""
    words = sorted(set(_words(policies)))
    chance = Random(0)  # noqa: S311 - not for secrets: the same set is tried in the same way
    for action in actions:
        for resource in _resources(action):
            for kind in ("client", "site", "person"):
                if action == "joinFederation" and kind == "person":
                    continue  # the schema knows no such request
                for _ in range(VARIANTS):
                    chosen = frozenset(chance.sample(words, min(len(words), MAX_WORDS)))
                    text = _long_text(words, chance)
                    yield _principal(kind, chosen), action, resource, _context(chosen, text, action)


def _resources(action: str) -> tuple[ResourceFacts, ...]:
    version = ModelVersionFacts(
        tenant=_HOME,
        model="made-up",
        version="1",
        stage="released",
        signed=True,
        personal=True,
        data_class="internal",
    )
    model = ModelFacts(tenant=_HOME, name="made-up", personal=True, data_class="internal")
    federation = FederationFacts(tenant=_HOME, name="made-up", sites=frozenset({"north"}))
    log, subject = AuditLogFacts(tenant=_HOME), SubjectFacts(tenant=_HOME, ref="s", legal_hold=True)
    return {
        "readMetadata": (model, version, federation),
        "uploadArtifact": (model,),
        "managePolicy": (PolicySetFacts(tenant=_HOME),),
        "startRound": (federation,),
        "joinFederation": (federation,),
        "administer": (_HOME, PlatformFacts(tenant=_HOME)),
        "reviewAudit": (log,),
        "exportAudit": (log,),
        "exportSubject": (subject,),
        "eraseSubject": (subject,),
    }.get(action, (version,))


def _principal(kind: str, words: frozenset[str]) -> PrincipalFacts:
    if kind == "person":
        return UserFacts(id="made-up", tenant=_HOME, roles=words, purposes=words)
    site = SiteFacts(tenant=_HOME, name="north", revoked=False) if kind == "site" else None
    return ServiceFacts(id="made-up", tenant=_HOME, roles=words, purposes=words, site=site)


def _context(words: frozenset[str], text: str, action: str) -> ContextFacts:
    verdict = VerdictFacts(outcome="flag", rules=words) if action == "releaseOutput" else None
    return ContextFacts(
        scopes=words,
        binding="dpop",
        acr=2,
        auth_age=60,
        region="eu",
        epoch=1,
        purpose=text,
        verdict=verdict,
        approvals=2,
        recipient=text,
    )


def _long_text(words: Sequence[str], chance: Random) -> str:
    """Return a text as long as a caller's may be, of a letter or of a word of the policies."""
    piece = chance.choice([*words, "a"]) or "a"
    return (piece * MAX_TEXT)[:MAX_TEXT]


def _words(document: Any) -> Iterator[str]:
    """Yield the texts that policies compare with, patterns' pieces among them."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
            for name in ("Value", "Literal"):
                if isinstance(word := value.get(name), str) and len(word) <= MAX_TEXT:
                    yield word
        elif isinstance(value, list):
            waiting += value
