"""Options of commands that ask what is trusted; apart, so that help starts fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TrustOption = Annotated[
    Path | None,
    typer.Option(
        "--trust", help="Folder with what you trust; else SEALGATE_TRUST, else the default one."
    ),
]
FromOption = Annotated[
    str | None, typer.Option("--from", help="Tenant whose model it is, if you trust several.")
]
