"""`sealgate whoami`."""

from __future__ import annotations

import typer

from gateway.cli.connection import connect
from gateway.cli.output import JsonFlag, ProfileOption, moment, show

app = typer.Typer(help="Show how the gateway sees you.", add_completion=False)


@app.command()
def whoami(profile: ProfileOption = None, as_json: JsonFlag = False) -> None:
    """Show how the gateway sees you.

    Example: sealgate whoami

    Next: sealgate model list
    """
    with connect(profile) as connection:
        seen = connection.get("/v1/whoami")
    if not as_json:
        seen["expires"] = moment(seen["expires"])
    show(seen, as_json=as_json)
