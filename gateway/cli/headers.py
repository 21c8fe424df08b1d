"""`sealgate headers`: one request's token and proof, for programs that make none themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.connection import connect
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, ProfileOption, show_text


def headers(
    method: Annotated[str, typer.Argument(help="Of the request: GET, POST, …")],
    path: Annotated[str, typer.Argument(help="Of the request, for instance /v2/models/m/infer.")],
    profile: ProfileOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the headers that authenticate one request, once and within a minute.

    Pass them through a pipe, so that they are in no file and in no list of processes.

    Example: sealgate headers GET /v2/models/digits | curl -H @- https://models.example/v2/models/digits

    Next: sealgate call --help
    """
    if not path.startswith("/"):
        raise CommandFailed(
            "the path begins with `/`", ExitCode.USAGE, "leave scheme, host and port out"
        )
    with connect(profile) as connection:
        made = connection.headers(method.upper(), path.partition("?")[0])
    lines = "".join(f"{name}: {value}\n" for name, value in made.items())
    show_text(lines, made, as_json=as_json)
