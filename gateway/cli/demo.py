"""`sealgate demo`: a working place and a tour of what it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.extras import require_extras
from gateway.cli.output import JsonFlag, show_line


def demo(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where it is built; an earlier demo is replaced.")
    ] = Path(".sealgate-demo"),
    once: Annotated[bool, typer.Option(help="End after the tour.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Build a working place on this machine and show every promise kept on real input.

    Two tenants, a gateway, three hospital sites; a ✓ or ✗ for each promise. It stays up afterwards
    and prints addresses and sign-ins; `demo.json` in the folder has them for scripts.

    Example: sealgate demo --once

    Next: sealgate audit search --profile .sealgate-demo/profiles/clinic-officer.json
    """
    from rich.console import Console

    require_extras("flwr", "sklearn", "art")
    from gateway.demo.tour import take

    def told(promise: str, kept: bool, detail: str) -> None:
        line = {"promise": promise, "kept": kept, "detail": detail}
        show_line(line, as_json=True, columns=())

    console = Console(soft_wrap=True, quiet=as_json)
    raise typer.Exit(take(folder, console, once=once, told=told if as_json else None))
