"""One question to Cedar, and its answer with whatever went wrong. Does no I/O.

1. Principal and resource are always among the entities and the schema is always given: without it
   Cedar allows actions that do not exist, and without them attributes are missing.
2. **Unknown means no.** Cedar skips a policy that errs, so an erring `forbid` would become an
   allow: any error makes the answer a no, and names the policies that erred.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

import cedarpy

from policies.facts import ContextFacts, PrincipalFacts, ResourceFacts, Uid
from policies.rendering import FactsConflict, context_of, entity_slice

_ERRED: Final = re.compile(r"while evaluating policy `policy(?P<number>\d+)`")


@dataclass(frozen=True, slots=True)
class Answer:
    """What Cedar said.

    Attributes:
        allowed: Whether it said yes, without an error.
        names: The `@id` of each policy that determined it.
        error: `facts` or `evaluation` where nothing could be decided; else None.
        erred: Numbers of the policies that erred, in the order of the whole set.
    """

    allowed: bool
    names: tuple[str, ...]
    error: str | None
    erred: tuple[int, ...] = ()


@cache
def schema() -> Any:
    """Return the parsed schema."""
    return cedarpy.Schema.from_str(
        files("policies").joinpath("schema.cedarschema").read_text(encoding="utf-8")
    )


def ask(
    handle: Any,
    principal: PrincipalFacts,
    action: str,
    resource: ResourceFacts,
    context: ContextFacts,
    now: float,
) -> Answer:
    """Ask a set of policies.

    Args:
        handle: The parsed policies.
        principal: Who asks.
        action: What for.
        resource: What it is about.
        context: The circumstances.
        now: Unix seconds.
    """
    try:
        request = request_of(principal.uid, action, resource.uid, context_of(context, int(now)))
        entities = cedarpy.Entities.from_json_str(entity_slice(principal, resource), schema())
    except (FactsConflict, ValueError, TypeError):
        return Answer(False, (), "facts")
    return ask_prepared(handle, request, entities)


def ask_prepared(handle: Any, request: Mapping[str, Any], entities: Any) -> Answer:
    """Ask with a request and entities that are rendered already."""
    try:
        result = cedarpy.is_authorized(request, handle, entities, schema())
    except (ValueError, TypeError):
        return Answer(False, (), "evaluation")
    if errors := result.diagnostics.errors:
        numbers = (_ERRED.search(error) for error in errors)
        return Answer(
            False, (), "evaluation", tuple(int(one["number"]) for one in numbers if one is not None)
        )
    if result.decision is cedarpy.Decision.NoDecision:
        return Answer(False, (), "evaluation")
    names = tuple(result.diagnostics.id_annotations_by_reason.values())
    return Answer(bool(result.allowed), names, None)


def request_of(principal: Uid, action: str, resource: Uid, context: str) -> dict[str, Any]:
    """Return a request as Cedar wants it; `context` is JSON."""
    return {
        "principal": _euid(principal),
        "action": _euid(("Action", action)),
        "resource": _euid(resource),
        "context": context,
    }


def _euid(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}
