"""Policy texts made ready for decisions: checked strictly, parsed once, kept as handles.

1. Nothing is parsed before `policies.shape` has bounded it, and nothing is validated before
   `policies.cost` has bounded what it expands to.
2. Tenant text and platform text are parsed apart and joined as policies, so no text of a tenant can
   open or close anything in the platform's.
3. Every policy of a tenant has an `@id` of its own which is not the platform's, so a decision names
   what determined it, beyond doubt.
4. Validation is Cedar's strict one against the schema. It does not find everything (an overflow
   passes): `policies.engine` denies whatever errs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import cedarpy

from policies.asking import schema
from policies.cost import PUBLISHED, Bounds, cost_of, too_costly
from policies.errors import PolicySetInvalid, Problem
from policies.memo import KeyPlan, Path, reads_of
from policies.shape import check_shape, statements

PLATFORM_PREFIX: Final = "platform-"
"""Ids of platform policies begin so, and no others may."""
MAX_PROBLEMS: Final = 20
"""Problems that are told at once."""
MAX_REASON: Final = 500
"""Characters of one reason: Cedar's messages quote the text."""

ACTIONS: Final = MappingProxyType(
    {
        "infer": "dataPlane",
        "releaseOutput": "dataPlane",
        "readMetadata": "dataPlane",
        "joinFederation": "dataPlane",
        "downloadArtifact": "artifactPlane",
        "uploadArtifact": "artifactPlane",
        "promote": "controlPlane",
        "rollback": "controlPlane",
        "managePolicy": "controlPlane",
        "startRound": "controlPlane",
        "administer": "controlPlane",
        "reviewAudit": "privacyPlane",
        "exportAudit": "privacyPlane",
        "exportSubject": "privacyPlane",
        "eraseSubject": "privacyPlane",
    }
)
"""Every action that can be decided → the group that it belongs to, as in the schema."""

