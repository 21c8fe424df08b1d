"""`sealgate init`: make a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import JsonFlag, note, show_text


def init(
    data: Annotated[
        Path, typer.Option("--data", help="Folder to make; nothing is overwritten.")
    ] = (Path("sealgate-data")),
    public_url: Annotated[
        str, typer.Option(help="Address that callers use; https unless it is this machine.")
    ] = "http://127.0.0.1:8080",
    origin: Annotated[
        str | None, typer.Option(help="Name of the audit logs; by default the host of the address.")
    ] = None,
    region: Annotated[str, typer.Option(help="Where the data lives, as policies name it.")] = "eu",
    database_url: Annotated[
        str | None,
        typer.Option(
            help="PostgreSQL for models, clients and policies, as postgresql://USER@HOST/NAME; "
            "a file in the folder by default."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make keys, databases, the platform tenant and the first administrator.

    The administrator acts alone at first; that is recorded as the first entry of the log, and ends
    with the second administrator or after 30 days.

    Example: sealgate init --data ./sealgate-data

    Next: sealgate serve --data ./sealgate-data
    """
    import os
    import secrets
    import shlex
    import time
    from urllib.parse import urlsplit

    from gateway.cli.failures import CommandFailed, ExitCode
    from gateway.composition.bootstrap import Plan, found, without_password
    from gateway.composition.environment import Environment

    os.umask(0o077)
    try:
        url = urlsplit(public_url)
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if not host:
        what, advice = "--public-url is no address", "sealgate init --public-url https://HOST"
        raise CommandFailed(what, ExitCode.USAGE, advice)
    settings: dict[str, str | int] = {
        "public_url": public_url,
        "audit_origin": origin or host,
        "region": region,
    }
    if port is not None:
        settings["port"] = port
    if database_url is not None:
        settings["database_url"] = without_password(database_url)
    environment = Environment(time.time, time.monotonic, secrets.token_bytes)
    made = found(data, Plan(settings, region), environment)
    lines = (
        f"made {data}",
        f"administrator: {made.profile}",
        f"log key (keep a copy elsewhere): {made.log_key}",
    )
    facts = {"data": str(data), "profile": str(made.profile), "log_key": made.log_key}
    show_text("\n".join(lines), facts, as_json=as_json)
    note(f"next: sealgate serve --data {shlex.quote(str(data))}")
