"""`sealgate person`: invite people, give them roles, shut them out, let them in, delete them."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import check_confirmed
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
    help="""Invite people, give them roles, shut them out and let them in, delete them.

    Example: sealgate person list --tenant st-mary

    Next: sealgate person invite --help
    """,
)

Id = Annotated[str, typer.Argument(help="Id of the person, as `sealgate person list` shows it.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose person.")]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="caller, owner, officer, convenor or administrator; repeat it."),
]
Purposes = Annotated[
    list[str] | None,
    typer.Option("--purpose", help="A purpose of the tenant; the first is the default."),
]


@app.command("list")
def list_people(tenant: Tenant, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List the people of a tenant. The look is recorded.

    Example: sealgate person list --tenant st-mary

    Next: sealgate person show ID --tenant st-mary
    """
    with connect(profile) as connection:
        show_list(
            connection.items(_path(tenant)),
            as_json=as_json,
            columns=("id", "name", "email", "roles", "state"),
            empty="nobody yet; next: sealgate person invite --help",
        )


@app.command("show")
def show_person(
    person: Id, tenant: Tenant, profile: ProfileOption = None, as_json: JsonFlag = False
) -> None:
    """Show a person. The look is recorded.

    Example: sealgate person show person-1f0c3ad2b5e64a7f8a90c1d2e3f40516 --tenant st-mary

    Next: sealgate person roles ID --tenant st-mary --role owner
    """
    with connect(profile) as connection:
        _show(connection.get(_path(tenant, person)), as_json=as_json)


@app.command()
def invite(
    tenant: Tenant,
    email: Annotated[str, typer.Option(help="What the person signs in with.")],
    name: Annotated[str, typer.Option(help="Name for people.")],
    roles: Roles = None,
    purposes: Purposes = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Invite a person. The code is shown once: hand it over yourself, with the address of the page.

    Example: sealgate person invite --tenant st-mary --email ada@st-mary.example --name Ada \
--role caller --purpose care

    Next: sealgate person list --tenant st-mary
    """
    body = {"email": email, "name": name, **_rights(roles, purposes)}
    if planned(plan, as_json, "invite a person", tenant=tenant, **body):
        return
    with connect(profile) as connection:
        _show_invitation(connection.post(_path(tenant), body), as_json=as_json)


@app.command()
def reinvite(
    person: Id,
    tenant: Tenant,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Give a person another invitation: the last one was lost, or the password is forgotten.

    Example: sealgate person reinvite person-1f0c3ad2b5e64a7f8a90c1d2e3f40516 --tenant st-mary

    Next: sealgate person show ID --tenant st-mary
    """
    if planned(plan, as_json, "invite a person again", person=person, tenant=tenant):
        return
    with connect(profile) as connection:
        made = connection.post(_path(tenant, person) + "/invite")
        _show_invitation(made, as_json=as_json)


@app.command("roles")
def change_roles(
    person: Id,
    tenant: Tenant,
    roles: Roles = None,
    purposes: Purposes = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Replace roles and purposes of a person; holds for every token when the command ends.

    Example: sealgate person roles person-1f0c3ad2b5e64a7f8a90c1d2e3f40516 --tenant st-mary \
--role owner --role caller --purpose care

    Next: sealgate person show ID --tenant st-mary
    """
    body = _rights(roles, purposes)
    if planned(plan, as_json, "replace a person's roles", person=person, tenant=tenant, **body):
        return
    with connect(profile) as connection:
        _show(connection.put(_path(tenant, person) + "/roles", body), as_json=as_json)


@app.command()
def suspend(
    person: Id,
    tenant: Tenant,
    confirm: Annotated[str, typer.Option(help="Repeat the id.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Shut a person out; holds for every token and browser when the command ends.

    Example: sealgate person suspend person-1f0c3ad2b5e64a7f8a90c1d2e3f40516 --tenant st-mary \
--confirm person-1f0c3ad2b5e64a7f8a90c1d2e3f40516

    Next: sealgate person enable ID --tenant st-mary
    """
    if planned(plan, as_json, "suspend a person", person=person, tenant=tenant):
        return
    check_confirmed(confirm, person)
    with connect(profile) as connection:
        _show(connection.post(_path(tenant, person) + "/suspend"), as_json=as_json)


@app.command()
def enable(
    person: Id,
    tenant: Tenant,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Let a suspended person in again, with what it signed in with before.

    Example: sealgate person enable person-1f0c3ad2b5e64a7f8a90c1d2e3f40516 --tenant st-mary

    Next: sealgate person show ID --tenant st-mary
    """
    if planned(plan, as_json, "let a person in again", person=person, tenant=tenant):
        return
    with connect(profile) as connection:
        _show(connection.post(_path(tenant, person) + "/enable"), as_json=as_json)


@app.command()
def delete(
    person: Id,
    tenant: Tenant,
    confirm: Annotated[str, typer.Option(help="Repeat the id: this cannot be undone.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Forget a person for ever; the log keeps the id and nothing of who it was.

    Example: sealgate person delete person-1f0c3ad2b5e64a7f8a90c1d2e3f40516 --tenant st-mary \
--confirm person-1f0c3ad2b5e64a7f8a90c1d2e3f40516

    Next: sealgate person list --tenant st-mary
    """
    if planned(plan, as_json, "delete a person", person=person, tenant=tenant):
        return
    check_confirmed(confirm, person)
    with connect(profile) as connection:
        connection.send("DELETE", _path(tenant, person))
    show({"deleted": person}, as_json=as_json)


def _path(tenant: str, person: str | None = None) -> str:
    path = f"/v1/tenants/{quote(tenant, safe='')}/people"
    return path if person is None else f"{path}/{quote(person, safe='')}"


def _rights(roles: list[str] | None, purposes: list[str] | None) -> dict[str, Any]:
    return {
        "roles": roles or [],
        "purposes": purposes or [],
        "default_purpose": purposes[0] if purposes else None,
    }


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if not as_json:
        found["created"] = moment(found["created"])
    show(found, as_json=as_json)


def _show_invitation(made: dict[str, Any], *, as_json: bool) -> None:
    if not as_json:
        made["expires"] = moment(made["expires"])
    show(made, as_json=as_json)
    note("the code is not shown again: hand it over by another way than the address of the page")
