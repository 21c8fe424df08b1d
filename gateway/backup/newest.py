"""The note of the newest backup, in the data folder: how old it is, for doctor and metrics."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

NOTE_FILE: Final = "backup.json"
MAX_NOTE_BYTES: Final = 64 << 10


class Newest(msgspec.Struct, frozen=True, kw_only=True):
    """The newest backup that was completed.

    Attributes:
        id: Of the backup.
        at: The moment that it shows, Unix seconds.
        entries: How many entries all logs had together.
    """

    id: str
    at: int
    entries: int


def read(data: Path) -> Newest | None:
    """Return the note of a data folder; None when no backup was completed, or it is unreadable."""
    try:
        with (data / NOTE_FILE).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_NOTE_BYTES), type=Newest)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def write(data: Path, newest: Newest) -> None:
    """Replace the note.

    Raises:
        OSError: It is as it was.
    """
    path = data / NOTE_FILE
    descriptor, fresh = tempfile.mkstemp(prefix=f"{NOTE_FILE}.", suffix=".new", dir=data)
    try:
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.encode(newest))
            file.flush()
            os.fsync(descriptor)
        os.replace(fresh, path)
    finally:
        Path(fresh).unlink(missing_ok=True)
