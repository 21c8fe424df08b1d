"""What a restored gateway does before it serves: it records the restore, and takes back again.

Safety argument:
1. `sealgate restore` leaves a note in the folder. While it is there the gateway is not ready: at
   the start one event `restore` is written to each log, right behind its last entry of the backup,
   with an id that follows from the note. Killed in between, the next start goes on.
2. Then each erasure that the restore undid is made again, as an intent like any other: key, mapping
   and sealed fields are gone, and the log says why, before a request comes in.
3. Each key for releases or policy sets that was replaced is replaced once more, as one that is
   lost: the backup's is in force nowhere, and partners who know its successor get a new kit.
4. Who was signed in signs in anew, no secret for one use is good any more, and nothing waits for a
   second person: the backup has those that were used, ended, granted or withdrawn since.
5. The note goes away when all of it is durable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from audit.event import PLATFORM_TENANT
from gateway.artifacts.guarded_file import sync_folder
from gateway.authorization.event_ids import derived_id
from gateway.authorization.recorder import Recorder
from gateway.errors import ConfigurationError

RESTORE_FILE: Final = "restore.json"
ACTION: Final = "restore"


class RestoreNote(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore leaves for the next start.

    Attributes:
        id: Of this restore.
        backup: Id of the backup.
        digest: SHA-256 of its manifest.
        entries: Of each log in the backup, by tenant.
        kept: Entries by the newest checkpoint that was kept, by tenant, where it was given.
        erase: Tenant and reference of each subject to erase again.
        replace: Each key to replace again, as events name it.
    """

    id: str
    backup: str
    digest: str
    entries: dict[str, int]
    kept: dict[str, int]
    erase: list[tuple[str, str]]
    replace: list[str] = []


class Restored:
    """Settles what a restore left in a data folder; does nothing where none did.

    Args:
        data: The data folder.
        recorder: Makes events durable.
        erase: Erases (tenant, reference) again; can be repeated.
        replace: Replaces a key again, as events name it; can be repeated.
        forget: Each forgets what may have been used since: every sign-in and every secret for one
            use, every request that waits for a second person; can be repeated.

    Raises:
        ConfigurationError: The note is there and cannot be read.
    """

    def __init__(
        self,
        data: Path,
        recorder: Recorder,
        erase: Callable[[str, str], object],
        replace: Callable[[str], object],
        forget: Sequence[Callable[[], object]],
    ) -> None:
        self._path = data / RESTORE_FILE
        self._recorder = recorder
        self._erase = erase
        self._replace = replace
        self._forget = forget
        self._note = _read(self._path)

    def record(self) -> None:
        """Record the restore in every log; blocks. Call it before anything else is recorded.

        Raises:
            EvidenceUnavailable: It could not be recorded: the process must not become ready.
        """
        if self._note is None:
            return
        note = self._note
        for tenant in {PLATFORM_TENANT: 0, **note.entries}:
            event_id = derived_id(f"sealgate restore\n{note.id}\n{tenant}")
            if self._recorder.find(tenant, event_id) is None:
                self._write(note, tenant, event_id)

    def finish(self) -> None:
        """Take back again what was taken back, and forget the note; blocks. Call it after recovery.

        Raises:
            SealgateError: Something could not be taken back: the process must not become ready.
        """
        if self._note is None:
            return
        for forget in self._forget:
            forget()
        for tenant, ref in self._note.erase:
            self._erase(tenant, ref)
        for key in self._note.replace:
            self._replace(key)
        self._path.unlink()
        sync_folder(self._path.parent)
        structlog.get_logger().warning(
            "restored",
            backup=self._note.backup,
            erased_again=len(self._note.erase),
            replaced_again=self._note.replace,
        )
        self._note = None

    def _write(self, note: RestoreNote, tenant: str, event_id: str) -> None:
        size = note.entries.get(tenant, 0)
        kept = note.kept.get(tenant, 0)
        event = self._recorder.event_for(
            None,
            ACTION,
            "done",
            id=event_id,
            tenant=tenant,
            actor_type="operator",
            resource=f"Backup::{note.backup}",
            reason="entries_lost" if kept > size else "restored",
            n_in=size,
            prev_checkpoint_size=kept,
            input_commit=note.digest,
        )
        self._recorder.write(event)


def _read(path: Path) -> RestoreNote | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RestoreNote)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, ValueError):
        raise ConfigurationError(
            f"`{RESTORE_FILE}` cannot be read, so the restore cannot be recorded",
            "restore the backup once more, into another folder",
        ) from None
