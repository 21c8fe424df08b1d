"""`sealgate policy`: show, check, publish and explain policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    note,
    planned,
    show,
    show_list,
    show_text,
)
from gateway.cli.shared_names import wire_name

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Show, check, publish and explain policies.

    Example: sealgate policy show

    Next: sealgate policy explain --help
    """,
)

PolicyFile = Annotated[
    Path, typer.Argument(help="Cedar policies.", exists=True, dir_okay=False, readable=True)
]


@app.command("show")
def show_policy(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show the policy set in force.

    Example: sealgate policy show > policies.cedar

    Next: sealgate policy validate policies.cedar
    """
    with connect(profile) as connection:
        found = connection.get("/v1/policies")
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
def explain(
    action: Annotated[str, typer.Argument(help="For instance infer or downloadArtifact.")],
    model: Annotated[str, typer.Argument(help="Name of a model.")],
    version: Annotated[str, typer.Argument(help="Version of it.")],
    verdict: Annotated[
        str | None,
        typer.Option(help="What the screen would say: pass, flag, degrade, block or unscreened."),
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell how a request of yours would be decided, and by which policies.

    Example: sealgate policy explain releaseOutput tumour 1.0 --verdict flag

    Next: sealgate policy show
    """
    body = {"action": action, "model": wire_name(model), "version": version, "verdict": verdict}
    with connect(profile) as connection:
        show(connection.post("/v1/policies/explain", body), as_json=as_json)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as cause:
        raise CommandFailed(f"{file} cannot be read as text", ExitCode.USAGE) from cause
