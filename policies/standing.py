"""Whether a tenant could still steer itself under a policy set. Pure.

A set is in force at once, and it decides who may publish the next one. So one wrong word, an empty
text or a `forbid` that errs shuts everybody out for good, and nobody may even look why.

1. Who could publish or read evidence is decided by the set itself, over the tenant's real clients
   and people, in the circumstances that they will surely meet: now and a year from now, with the
   revocation epoch of now and a far later one, with and without the solo mode. In each of them at
   least one must be allowed.
2. A policy that errs in a circumstance denies it, as it will then.
3. What nobody can do now anyway is not asked for: a tenant without an officer may publish.
4. Nobody is let in by this: it only refuses a set.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Literal

from policies.asking import Answer, ask
from policies.errors import Problem
from policies.facts import (
    AuditLogFacts,
    ContextFacts,
    PolicySetFacts,
    PrincipalFacts,
    ResourceFacts,
    ServiceFacts,
    TenantFacts,
    UserFacts,
)

STEERING: Final = {
    "managePolicy": "publish policies",
    "reviewAudit": "read the audit log",
}
"""Actions that somebody must keep, and how they are told."""
MAX_CANDIDATES: Final = 200
"""Clients and people that are asked for; those who could steer now come first."""
YEAR_SECONDS: Final = 365 * 24 * 3600
MANY_EPOCHS: Final = 1_000_000
"""Revocations are counted for ever."""
MAX_PURPOSES: Final = 4
"""Of a candidate that are tried beside its default one: a request may name any."""
AUTH_AGES: Final = (60, 0, 299)
"""Seconds since a token was issued; tokens live 300."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A client or a person who could steer the tenant.

    Attributes:
        id: As it is registered.
        kind: `service` or `user`.
        scopes: The widest that its tokens may have.
        binding: What its tokens are bound to.
        purpose: Its default purpose.
    """

    id: str
    kind: Literal["service", "user"]
    roles: frozenset[str]
    scopes: frozenset[str]
    purposes: frozenset[str]
    binding: str
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Who could steer a tenant, and in which circumstances.

    Attributes:
        tenant: Its facts.
        candidates: Its enabled clients and people, the likeliest first.
        region: Where the gateway stands.
        epoch: The revocation epoch in force.
        solo: Whether the recorded solo mode is on.
        now: Unix seconds.
    """

    tenant: TenantFacts
    candidates: tuple[Candidate, ...]
    region: str
    epoch: int
    solo: bool
    now: int


@dataclass(frozen=True, slots=True)
class _Moment:
    said: str
    now: int
    epoch: int
    solo: bool


def locked_out(
    fresh: Any, current: Any | None, standing: Standing, ids: Sequence[str]
) -> tuple[Problem, ...]:
    """Return what nobody could do any more under a set; empty when it may come into force.

    Args:
        fresh: Cedar's handle of the set, joined with the platform's.
        current: Of the set in force; None where there is none: then all must be possible.
        standing: Who is asked for.
        ids: `@id` of every policy of the joined set, in order: tells which one erred.
    """
    found = []
    for action in STEERING:
        refused = _first_moment_without(fresh, standing, action)
        if refused is None:
            continue
        moment, first = refused
        if current is None or _anybody(current, standing, action, _moments(standing)[0])[0]:
            found.append(_problem(action, moment, first, standing, ids))
    return tuple(found)


def able(handle: Any, standing: Standing, action: str) -> bool:
    """Tell whether somebody of a tenant is allowed an action of `STEERING` now.

    Args:
        handle: Cedar's handle of a set, joined with the platform's.
        standing: Who is asked for.
        action: Which one.
    """
    return _anybody(handle, standing, action, _moments(standing)[0])[0]


def _first_moment_without(
    handle: Any, standing: Standing, action: str
) -> tuple[_Moment, Answer | None] | None:
    for moment in _moments(standing):
        able, first = _anybody(handle, standing, action, moment)
        if not able:
            return moment, first
    return None


def _anybody(
    handle: Any, standing: Standing, action: str, moment: _Moment
) -> tuple[bool, Answer | None]:
    """Tell whether somebody is allowed, and what the first who was not was answered."""
    first: Answer | None = None
    about: ResourceFacts = AuditLogFacts(tenant=standing.tenant)
    if action == "managePolicy":
        about = PolicySetFacts(tenant=standing.tenant)
    for candidate in standing.candidates[:MAX_CANDIDATES]:
        facts = _facts(candidate, standing)
        for context in _contexts(candidate, standing, moment):
            answer = ask(handle, facts, action, about, context, moment.now)
            if answer.allowed:
                return True, first
            first = first or answer
    return False, first


def _moments(standing: Standing) -> tuple[_Moment, ...]:
    now, epoch = standing.now, standing.epoch
    later = now + YEAR_SECONDS
    return (
        _Moment("", now, epoch, standing.solo),
        _Moment(" once the solo mode has ended", now, epoch, False),
        _Moment(" when more has been revoked", now, epoch + MANY_EPOCHS, False),
        _Moment(" a year from now", later, epoch, False),
    )


def _facts(candidate: Candidate, standing: Standing) -> PrincipalFacts:
    kind = UserFacts if candidate.kind == "user" else ServiceFacts
    return kind(
        id=candidate.id,
        tenant=standing.tenant,
        roles=candidate.roles,
        purposes=candidate.purposes,
    )


def _contexts(candidate: Candidate, standing: Standing, moment: _Moment) -> Iterator[ContextFacts]:
    purposes = [candidate.purpose, *sorted(candidate.purposes)[:MAX_PURPOSES]]
    for age, purpose in product(AUTH_AGES, dict.fromkeys(purposes)):
        yield ContextFacts(
            scopes=candidate.scopes,
            binding=candidate.binding,
            acr=2 if candidate.kind == "user" else 0,
            auth_age=age,
            region=standing.region,
            epoch=moment.epoch,
            purpose=purpose,
            solo=moment.solo,
        )


def _problem(
    action: str, moment: _Moment, first: Answer | None, standing: Standing, ids: Sequence[str]
) -> Problem:
    what = STEERING[action]
    asked = min(len(standing.candidates), MAX_CANDIDATES)
    named = list(_blamed(first, ids))
    if first is not None and first.error:
        why = "it errs, and an error refuses the request"
    elif named:
        why = "it forbids it"
    else:
        why = "no policy permits it"
    return Problem(
        named[0] if named else "",
        f"nobody of the tenant could {what} (`{action}`) any more{moment.said}: {why}; "
        f"{asked} clients and people were asked for. Keep a permit for `{action}` that one of them "
        "meets, as in the set in force (sealgate policy show)",
    )


def _blamed(answer: Answer | None, ids: Sequence[str]) -> Iterator[str]:
    if answer is None:
        return
    yield from answer.names
    for number in answer.erred:
        if number < len(ids):
            yield ids[number]
