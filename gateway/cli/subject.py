"""`sealgate subject`: find, show and erase a data subject."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import (
    JsonFlag,
    PlanFlag,
    ProfileOption,
    event_row,
    planned,
    show,
    show_list,
    show_text,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Find, show and erase a data subject.

    Example: echo MRN-0042 | sealgate subject lookup

    Next: sealgate subject show REF
    """,
)

Reference = Annotated[str, typer.Argument(help="Reference of the person (sub_…).")]


@app.command()
def lookup(
    file: Annotated[
        Path | None, typer.Option("--file", help="File with the identifier; else standard input.")
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Find the reference of a person by an identifier, which is read and never shown.

    Example: echo MRN-0042 | sealgate subject lookup

    Next: sealgate subject show REF
    """
    try:
        text = sys.stdin.readline() if file is None else file.read_text()
    except (OSError, UnicodeDecodeError) as cause:
        raise CommandFailed("the identifier cannot be read", ExitCode.USAGE) from cause
    if not text.strip():
        raise CommandFailed("no identifier was given", ExitCode.USAGE)
    with connect(profile) as connection:
        found = connection.post("/v1/subjects/lookup", {"identifier": text.strip()})
    show_text(found["ref"], found, as_json=as_json)


@app.command("show")
def show_subject(
    reference: Reference, profile: ProfileOption = None, as_json: JsonFlag = False
) -> None:
    """Show every event that concerns a person. The reading itself is recorded.

    Example: sealgate subject show sub_0f…

    Next: sealgate subject erase sub_0f… --confirm sub_0f…
    """
    with connect(profile) as connection:
        items = list(connection.items(f"/v1/subjects/{reference}"))
    columns = ("index", "time", "action", "outcome", "purpose", "model_id", "client_id")
    shown = items if as_json else [event_row(item) for item in items]
    show_list(shown, as_json=as_json, columns=columns, empty="nothing concerns this person")


@app.command()
def erase(
    reference: Reference,
    confirm: Annotated[str, typer.Option(help="Repeat the reference: this cannot be undone.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Erase what is personal about a person; the log stays verifiable.

    Example: sealgate subject erase sub_0f… --confirm sub_0f…

    Next: sealgate audit verify --key KEY
    """
    if planned(plan, as_json, "erase", subject=reference):
        return
    if confirm != reference:
        raise CommandFailed(
            "nothing was erased", ExitCode.USAGE, f"add --confirm {reference}; it cannot be undone"
        )
    with connect(profile) as connection:
        done = connection.post(f"/v1/subjects/{reference}/erase", {"confirm": confirm})
    show(done, as_json=as_json)
