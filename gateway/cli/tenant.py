"""`sealgate tenant`: create, show and suspend tenants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import check_confirmed
from gateway.cli.keys import key_row
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    moment,
    note,
    planned,
    show,
    show_list,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Create, show and suspend tenants.

    Example: sealgate tenant list

    Next: sealgate tenant create --help
    """,
)

Id = Annotated[str, typer.Argument(help="Id of the tenant.")]


@app.command("list")
def list_tenants(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List tenants.

    Example: sealgate tenant list

    Next: sealgate client list --tenant ID
    """
    with connect(profile) as connection:
        show_list(
            connection.items("/v1/tenants"),
            as_json=as_json,
            columns=("id", "name", "region", "suspended", "purposes"),
            empty="no tenant yet; next: sealgate tenant create ID --name NAME --region REGION",
        )


@app.command("show")
def show_tenant(tenant: Id, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show what a tenant has, how old its keys are, and what it is near to the end of.

    Numbers only: what its models are called and its policies say is its own. The look is recorded.

    Example: sealgate tenant show st-mary

    Next: sealgate keys list --tenant st-mary
    """
    with connect(profile) as connection:
        found = connection.get(f"/v1/tenants/{quote(tenant, safe='')}")
    show(found if as_json else _told(found), as_json=as_json)
    for limit in found["limits"]:
        if limit["near"] and not as_json:
            note(f"near its end: {limit['name']}, {limit['used']} of {limit['most']}")


def _told(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tenant at a glance in lines."""
    policy = found["policy"]
    told = {name: value for name, value in found.items() if name not in ("keys", "limits")}
    told["policy"] = policy and f"{policy['epoch']} of {moment(policy['created'])}"
    for key in map(key_row, found["keys"]):
        age = f", {key['age']}" if key["age"] else ""
        former = f", also {', '.join(key['former'])}" if key["former"] else ""
        told[f"{key['kind']}_key"] = f"{key['number']}{age}{former}"
    for limit in found["limits"]:
        told[limit["name"]] = f"{limit['used']} of {limit['most']}"
    return told


@app.command()
def create(
    tenant: Id,
    name: Annotated[str, typer.Option(help="Name for people.")],
    region: Annotated[str, typer.Option(help="Where its data lives.")],
    purposes: Annotated[
        list[str] | None, typer.Option("--purpose", help="A purpose of processing; repeat it.")
    ] = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a tenant with keys, a log and policies of its own.

    Example: sealgate tenant create st-mary --name 'St Mary' --region eu --purpose care

    Next: sealgate client create ID --tenant st-mary --name NAME --role owner
    """
    body = {"id": tenant, "name": name, "region": region, "purposes": purposes or []}
    if planned(plan, as_json, "create a tenant", **body):
        return
    with connect(profile) as connection:
        show(connection.post("/v1/tenants", body), as_json=as_json)


@app.command()
def suspend(
    tenant: Id,
    confirm: Annotated[str, typer.Option(help="Repeat the id: everybody of it is shut out.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Shut a tenant out; holds for every token when the command ends.

    Example: sealgate tenant suspend st-mary --confirm st-mary

    Next: sealgate tenant resume st-mary
    """
    if planned(plan, as_json, "suspend a tenant", tenant=tenant):
        return
    check_confirmed(confirm, tenant)
    with connect(profile) as connection:
        body = {"suspended": True}
        show(connection.put(f"/v1/tenants/{tenant}/standing", body), as_json=as_json)


@app.command()
def resume(
    tenant: Id, profile: ProfileOption = None, plan: PlanFlag = False, as_json: JsonFlag = False
) -> None:
    """Let a suspended tenant in again.

    Example: sealgate tenant resume st-mary

    Next: sealgate tenant list
    """
    if planned(plan, as_json, "resume a tenant", tenant=tenant):
        return
    with connect(profile) as connection:
        body = {"suspended": False}
        show(connection.put(f"/v1/tenants/{tenant}/standing", body), as_json=as_json)
