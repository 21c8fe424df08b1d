"""The policy set of the caller's tenant."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field, StrictInt

from gateway.tenancy.explaining import Explaining, Question
from gateway.tenancy.policy_rescue import PolicyRescue
from gateway.tenancy.policy_sets import PolicySets
from gateway.web.answers import (
    BundleAnswer,
    BundleText,
    CheckAnswer,
    DecisionAnswer,
    Page,
    PolicyProblem,
)
from gateway.web.approvals import WaitingAnswer, waiting_body
from gateway.web.bodies import Body, ModelName, Name, VersionName, Words
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import says
from gateway.web.shapes import page_body, rule_body
from gateway.web.strict_route import StrictRoute
from policies.bundle import MAX_EPOCH, SignedBundle
from policies.rendering import MAX_TEXT
from policies.shape import MAX_TEXT_BYTES

router = APIRouter(route_class=StrictRoute, prefix="/v1/policies", tags=["policies"])
Use = Annotated[PolicySets, provided(PolicySets)]
Rescues = Annotated[PolicyRescue, provided(PolicyRescue)]
Explains = Annotated[Explaining, provided(Explaining)]
Epoch = Annotated[int, Path(ge=1, le=MAX_EPOCH)]


class PolicyText(Body):
    """A policy set."""

    text: Annotated[str, Field(max_length=MAX_TEXT_BYTES)]


class Earlier(Body):
    """Which set is to be published once more; none is the one before that in force."""

    epoch: Annotated[StrictInt, Field(ge=1, le=MAX_EPOCH)] | None = None


class Rescue(Earlier):
    """Whose earlier set is to come back; none is the one that a new tenant starts with."""

    tenant: Name


class Asked(Body):
    """What the caller wants to know; what is left out is as in a request of the client's."""

    action: Name
    model: ModelName | None = None
    version: VersionName | None = None
    federation: Name | None = None
    client: Name | None = None
    verdict: Annotated[str | None, Field(max_length=16)] = None
    recipient: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    purpose: Name | None = None
    scopes: Words | None = None
    binding: Literal["none", "dpop", "mtls"] | None = None
    acr: Annotated[StrictInt, Field(ge=0, le=9)] | None = None
    auth_age: Annotated[StrictInt, Field(ge=0, le=10**9)] | None = None
    approvals: Annotated[StrictInt, Field(ge=1, le=9)] = 1


@router.get(
    "",
    operation_id="get_policies",
    openapi_extra=says(decides="managePolicy", on="PolicySet"),
)
def current(call: CallDep, use: Use) -> BundleText:
    """Show the set in force."""
    return {**_bundle(bundle := use.current(call)), "text": bundle.text}


@router.post(
    "/validate",
    operation_id="validate_policies",
    openapi_extra=says("limit_reached", decides="managePolicy", on="PolicySet"),
)
def validate(body: PolicyText, call: CallDep, use: Use) -> CheckAnswer:
    """Tell what is wrong with a set; nothing is changed."""
    problems = use.check(call, body.text)
    listed: list[PolicyProblem] = [
        {"policy": problem.policy, "reason": problem.reason} for problem in problems
    ]
    return {"valid": not problems, "problems": listed}


@router.put(
    "",
    operation_id="publish_policies",
    openapi_extra=says(
        "policy_set_invalid",
        "policy_epoch_exists",
        "limit_reached",
        decides="managePolicy",
        on="PolicySet",
    ),
)
def publish(body: PolicyText, call: CallDep, use: Use) -> BundleAnswer:
    """Bring a set into force; every later decision uses it."""
    return _bundle(use.publish(call, body.text))


@router.post(
    "/explain",
    operation_id="explain_decision",
    openapi_extra=says("not_found", decides="managePolicy", on="PolicySet"),
)
def explain(body: Asked, call: CallDep, use: Explains) -> DecisionAnswer:
    """Tell how a request would be decided, by which policies, and what would change that.

    Anybody may ask about themselves; about another client, who may publish the tenant's policies.
    """
    found = use.explain(call, Question(**dict(body)))
    decision = found.decision
    return {
        "allowed": decision.allowed,
        "policy_ids": list(decision.policy_ids),
        "epoch": decision.epoch,
        "error": decision.error,
        "rules": [rule_body(rule, text=found.texts) for rule in found.rules],
        "change": [
            {
                "policy": change.policy,
                "effect": change.effect,
                "conditions": list(change.conditions),
                "attributes": list(change.attributes),
            }
            for change in found.change
        ],
        "notes": list(found.notes),
    }


@router.get(
    "/history",
    operation_id="list_policies",
    openapi_extra=says(decides="managePolicy", on="PolicySet"),
)
def history(call: CallDep, use: Use, page: PageDep) -> Page[BundleAnswer]:
    """List the sets that were published, oldest first."""
    found = use.history(call, after=page.position, limit=page.limit)
    following = str(found[-1].epoch) if len(found) == page.limit else None
    return page_body([_bundle(bundle) for bundle in found], following)


@router.get(
    "/history/{epoch}",
    operation_id="get_published_policies",
    openapi_extra=says("not_found", decides="managePolicy", on="PolicySet"),
)
def published(epoch: Epoch, call: CallDep, use: Use) -> BundleText:
    """Show a set that was published."""
    return {**_bundle(bundle := use.published(call, epoch)), "text": bundle.text}


@router.post(
    "/rollback",
    operation_id="roll_back_policies",
    openapi_extra=says(
        "not_found",
        "policy_set_invalid",
        "policy_epoch_exists",
        "limit_reached",
        decides="managePolicy",
        on="PolicySet",
    ),
)
def roll_back(body: Earlier, call: CallDep, use: Use) -> BundleAnswer:
    """Publish an earlier set once more, as a new epoch; by default the one before."""
    return _bundle(use.roll_back(call, body.epoch))


@router.post(
    "/rescue",
    operation_id="rescue_policies",
    openapi_extra=says(
        "not_found",
        "state_conflict",
        "policy_set_invalid",
        "policy_epoch_exists",
        "limit_reached",
        decides="administer",
        on="Platform",
        also=("administer", "Tenant"),
    ),
    responses={202: {"model": WaitingAnswer, "description": "It waits for a second person."}},
)
def rescue(
    body: Rescue, call: CallDep, use: Rescues, response: Response
) -> BundleAnswer | WaitingAnswer:
    """Bring an earlier set back for a tenant in which nobody can publish any more.

    It takes two administrators: it waits for the second one, who agrees to it by its digest. While
    somebody of the tenant can publish it is refused.
    """
    found = use.rescue(call, body.tenant, body.epoch)
    if isinstance(found, SignedBundle):
        return _bundle(found)
    response.status_code = 202
    return waiting_body(found)


def _bundle(bundle: SignedBundle) -> BundleAnswer:
    return {
        "tenant": bundle.tenant,
        "epoch": bundle.epoch,
        "author": bundle.author,
        "created": bundle.created,
        "digest": bundle.digest,
    }
