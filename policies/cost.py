"""What a policy set costs, measured on what its text expands to. Pure.

Two kilobytes can stand for a million parts: `principal has a.b.c` is written out once for every
name, and again within each. Validating that took four seconds with the interpreter's lock held, and
every decision five milliseconds. So a set is measured after it was taken apart, not by its length.

1. What is counted is every value of Cedar's JSON form, which is what parser, validator and
   evaluation walk through: their time is in proportion to it (`docs/decisions/0019`).
2. A pattern with a wildcard costs its length times the length of what it is held against, which the
   caller chooses: patterns are counted by themselves.
3. Each refusal names the policy, what was measured, the bound, and what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.errors import Problem

EXTENSION_PARTS: Final = 10
"""A call of an extension takes 0.3 us, ten times what a value takes."""
_EXTENSIONS: Final = frozenset(
    {"ip", "decimal", "datetime", "duration", "isInRange", "isIpv4", "isIpv6", "isLoopback"}
    | {"isMulticast", "lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"}
    | {"offset", "durationSince", "toDate", "toTime"}
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a set may cost at most.

    Attributes:
        parts: Values of all policies together, in Cedar's JSON form.
        policy_parts: Of one policy.
        pattern: Characters and wildcards of all patterns together that have a wildcard.
        members: Of one set that is written out.
    """

    parts: int
    policy_parts: int
    pattern: int
    members: int


PUBLISHED: Final = Bounds(parts=25_000, policy_parts=4_000, pattern=512, members=256)
"""For a set that is published. The starter set has 640 parts, fifty policies some 2,000; 25,000 are
parsed in 25 ms and decided in 1.2 ms; 512 characters of patterns take 1.5 ms at the worst."""
STORED: Final = Bounds(*(4 * bound for bound in (25_000, 4_000, 512, 256)))
"""For a set that is in force already when the process starts: what older bounds let in and does no
harm yet stays in force, and is refused when it is published again."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one policy costs, by the measures of `Bounds`."""

    parts: int
    pattern: int
    members: int


def cost_of(policy: Mapping[str, Any]) -> Cost:
    """Measure one policy in Cedar's JSON form."""
    parts = pattern = members = 0
    for name, value in _walk(policy):
        parts += 1 + EXTENSION_PARTS * (name in _EXTENSIONS)
        if name == "like" and _has_wildcard(value):
            pattern += len(value["pattern"])
        if name in ("Set", "entities") and isinstance(value, list):
            members = max(members, len(value))
    return Cost(parts, pattern, members)


def too_costly(policies: Mapping[str, Any], bounds: Bounds) -> tuple[Problem, ...]:
    """Return what makes a set cost too much; empty when it is within its bounds.

    Args:
        policies: In Cedar's JSON form, by any name; a policy is told by its `@id` if it has one.
        bounds: What it may cost.
    """
    costs = {_name(key, policy): cost_of(policy) for key, policy in policies.items()}
    found = [problem for name, cost in costs.items() for problem in _of_one(name, cost, bounds)]
    parts = sum(cost.parts for cost in costs.values())
    if not found and parts > bounds.parts:
        largest = max(costs, key=lambda name: costs[name].parts)
        found.append(_expands("", "the set", parts, bounds.parts, f"; the largest is `{largest}`"))
    pattern = sum(cost.pattern for cost in costs.values())
    if pattern > bounds.pattern:
        longest = max(costs, key=lambda name: costs[name].pattern)
        found.append(
            Problem(
                longest,
                f"patterns with `*` have {pattern} characters together, more than "
                f"{bounds.pattern}: compare with ==, or keep only the beginning of what is meant",
            )
        )
    return tuple(found)


def expansion_of_path(names: int) -> int:
    """Return about how many parts `has` with a path of so many names expands to."""
    return (3 * names * names) // 2 + 6 * names


def expands_too_far(policy: str, parts: int, bound: int) -> Problem:
    """Say that a policy expands to more parts than it may."""
    return _expands(policy, "it", parts, bound, "")


def _of_one(name: str, cost: Cost, bounds: Bounds) -> Iterator[Problem]:
    if cost.parts > bounds.policy_parts:
        yield expands_too_far(name, cost.parts, bounds.policy_parts)
    if cost.members > bounds.members:
        yield Problem(
            name,
            f"a set in it has {cost.members} members, more than {bounds.members}: register what "
            "they have in common, as a role, a purpose or a sharing, and ask for that",
        )


def _expands(policy: str, what: str, parts: int, bound: int, more: str) -> Problem:
    return Problem(
        policy,
        f"{what} expands to {parts} parts, more than {bound}{more}: test fewer conditions at once; "
        "`has` with a path is written out for every name in it, so ask for the last one you need",
    )


def _walk(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield each value below a document with the name that it stands under."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        name, value = waiting.pop()
        yield name, value
        if isinstance(value, Mapping):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += (("", one) for one in value)


def _has_wildcard(like: Any) -> bool:
    return (
        isinstance(like, Mapping)
        and isinstance(pattern := like.get("pattern"), list)
        and "Wildcard" in pattern
    )


def _name(key: str, policy: Mapping[str, Any]) -> str:
    return str((policy.get("annotations") or {}).get("id") or key)
