"""Policy texts made ready for decisions: checked strictly, parsed once, kept as handles.

1. Nothing is parsed before `policies.shape` has bounded it.
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
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

import cedarpy

from policies.errors import PolicySetInvalid, Problem
from policies.memo import KeyPlan, reads_of
from policies.shape import check_shape

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


@cache
def schema() -> Any:
    """Return the parsed schema."""
    return cedarpy.Schema.from_str(_resource("schema.cedarschema"))


def starter_text() -> str:
    """Return the policy set that a new tenant starts with."""
    return _resource("starter.cedar")


def platform_text() -> str:
    """Return the policies that no tenant can lift."""
    return _resource("platform.cedar")


@cache
def platform_set() -> CompiledSet:
    """Return the platform's policies alone: they decide `administer`."""
    text = _resource("platform.cedar")
    return _compiled(cedarpy.PolicySet.from_str(text), _parsed(text))


def compile_set(text: str) -> CompiledSet:
    """Check a tenant's text and join it with the platform's policies.

    Raises:
        PolicySetInvalid: The text is not acceptable; `problems` says why.
    """
    check_shape(text)
    mine = _parsed(text)
    _check_ids(mine)
    result = cedarpy.validate_policies(text, schema())
    if not result.validation_passed:
        names = result.id_annotations_by_policy_id
        raise PolicySetInvalid(
            tuple(
                Problem(names.get(error.policy_id, error.policy_id), error.error[:MAX_REASON])
                for error in result.errors[:MAX_PROBLEMS]
            )
        )
    joined = platform_set().handle.with_added_str(text)
    platform = _parsed(_resource("platform.cedar"))
    return _compiled(joined, {f"{PLATFORM_PREFIX}{key}": platform[key] for key in platform} | mine)


def _compiled(handle: Any, policies: Mapping[str, Any]) -> CompiledSet:
    reads = {name: reads_of(policies, name, group) for name, group in ACTIONS.items()}
    plans = {name: None if found is None else KeyPlan(found) for name, found in reads.items()}
    return CompiledSet(handle, MappingProxyType(plans))


def _parsed(text: str) -> dict[str, Any]:
    try:
        document = json.loads(cedarpy.policies_to_json_str(text))
    except RecursionError:
        raise PolicySetInvalid((Problem("", "an expression is too deep"),)) from None
    except ValueError as error:
        raise PolicySetInvalid((Problem("", str(error)[:MAX_REASON]),)) from None
    if document["templates"]:
        raise PolicySetInvalid((Problem("", "a template authorizes nothing here"),))
    policies: dict[str, Any] = document["staticPolicies"]
    return policies


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


def _resource(name: str) -> str:
    return files("policies").joinpath(name).read_text(encoding="utf-8")
