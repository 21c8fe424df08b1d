"""The smallest change after which a request would be allowed, read off the rules that were asked.

Each condition was asked alone (`policies.nearest`), so nothing is promised of several together:
what is told is what to look at, and the decision is asked again after a change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from policies.nearest import Rule

_ATTRIBUTE: Final = re.compile(r"\b(?:principal|resource|context)(?:\.(?!contains|is[A-Z])\w+)+")


@dataclass(frozen=True, slots=True)
class Change:
    """What would have to become true of one policy.

    Attributes:
        policy: Its `@id`.
        effect: `permit` where it would have to apply, `forbid` where it must not.
        conditions: All of these, as Cedar text; empty where only another set helps.
        attributes: What they are about, such as `context.scopes`.
    """

    policy: str
    effect: Literal["permit", "forbid"]
    conditions: tuple[str, ...]
    attributes: tuple[str, ...]


def smallest_change(rules: Sequence[Rule]) -> tuple[Change, ...]:
    """Return the smallest change after which a request would be allowed, one entry a policy.

    Every policy that forbids it or errs has to give way, and one permit has to apply. Empty where
    it is allowed, and where no permit could ever apply and nothing forbids.

    Args:
        rules: All whose scope fits the request.
    """
    found = [
        _change(rule) for rule in rules if rule.effect == "forbid" and rule.applies is not False
    ]
    permits = [rule for rule in rules if rule.effect == "permit"]
    erring = [rule for rule in permits if rule.applies is None]
    found += map(_change, erring)
    if not erring and permits and not any(rule.applies for rule in permits):
        found.append(_change(min(permits, key=_length)))
    return tuple(found)


def attributes_of(conditions: Sequence[str]) -> tuple[str, ...]:
    """Return the attributes that conditions are about, each once."""
    return tuple(dict.fromkeys(name for one in conditions for name in _ATTRIBUTE.findall(one)))


def _change(rule: Rule) -> Change:
    shortest = min(rule.ways, key=len, default=())
    return Change(rule.id, rule.effect, shortest, attributes_of(shortest))


def _length(rule: Rule) -> int:
    return min(map(len, rule.ways), default=0)
