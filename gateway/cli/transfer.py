"""Large files on their way up, with a bar; `gateway.cli.download` is the way down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed
from gateway.cli.output import progress

BLOCK: Final = 1 << 20


def upload(connection: Connection, model: str, path: Path, *, quiet: bool, **about: str) -> str:
    """Send a file, which the gateway seals while it arrives; return the upload's id.

    Args:
        connection: To the gateway.
        model: What it is for.
        path: The file.
        quiet: Show no progress.
        **about: More of the query, such as `use`.

    Raises:
        CommandFailed: The file cannot be read, or the gateway refuses it.
    """
    try:
        length = path.stat().st_size
        file = path.open("rb")
    except OSError as cause:
        raise CommandFailed(f"{path} cannot be read") from cause
    with file, progress(f"upload {path.name}", quiet=quiet) as advance:

        def content() -> Iterator[bytes]:
            sent = 0
            while block := file.read(BLOCK):
                yield block
                sent += len(block)
                advance(sent, length)

        answer = connection.send(
            "POST",
            "/v1/uploads",
            params={"model": model, **about},
            content=content(),
            headers={"content-length": str(length), "content-type": "application/octet-stream"},
        )
    return str(answer.json()["id"])
