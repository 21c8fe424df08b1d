"""What another distribution could add."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def shine() -> None:
    """Shine."""
    print("it shines")


@app.command("list")
def list_() -> None:
    """The plugin's list."""
