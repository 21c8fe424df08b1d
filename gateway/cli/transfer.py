"""Large files: up with a bar, down with resume."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import Advance, check_writable, progress

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


def download(
    connection: Connection, path: str, payload: dict[str, Any], recipient: str, out: Path
) -> None:
    """Write header and payload as one age file; goes on where an earlier attempt was cut off.

    Args:
        connection: To the gateway.
        path: The payload's resource.
        payload: Its `digest` and `length`.
        recipient: The age public key that the file is for.
        out: Where the file goes; written beside it first.

    Raises:
        CommandFailed: `out` cannot be written, the gateway refuses, the connection was cut, or the
            digest is wrong.
    """
    check_writable(out)
    part, notes = out.with_name(out.name + ".part"), out.with_name(out.name + ".part.json")
    header_length = _resumable(part, notes, payload["digest"], recipient)
    if header_length is None:
        answer = connection.send(
            "POST", f"{path}/header", headers={"sealgate-recipient": recipient}
        )
        header_length = len(answer.content)
        part.write_bytes(answer.content)
        _remember(notes, payload["digest"], recipient, header_length)
    with progress(f"download {out.name}") as advance:
        _fetch(connection, path, payload, recipient, part, header_length, advance)
    if _payload_digest(part, header_length) != payload["digest"]:
        part.unlink()
        notes.unlink()
        raise CommandFailed(
            "the payload does not have its signed digest", ExitCode.UNVERIFIED, "download it again"
        )
    os.replace(part, out)
    notes.unlink()


def _fetch(
    connection: Connection,
    path: str,
    payload: dict[str, Any],
    recipient: str,
    part: Path,
    header_length: int,
    advance: Advance,
) -> None:
    start, length = part.stat().st_size - header_length, payload["length"]
    if start == length:
        return
    headers = {
        "sealgate-recipient": recipient,
        "range": f"bytes={start}-",
        "if-range": f'"{payload["digest"]}"',
    }
    with connection.stream("GET", path, headers=headers) as answer, part.open("ab") as file:
        if answer.status_code != 206:
            file.truncate(header_length)
            start = 0
        for block in answer.iter_raw(BLOCK):
            file.write(block)
            start += len(block)
            advance(start, length)


def _resumable(part: Path, notes: Path, digest: str, recipient: str) -> int | None:
    """Return the header's length if `part` belongs to this payload and this recipient."""
    try:
        kept = json.loads(notes.read_text())
        fits = kept["digest"] == digest and kept["recipient"] == recipient
        length = int(kept["header_length"])
        return length if fits and part.stat().st_size >= length else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(notes: Path, digest: str, recipient: str, header_length: int) -> None:
    kept = {"digest": digest, "recipient": recipient, "header_length": header_length}
    notes.write_text(json.dumps(kept))


def _payload_digest(part: Path, header_length: int) -> str:
    digest = hashlib.sha256()
    with part.open("rb") as file:
        file.seek(header_length)
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
