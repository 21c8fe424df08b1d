"""The last signed checkpoints, pinned outside the log's own store.

A pin is a lower bound: it is written shortly after the commit that it names. It shows at the next
start that the store was rolled back or exchanged while the log was stopped. Whoever can write both
files can roll back both, so keep copies elsewhere too (a witness, an auditor).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from audit.errors import LogRolledBack, StoreFault

MAX_PIN_BYTES = 64 << 20
"""A checkpoint takes 250 bytes: room for 200,000 tenants."""


class Pins(Protocol):
    """Keeps the newest signed checkpoint of each log."""

    def load(self) -> Mapping[str, bytes]:
        """Return the pinned notes by origin; empty if nothing was ever pinned.

        Raises:
            LogRolledBack: What is there cannot be understood.
        """
        ...

    def save(self, notes: Mapping[str, bytes]) -> None:
        """Durably replace all pins at once.

        Raises:
            StoreFault: They are as they were.
        """
        ...


class FilePins:
    """Pins in one JSON file, replaced whole.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Mapping[str, bytes]:
        """Return the pinned notes (see `Pins.load`)."""
        try:
            if self._path.stat().st_size > MAX_PIN_BYTES:
                raise LogRolledBack("the file of pinned checkpoints is too large")
            notes = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, ValueError) as fault:
            raise LogRolledBack("the file of pinned checkpoints is not readable") from fault
        return {origin: note.encode() for origin, note in notes.items()}

    def save(self, notes: Mapping[str, bytes]) -> None:
        """Write, sync and rename a new file over the old one (see `Pins.save`)."""
        content = msgspec.json.encode({origin: note.decode() for origin, note in notes.items()})
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as fault:
            raise StoreFault("the checkpoints could not be pinned") from fault