_UNKNOWN_ACTION: Final = re.compile(r'unrecognized action `Action::"([^"]{0,63})"')
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class CompiledSet:
    """A policy set with the platform's, ready for decisions.

    Attributes:
        handle: Cedar's parsed policies.
        keys: Action → how the key of its decisions is read; None where a decision must not be
            remembered.
    """

    handle: Any
    keys: Mapping[str, KeyPlan | None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of a text that may come into force; its handle is made where it is used.

    Attributes:
        reads: Action → what its decisions read; None where none may be remembered.
        tenants: `@id` of a policy → the tenants that it names.
        parts: What the text expands to (`policies.cost`).
    """

    reads: Mapping[str, frozenset[Path] | None]
    tenants: Mapping[str, frozenset[str]]
    parts: int = 0


def starter_text() -> str:
    """Return the policy set that a new tenant starts with."""
    return _resource("starter.cedar")


def platform_text() -> str:
    """Return the policies that no tenant can lift."""
    return _resource("platform.cedar")


@cache
def platform_set() -> CompiledSet:
    """Return the platform's policies alone: they decide `administer`."""
    text = platform_text()
    return CompiledSet(cedarpy.PolicySet.from_str(text), _plans(_reads(parsed(text))))


def compile_set(text: str) -> CompiledSet:
    """Check a tenant's text and join it with the platform's policies, here and now.

    It takes as long as the text wants, with the interpreter's lock held: texts of others are
    prepared elsewhere (`policies.ports.Preparing`) and only joined here.

    Raises:
        PolicySetInvalid: The text is not acceptable; `problems` says why.
    """
    return join(text, prepare(text))


def prepare(text: str, bounds: Bounds = PUBLISHED) -> Prepared:
    """Check a tenant's text.

    Raises:
        PolicySetInvalid: The text is not acceptable; `problems` says why.
    """
    check_shape(text, bounds)
    mine = parsed(text)
    _check_ids(mine)
    if problems := too_costly(mine, bounds):
        raise PolicySetInvalid(problems[:MAX_PROBLEMS])
    result = cedarpy.validate_policies(text, schema())
    if not result.validation_passed:
        names = result.id_annotations_by_policy_id
        raise PolicySetInvalid(
            tuple(
                Problem(names.get(error.policy_id, error.policy_id), _guessed(error.error))
                for error in result.errors[:MAX_PROBLEMS]
            )
        )
    platform = parsed(platform_text())
    joined = {f"{PLATFORM_PREFIX}{key}": platform[key] for key in platform} | mine
    named = {policy["annotations"]["id"]: _tenants_of(policy) for policy in mine.values()}
    return Prepared(_reads(joined), named, sum(cost_of(one).parts for one in mine.values()))


def join(text: str, prepared: Prepared) -> CompiledSet:
    """Join a text with the platform's policies.

    Args:
        text: The tenant's.
        prepared: What preparing this very text gave.

    Raises:
        PolicySetInvalid: Cedar cannot read it, so it was never prepared.
    """
    try:
        handle = platform_set().handle.with_added_str(text)
    except ValueError as error:
        raise PolicySetInvalid((Problem("", str(error)[:MAX_REASON]),)) from None
    return CompiledSet(handle, _plans(prepared.reads))


def _tenants_of(policy: Any) -> frozenset[str]:
    """Return the tenants that a policy names."""
    return frozenset(_ids_of("Tenant", policy))


def _ids_of(kind: str, document: Any) -> Iterator[str]:
    """Yield the ids of the entities of a kind in Cedar's JSON form of a policy."""
    if isinstance(document, dict):
        if document.get("type") == kind and isinstance(document.get("id"), str):
            yield document["id"]
        for value in document.values():
            yield from _ids_of(kind, value)
    elif isinstance(document, list):
        for value in document:
            yield from _ids_of(kind, value)


def _reads(policies: Mapping[str, Any]) -> dict[str, frozenset[Path] | None]:
    return {name: reads_of(policies, name, group) for name, group in ACTIONS.items()}


def _plans(reads: Mapping[str, frozenset[Path] | None]) -> Mapping[str, KeyPlan | None]:
    return MappingProxyType(
        {name: None if found is None else KeyPlan(found) for name, found in reads.items()}
    )


def parsed(text: str) -> dict[str, Any]:
    """Return the policies of a text in Cedar's JSON form, by Cedar's own numbers.

    Raises:
        PolicySetInvalid: Cedar cannot read it, or it holds a template.
    """
    try:
        document = json.loads(cedarpy.policies_to_json_str(text))
    except RecursionError:
        raise PolicySetInvalid((Problem("", "an expression is too deep"),)) from None
    except ValueError as error:
        raise PolicySetInvalid((_unreadable(text, str(error)),)) from None
    if document["templates"]:
        raise PolicySetInvalid((Problem("", "a template authorizes nothing here"),))
    policies: dict[str, Any] = document["staticPolicies"]
    return policies


def _unreadable(text: str, said: str) -> Problem:
    """Say which policy cannot be read, and the line where it begins: Cedar does not."""
    position = 0
    for number, statement in enumerate(statements(text)):
        position = text.index(statement, position)
        try:
            cedarpy.policies_to_json_str(statement)
        except ValueError as error:
            line = text.count("\n", 0, position) + 1
            return Problem(f"policy{number}", f"{error} (from line {line} on)"[:MAX_REASON])
        position += len(statement)
    return Problem("", said[:MAX_REASON])


def _guessed(said: str) -> str:
    """Add what may have been meant by an action that does not exist."""
    wrong = _UNKNOWN_ACTION.search(said)
    if wrong is None:
        return said[:MAX_REASON]
    near = get_close_matches(wrong[1], ACTIONS, n=1)
    meant = f"did you mean `{near[0]}`? " if near else ""
    return f"{said[:MAX_REASON]}; {meant}there are {', '.join(ACTIONS)}"


def _check_ids(policies: Mapping[str, Any]) -> None:
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, policy in policies.items():
        name = (policy.get("annotations") or {}).get("id")
        if name is None or not _ID.fullmatch(name):
            problems.append(Problem(position, "it needs an @id of lowercase letters, digits, ._-"))
        elif name.startswith(PLATFORM_PREFIX):
            problems.append(Problem(name, f"an @id beginning {PLATFORM_PREFIX} is the platform's"))
        elif name in seen:
            problems.append(Problem(name, "another policy has the same @id"))
        else:
            seen.add(name)
    if problems:
        raise PolicySetInvalid(tuple(problems[:MAX_PROBLEMS]))


@cache
def _resource(name: str) -> str:
    return files("policies").joinpath(name).read_text(encoding="utf-8")
