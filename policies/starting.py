"""Which role and scope the first policies of a tenant want for an action: read out of their text.

For people who register a client before they have seen a policy. It is told, never decided upon: a
tenant may replace its set, and `policies.engine` asks the one in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from policies.compiled import parsed, platform_text, starter_text


@dataclass(frozen=True, slots=True)
class Grant:
    """What one policy wants of who asks.

    Attributes:
        policy: Its `@id`.
        roles: Any of these.
        scopes: Any of these.
    """

    policy: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]


@cache
def grants(action: str, on: str) -> tuple[Grant, ...]:
    """Return what permits an action in the starter set or in the platform's.

    Args:
        action: Name of the Cedar action.
        on: Type of the thing that it is done to.
    """
    found = []
    for text in (starter_text(), platform_text()):
        for policy in parsed(text).values():
            if policy["effect"] == "permit" and _fits(policy, action, on):
                wanted = {"roles": set[str](), "scopes": set[str]()}
                for set_name, member in _memberships(policy["conditions"]):
                    wanted.setdefault(set_name, set()).add(member)
                roles, scopes = sorted(wanted["roles"]), sorted(wanted["scopes"])
                found.append(Grant(policy["annotations"]["id"], tuple(roles), tuple(scopes)))
    return tuple(found)


def _fits(policy: Mapping[str, Any], action: str, on: str) -> bool:
    head = policy["action"]
    actions = head["entities"] if "entities" in head else [head["entity"]]
    thing = policy["resource"]
    return any(one["id"] == action for one in actions) and thing.get("entity_type", on) == on


def _memberships(node: Any) -> Iterator[tuple[str, str]]:
    """Yield each `….roles.contains("x")` and `….scopes.contains("x")` below a node."""
    if isinstance(node, Mapping):
        match node.get("contains"):
            case {"left": {".": {"attr": str(name)}}, "right": {"Value": str(member)}}:
                yield name, member
        for value in node.values():
            yield from _memberships(value)
    elif isinstance(node, list):
        for value in node:
            yield from _memberships(value)
