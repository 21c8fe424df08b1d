"""The policy set of the caller's tenant."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from gateway.tenancy.policy_sets import PolicySets
from gateway.web.answers import BundleAnswer, BundleText, CheckAnswer, DecisionAnswer, PolicyProblem
from gateway.web.bodies import Body, ModelName, Name, VersionName
from gateway.web.dependencies import CallDep, provided
from gateway.web.operations import says
from gateway.web.strict_route import StrictRoute
from policies.bundle import SignedBundle
from policies.shape import MAX_TEXT_BYTES

router = APIRouter(route_class=StrictRoute, prefix="/v1/policies", tags=["policies"])
Use = Annotated[PolicySets, provided(PolicySets)]


class PolicyText(Body):
    """A policy set."""

    text: Annotated[str, Field(max_length=MAX_TEXT_BYTES)]


class Question(Body):
    """What the caller wants to know about its own standing."""

    action: Name
    model: ModelName
    version: VersionName
    verdict: Annotated[str | None, Field(max_length=16)] = None


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
    openapi_extra=says(decides="managePolicy", on="PolicySet"),
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
        "policy_set_invalid", "policy_epoch_exists", decides="managePolicy", on="PolicySet"
    ),
)
def publish(body: PolicyText, call: CallDep, use: Use) -> BundleAnswer:
    """Bring a set into force; every later decision uses it."""
    return _bundle(use.publish(call, body.text))


@router.post(
    "/explain",
    operation_id="explain_decision",
    openapi_extra=says("not_found"),
)
def explain(body: Question, call: CallDep, use: Use) -> DecisionAnswer:
    """Tell how a request of the caller itself would be decided, and by what."""
    decision = use.explain(call, body.action, body.model, body.version, body.verdict)
    return {
        "allowed": decision.allowed,
        "policy_ids": list(decision.policy_ids),
        "epoch": decision.epoch,
        "error": decision.error,
    }


def _bundle(bundle: SignedBundle) -> BundleAnswer:
    return {
        "tenant": bundle.tenant,
        "epoch": bundle.epoch,
        "author": bundle.author,
        "created": bundle.created,
        "digest": bundle.digest,
    }
