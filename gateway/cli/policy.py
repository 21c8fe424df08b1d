"""`sealgate policy`: show, check, publish, roll back and explain policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.approval import told_to_wait
from gateway.cli.connection import connect
from gateway.cli.explaining import explain
from gateway.cli.failures import CommandFailed, ExitCode, check_confirmed
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    moment,
    note,
    planned,
    show,
    show_list,
    show_text,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Show, check, publish, roll back and explain policies.

    Example: sealgate policy show

    Next: sealgate policy explain --help
    """,
)

PolicyFile = Annotated[
    Path, typer.Argument(help="Cedar policies.", exists=True, dir_okay=False, readable=True)
]


@app.command("show")
def show_policy(
    epoch: Annotated[int | None, typer.Option(help="An earlier one, by its epoch.", min=1)] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the policy set in force, or an earlier one.

    Example: sealgate policy show > policies.cedar

    Next: sealgate policy validate policies.cedar
    """
    with connect(profile) as connection:
        found = connection.get("/v1/policies" if epoch is None else f"/v1/policies/history/{epoch}")
    note(f"epoch {found['epoch']}, published by {found['author']}")
    show_text(found["text"], found, as_json=as_json)


@app.command()
def validate(file: PolicyFile, profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Tell what is wrong with a policy set; nothing is changed.

    Example: sealgate policy validate policies.cedar

    Next: sealgate policy publish policies.cedar
    """
    with connect(profile) as connection:
        found = connection.post("/v1/policies/validate", {"text": _read(file)})
    if as_json:
        show(found, as_json=True)
    else:
        show_list(
            found["problems"], as_json=False, columns=("policy", "reason"), empty="no problem found"
        )
    if not found["valid"]:
        raise CommandFailed("the policy set is not valid", ExitCode.FAILED)


@app.command()
def publish(
    file: PolicyFile,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring a policy set into force; every later decision uses it.

    Example: sealgate policy publish policies.cedar

    Next: sealgate policy explain infer MODEL VERSION
    """
    text = _read(file)
    with connect(profile) as connection:
        if plan:
            found = connection.post("/v1/policies/validate", {"text": text})
            planned(plan, as_json, "publish a policy set", **found)
            return
        try:
            show(connection.put("/v1/policies", {"text": text}), as_json=as_json)
        except CommandFailed as refused:
            if refused.code is ExitCode.USAGE:
                refused.advice = f"sealgate policy validate {file}"
            raise


@app.command()
def history(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List the policy sets that were published, the newest last.

    Example: sealgate policy history

    Next: sealgate policy rollback EPOCH
    """
    with connect(profile) as connection:
        found = list(connection.items("/v1/policies/history"))
    rows = found if as_json else [{**one, "created": moment(one["created"])} for one in found]
    columns = ("epoch", "created", "author", "digest")
    show_list(rows, as_json=as_json, columns=columns, empty="no policy set was published yet")


@app.command()
def rollback(
    epoch: Annotated[
        int | None,
        typer.Argument(help="Of the set to publish once more; by default the one before.", min=1),
    ] = None,
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Publish an earlier policy set once more; every later decision uses it.

    Example: sealgate policy rollback

    Next: sealgate policy history
    """
    if planned(plan, as_json, "publish an earlier policy set once more", epoch=epoch):
        return
    with connect(profile) as connection:
        show(connection.post("/v1/policies/rollback", {"epoch": epoch}), as_json=as_json)


@app.command()
def rescue(
    tenant: Annotated[str, typer.Argument(help="In which nobody can publish policies any more.")],
    epoch: Annotated[
        int | None,
        typer.Option(help="Of the set; by default the one that a tenant starts with.", min=1),
    ] = None,
    confirm: Annotated[str, typer.Option(help="Repeat the tenant: its set is replaced.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring an earlier policy set back for a tenant that has locked itself out.

    It takes two administrators: the order waits for the second one (exit code 7). It is refused
    while somebody of the tenant can publish, and recorded in the tenant's log too.

    Example: sealgate policy rescue st-mary --confirm st-mary

    Next: sealgate approval list
    """
    body = {"tenant": tenant, "epoch": epoch}
    if planned(plan, as_json, "bring an earlier policy set back", **body):
        return
    check_confirmed(confirm, tenant)
    with connect(profile) as connection:
        found = connection.post("/v1/policies/rescue", body)
    if "approval" in found:
        raise told_to_wait(found, as_json=as_json)
    show(found, as_json=as_json)


app.command()(explain)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as cause:
        raise CommandFailed(f"{file} cannot be read as text", ExitCode.USAGE) from cause
