"""Why a request was decided as it was, and what would have to be otherwise. Pure.

Each rule is asked alone, condition by condition, with the same facts. So what is told of it is what
Cedar said, not what somebody read into its text.

1. A condition that errs when it is asked alone is told as undecided, never as met.
2. A rule whose scope does not fit (another action, kind of caller or thing) is left out: no
   condition could make it apply.
3. Nothing is decided here: what is told changes no answer, and the work is bounded by the set's
   own bounds (`policies.shape`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import cedarpy

from policies.asking import schema
from policies.compiled import platform_text
from policies.facts import ContextFacts, PrincipalFacts, ResourceFacts
from policies.rendering import FactsConflict, context_of, entity_slice
from policies.shape import statements

MAX_CONDITIONS: Final = 50
"""Conditions of one rule that are asked alone; rules have a handful."""
_BODY: Final = re.compile(r"when \{ (?P<body>.*) \};\s*$", re.DOTALL)
_NEEDLESS: Final = re.compile(r"(?<!\w)\(([\w.]+)\)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy that could have a say.

    Attributes:
        id: Its `@id`.
        effect: What it does where it applies.
        text: Its text, as it was written.
        applies: Whether it applies to the request; None where that cannot be told.
        ways: Where it stands against the request: each entry is a list of conditions which, if all
            of them held, would end that.
    """

    id: str
    effect: Literal["permit", "forbid"]
    text: str
    applies: bool | None
    ways: tuple[tuple[str, ...], ...]


def rules_of(
    text: str,
    principal: PrincipalFacts,
    action: str,
    resource: ResourceFacts,
    context: ContextFacts,
    now: float,
) -> tuple[Rule, ...]:
    """Return the rules of a tenant's set and of the platform whose scope fits a request.

    Args:
        text: The tenant's set, as it was published.
        principal: Who asked.
        action: What was asked for.
        resource: What it was about.
        context: The circumstances.
        now: Unix seconds.
    """
    try:
        asking = _Asking(principal, action, resource, context, now)
    except FactsConflict:
        return ()
    return tuple(
        rule
        for policy, written in (*_policies(text), *_policies(platform_text()))
        if asking.holds(policy, []) is True
        for rule in (_rule(policy, written, asking),)
    )


def rule_that_decided(text: str, name: str) -> Rule | None:
    """Return a rule that is known to have applied, without asking it again.

    Args:
        text: The tenant's set.
        name: The `@id`, of the set or of the platform's policies.

    Returns:
        The rule, without ways; None where there is none of that id.
    """
    for policy, written in (*_policies(text), *_policies(platform_text())):
        if _id(policy) == name:
            return Rule(name, policy["effect"], written, True, ())
    return None


class _Asking:
    """One request, and Cedar's word on single conditions of it."""

    def __init__(
        self,
        principal: PrincipalFacts,
        action: str,
        resource: ResourceFacts,
        context: ContextFacts,
        now: float,
    ) -> None:
        self._request = {
            "principal": {"type": principal.uid[0], "id": principal.uid[1]},
            "action": {"type": "Action", "id": action},
            "resource": {"type": resource.uid[0], "id": resource.uid[1]},
            "context": context_of(context, int(now)),
        }
        slice_ = entity_slice(principal, resource)
        self._entities = cedarpy.Entities.from_json_str(slice_, schema())

    def holds(self, policy: dict[str, Any], conditions: list[Any]) -> bool | None:
        """Tell whether a policy's scope fits and these conditions hold; None if that errs."""
        alone = _cedar({**policy, "effect": "permit", "conditions": conditions, "annotations": {}})
        try:
            policies = cedarpy.PolicySet.from_str(alone)
            result = cedarpy.is_authorized(self._request, policies, self._entities, schema())
        except (ValueError, TypeError):
            return None
        return None if result.diagnostics.errors else bool(result.allowed)

    def body_holds(self, policy: dict[str, Any], body: Any) -> bool | None:
        """Tell whether one expression holds."""
        return self.holds(policy, [{"kind": "when", "body": body}])


def _rule(policy: dict[str, Any], written: str, asking: _Asking) -> Rule:
    applies = asking.holds(policy, policy["conditions"])
    permits = policy["effect"] == "permit"
    ways: tuple[tuple[str, ...], ...] = ()
    if permits and applies is not True:
        ways = (_missing(policy, asking),)
    elif not permits and applies is not False:
        ways = tuple(_ways_out(policy, asking))
    return Rule(_id(policy), policy["effect"], written, applies, ways)


def _missing(policy: dict[str, Any], asking: _Asking) -> tuple[str, ...]:
    """Return what a permit wants and does not find."""
    found = []
    for condition in policy["conditions"]:
        body = condition["body"]
        if condition["kind"] == "when":
            parts = _split(body, "&&")
            found += [_words(one) for one in parts if asking.body_holds(policy, one) is not True]
        else:
            parts = _split(body, "||")
            found += [_not(one) for one in parts if asking.body_holds(policy, one) is not False]
    return tuple(found[:MAX_CONDITIONS])


def _ways_out(policy: dict[str, Any], asking: _Asking) -> Iterator[tuple[str, ...]]:
    """Return what would lift a forbid: one of its conditions gone, or an exception of it met."""
    for condition in policy["conditions"]:
        parts = _split(condition["body"], "&&")[:MAX_CONDITIONS]
        if condition["kind"] == "when":
            yield from ((_not(part),) for part in parts)
        else:
            yield tuple(
                _words(part) for part in parts if asking.body_holds(policy, part) is not True
            )


def _split(body: Any, operator: str) -> list[Any]:
    """Return the parts of a chain of one operator, from left to right."""
    parts, waiting = [], [body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict) and set(one) == {operator}:
            waiting += [one[operator]["right"], one[operator]["left"]]
        else:
            parts.append(one)
    return parts


def _policies(text: str) -> list[tuple[dict[str, Any], str]]:
    """Return each policy as Cedar's JSON, and as it was written."""
    parsed = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    written = statements(text)
    return [(parsed[f"policy{at}"], one) for at, one in enumerate(written)]


def _id(policy: dict[str, Any]) -> str:
    return str((policy.get("annotations") or {}).get("id", ""))


def _words(body: Any) -> str:
    """Return an expression as Cedar text."""
    anything = {"op": "All"}
    scope = {"principal": anything, "action": anything, "resource": anything}
    condition = {"kind": "when", "body": body}
    text = _cedar({"effect": "permit", **scope, "conditions": [condition], "annotations": {}})
    match = _BODY.search(text)
    assert match is not None
    text, changes = match["body"], 1
    while changes:
        text, changes = _NEEDLESS.subn(r"\1", text)
    return text


def _not(body: Any) -> str:
    return f"!({_words(body)})"


def _cedar(policy: dict[str, Any]) -> str:
    document = {"staticPolicies": {"policy0": policy}, "templates": {}, "templateLinks": []}
    return str(cedarpy.policies_from_json_str(json.dumps(document)))
