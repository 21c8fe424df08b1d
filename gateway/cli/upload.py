"""`sealgate model upload`: what was sent and waits to be published, and giving it up."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode, check_confirmed
from gateway.cli.output import JsonFlag, PlanFlag, ProfileOption, planned, show, show_list

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""List and discard uploads that wait to be published; they expire in a day.

    Example: sealgate model upload list

    Next: sealgate model upload discard UPLOAD --confirm UPLOAD
    """,
)


@app.command("list")
def list_uploads(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """List your uploads; another client's are not shown. Compare `digest` with `sha256sum FILE`.

    Example: sealgate model upload list

    Next: sealgate model upload discard UPLOAD --confirm UPLOAD
    """
    with connect(profile) as connection:
        show_list(
            connection.items("/v1/uploads"),
            as_json=as_json,
            columns=("id", "use", "length", "digest", "created", "expires"),
            empty="no upload waits",
        )


@app.command("discard")
def discard_upload(
    upload: Annotated[str, typer.Argument(help="Id of the upload, as `list` shows it.")],
    confirm: Annotated[str, typer.Option(help="Repeat the id: this cannot be undone.")] = "",
    profile: ProfileOption = None,
    plan: PlanFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Discard an upload of yours; what is being published stays.

    Example: sealgate model upload discard 018f… --confirm 018f…

    Next: sealgate model upload list
    """
    check_confirmed(confirm, upload)
    if planned(plan, as_json, "discard an upload", upload=upload):
        return
    with connect(profile) as connection:
        try:
            connection.send("DELETE", f"/v1/uploads/{upload}")
        except CommandFailed as refused:
            if refused.code is ExitCode.NOT_FOUND:
                refused.advice = "sealgate model upload list"
            raise
    show({"upload": upload, "state": "discarded"}, as_json=as_json)
