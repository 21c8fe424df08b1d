"""`sealgate approval`: what waits for a second person, agreeing to it, withdrawing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, PlanFlag, ProfileOption, note, planned, show, show_list

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""See what waits for a second person, and agree to it or not.

    Example: sealgate approval list

    Next: sealgate approval grant ID --sha256 HASH
    """,
)
Id = Annotated[str, typer.Argument(help="Id of the request.")]
FIELDS: Final = ("approval", "operation", "request", "asked_by", "expires", "sha256")


@app.command("list")
def list_waiting(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List what waits for a second person.

    Example: sealgate approval list

    Next: sealgate approval show ID
    """
    with connect(profile) as connection:
        found = list(connection.items("/v1/approvals"))
    columns = ("approval", "operation", "request", "asked_by", "expires")
    show_list(found, as_json=as_json, columns=columns, empty="nothing waits for a second person")


@app.command("show")
def show_one(approval: Id, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show what somebody asks for, and its hash.

    Example: sealgate approval show ID

    Next: sealgate approval grant ID --sha256 HASH
    """
    with connect(profile) as connection:
        show(connection.get(f"/v1/approvals/{approval}"), as_json=as_json, fields=FIELDS)


@app.command()
def grant(
    approval: Id,
    sha256: Annotated[
        str | None, typer.Option(help="Its hash, as the one who asks told you.")
    ] = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Agree to what somebody else asks for; it is done at once.

    Whoever asked cannot agree to it. Hear the hash from them, over another channel than this one.

    Example: sealgate approval grant ID --sha256 HASH

    Next: sealgate keys list
    """
    with connect(profile) as connection:
        found = connection.get(f"/v1/approvals/{approval}")
        _compare(found, sha256)
        if planned(plan, as_json, f"agree to {found['operation']}", **found["request"]):
            return
        done = connection.post(f"/v1/approvals/{approval}/grant", {"sha256": found["sha256"]})
    show(done, as_json=as_json)


@app.command()
def withdraw(
    approval: Id,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Forget a request, your own or another's that you would have to agree to.

    Example: sealgate approval withdraw ID

    Next: sealgate approval list
    """
    if planned(plan, as_json, "withdraw the request", approval=approval):
        return
    with connect(profile) as connection:
        connection.send("DELETE", f"/v1/approvals/{approval}")
    show({"approval": approval, "withdrawn": True}, as_json=as_json)


def told_to_wait(waiting: Mapping[str, Any], *, as_json: bool) -> typer.Exit:
    """Show a request that waits, with what the second person does; raise what is returned."""
    following = f"sealgate approval grant {waiting['approval']} --sha256 {waiting['sha256']}"
    show({**waiting, "next": following}, as_json=as_json, fields=FIELDS)
    note(f"next: another administrator agrees: {following}")
    return typer.Exit(ExitCode.WAITING)


def _compare(found: Mapping[str, Any], told: str | None) -> None:
    """Refuse to agree to something else than what was told.

    Raises:
        CommandFailed: The hash is missing, or another.
    """
    if told is None:
        raise CommandFailed(
            f"nothing was agreed to; `{found['asked_by']}` asks for {found['operation']}, "
            f"and the hash of that is {found['sha256']}",
            ExitCode.USAGE,
            "hear the hash from who asks, and give what you heard: --sha256",
        )
    if "".join(told.split()).lower() != found["sha256"]:
        raise CommandFailed(
            "the request does not have this hash: it is another one, or the hash was misheard",
            ExitCode.UNVERIFIED,
            "hear the hash from who asks again; if it differs still, somebody changed the request",
        )
