"""`sealgate profile`: list profiles, and choose which one commands use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import JsonFlag, show, show_list
from gateway.cli.profile import CURRENT, FOLDER, find_profile, named_profile
from gateway.client.errors import ProfileInvalid
from gateway.client.profile import load_profile

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""List profiles, and choose which one commands use.

    Example: sealgate profile list

    Next: sealgate profile use --help
    """,
)


@app.command("list")
def list_profiles(as_json: JsonFlag = False) -> None:
    """List the named profiles of this user; no secret is shown.

    Example: sealgate profile list

    Next: sealgate profile use NAME
    """
    used, folder = find_profile(None), FOLDER.expanduser()
    found = [_row(path, used=path == used) for path in sorted(folder.glob("*.json"))]
    show_list(
        found,
        as_json=as_json,
        columns=("name", "url", "client_id", "used"),
        empty="no named profile yet; next: sealgate login --url URL --profile NAME",
    )


@app.command("use")
def use_profile(
    name: Annotated[str, typer.Argument(help="Name of a profile.")], as_json: JsonFlag = False
) -> None:
    """Let commands use a profile unless they are told another one.

    Example: sealgate profile use st-mary

    Next: sealgate whoami
    """
    path = named_profile(name)
    if path.parent != FOLDER.expanduser() or not path.exists():
        raise CommandFailed(
            "there is no profile of this name", ExitCode.USAGE, "sealgate profile list"
        )
    CURRENT.expanduser().write_text(path.stem)
    show({"used": path.stem}, as_json=as_json)


def _row(path: Path, *, used: bool) -> dict[str, object]:
    try:
        found = load_profile(path)
    except ProfileInvalid as fault:
        return {"name": path.stem, "url": None, "client_id": fault.what, "used": used}
    return {"name": path.stem, "url": found.url, "client_id": found.client_id, "used": used}
