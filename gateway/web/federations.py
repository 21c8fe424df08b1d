"""Federations, their sites and their runs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import orjson
from fastapi import APIRouter, Response
from pydantic import Field, StrictInt

from gateway.errors import InvalidRequest
from gateway.federation.federations import Federations, Plan
from gateway.federation.runs import Runs
from gateway.web.answers import FederationAnswer, Page, RunAnswer, RunSteps, SiteAnswer
from gateway.web.bodies import Body, Name, Reference, VersionName
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import described, says
from gateway.web.shapes import federation_body, page_body, run_body, site_body
from gateway.web.strict_route import StrictRoute

router = APIRouter(route_class=StrictRoute, prefix="/v1/federations", tags=["federations"])
Use = Annotated[Federations, provided(Federations)]
UseRuns = Annotated[Runs, provided(Runs)]


class NewFederation(Body):
    """A federation, at first without sites.

    `calibration` names an upload: the convenor's held-out set, which screens every result.
    """

    name: Name
    model: Name
    task: Name = "logistic-regression"
    config: dict[str, Any]
    quorum: StrictInt = 2
    deadline_s: StrictInt = 600
    calibration: Reference | None = None


class NewSite(Body):
    """A site and the public key of its node (OpenSSH line or PEM, EC P-384)."""

    name: Name
    public_key: Annotated[str, Field(max_length=1024)]


class NewRun(Body):
    """A run; its result becomes a candidate with this version name."""

    version: VersionName
    rounds: StrictInt


@router.get("")
def list_federations(call: CallDep, use: Use, page: PageDep) -> Page[FederationAnswer]:
    """List federations."""
    found, following = use.federations(call, after=page.after, limit=page.limit)
    return page_body([federation_body(federation) for federation in found], following)


@router.post(
    "",
    status_code=201,
    openapi_extra=says(
        "already_exists", "limit_reached", "state_conflict", decides="startRound", on="Federation"
    ),
)
def create_federation(body: NewFederation, call: CallDep, use: Use) -> FederationAnswer:
    """Make a federation."""
    plan = Plan(
        name=body.name,
        model=body.model,
        task=body.task,
        config=_kept(body.config),
        quorum=body.quorum,
        deadline_s=body.deadline_s,
    )
    return federation_body(use.create(call, plan, body.calibration))


def _kept(config: dict[str, Any]) -> str:
    """Return a configuration as it is stored.

    Raises:
        InvalidRequest: It holds a whole number beyond 64 bits.
    """
    try:
        return orjson.dumps(config).decode()
    except orjson.JSONEncodeError as cause:
        raise InvalidRequest("`config` holds a number that is too large") from cause


@router.get(
    "/{federation}",
    openapi_extra=says(decides="readMetadata", on="Federation"),
)
def get_federation(federation: str, call: CallDep, use: Use) -> FederationAnswer:
    """Show a federation."""
    return federation_body(use.get(call, federation))


@router.get(
    "/{federation}/sites",
    openapi_extra=says(decides="readMetadata", on="Federation"),
)
def list_sites(federation: str, call: CallDep, use: Use) -> Page[SiteAnswer]:
    """List the sites on the allow-list."""
    return page_body([site_body(site) for site in use.sites(call, federation)], None)


@router.post(
    "/{federation}/sites",
    status_code=201,
    openapi_extra=says(
        "already_exists",
        "limit_reached",
        "coordinator_unavailable",
        decides="startRound",
        on="Federation",
    ),
)
def add_site(federation: str, body: NewSite, call: CallDep, use: Use) -> SiteAnswer:
    """Register a site and put it on the allow-list."""
    return site_body(use.add_site(call, federation, body.name, body.public_key))


@router.post(
    "/{federation}/sites/{site}/revoke",
    status_code=204,
    openapi_extra=says("coordinator_unavailable", decides="startRound", on="Federation"),
)
def revoke_site(federation: str, site: str, call: CallDep, use: Use) -> Response:
    """Shut a site out of every federation of the tenant, for ever."""
    use.revoke_site(call, federation, site)
    return Response(status_code=204)


@router.get(
    "/{federation}/rounds",
    openapi_extra=says(decides="readMetadata", on="Federation"),
)
def list_runs(federation: str, call: CallDep, use: UseRuns, page: PageDep) -> Page[RunAnswer]:
    """List the runs."""
    runs = use.runs(call, federation, after=page.after, limit=page.limit)
    following = runs[-1].id if len(runs) == page.limit else None
    return page_body([run_body(run) for run in runs], following)


@router.post(
    "/{federation}/rounds",
    status_code=202,
    responses={202: {"headers": described({"Location": "The run to watch."})}},
    openapi_extra=says(
        "already_exists",
        "limit_reached",
        "coordinator_unavailable",
        decides="startRound",
        on="Federation",
    ),
)
def start_run(
    federation: str, body: NewRun, call: CallDep, use: UseRuns, response: Response
) -> RunAnswer:
    """Start a run."""
    run = use.start(call, federation, body.version, body.rounds)
    response.headers["location"] = f"/v1/federations/{federation}/rounds/{run.id}"
    return run_body(run)


@router.get(
    "/{federation}/rounds/{run}",
    openapi_extra=says(decides="readMetadata", on="Federation"),
)
def get_run(federation: str, run: str, call: CallDep, use: UseRuns) -> RunAnswer:
    """Show a run."""
    return run_body(use.run(call, federation, run))


@router.get(
    "/{federation}/rounds/{run}/events",
    operation_id="list_steps",
    openapi_extra=says(decides="readMetadata", on="Federation"),
)
def run_events(federation: str, run: str, call: CallDep, use: UseRuns, page: PageDep) -> RunSteps:
    """Show a run and its recorded steps after a sequence number."""
    found, steps = use.steps(call, federation, run, after=page.position)
    items = [msgspec.to_builtins(step) for step in steps]
    return {"run": run_body(found), **page_body(items, None)}
