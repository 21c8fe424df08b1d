"""What happened after a backup, read from exports of the log: a restore undoes it.

1. An export counts when it verifies with the log's key and has grown out of the backup's log. It
   names the keys that followed since, each signed by the one before: they count as the log's.
2. Erasures are done again before the restored gateway serves (`gateway.composition.restored`).
   So is each replacement of a key that signs releases or policy sets: the backup has the old key.
   Everything else that was taken away or given is told, for a person to do again.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from audit.errors import EventInvalid
from audit.event import ERASE_ACTION, Event, decode
from audit.tiles import WIDTH, TileAddress, tile_path, tiles_of
from audit.verify import MAX_NOTE, Head, Tree, open_note, verify_export
from gateway.backup.errors import BackupRefused, BackupUnsound

CHANGES: Final = frozenset(
    {"administer", "managePolicy", "promote", "revokeToken", "rollback", "rotateLogKey"}
)
"""Actions whose results are told, beside erasures."""
SIGNING_KEYS: Final = ("Key::release/", "Key::policy/")
"""What the resources of such keys begin with."""
UPLOAD: Final = "uploadArtifact"
"""Told after those, unless it is of a sharing: a version that is not there harms nobody, a grant
that is back may."""
MOST_TOLD: Final = 1000
"""Of each of the two, so that uploads crowd nothing out."""


class Change(msgspec.Struct, frozen=True):
    """A change that the restore undoes, by its place in the lost log; `late`: it is told last."""

    receipt: str
    action: str
    resource: str
    reason: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class Since:
    """What an export says.

    Attributes:
        note: Its checkpoint.
        keys: The vkeys that the log was signed with, oldest first, if it ever changed.
        tenant: Whose log it is.
        erased: References of subjects that were erased.
        replaced: Keys for releases and policy sets that others followed, as resources.
        changes: The other changes, at most `MOST_TOLD`, and behind them as many uploads.
        cut: How many more there were.
    """

    note: bytes
    keys: tuple[str, ...]
    tenant: str
    erased: tuple[str, ...]
    replaced: tuple[str, ...]
    changes: tuple[Change, ...]
    cut: int


def since(path: Path, keys: Sequence[str], head: bytes) -> Since:
    """Read what an export has beyond the backup.

    Args:
        path: The export.
        keys: The log's vkeys.
        head: The log's checkpoint in the backup; the export must have grown out of it, or be older.

    Raises:
        BackupUnsound: It does not verify, or is another log than the backup's.
        BackupRefused: It cannot be read.
    """
    try:
        size = open_note(head).size
        older = checkpoint_of_export(path).size < size
        report = verify_export(path, keys, () if older else (head,))
        if report.status != "VERIFIED":
            found = next((one.what for tree in report.trees for one in tree.findings), "no key")
            raise BackupUnsound(f"an export does not fit the backup: {found}")
        with zipfile.ZipFile(path) as archive:
            return _read(archive, report.trees[0], size)
    except OSError as fault:
        raise BackupRefused(f"{path} cannot be read", "check the path of the export") from fault


def checkpoint_of_export(path: Path) -> Head:
    """Return the checkpoint of an export; nothing is verified yet.

    Raises:
        BackupUnsound: It is no export.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("checkpoint") as note:
            return open_note(note.read(MAX_NOTE))
    except Exception as fault:  # whatever a foreign archive makes the library raise
        what = f"{path.name} is no export of a log"
        raise BackupUnsound(what, "sealgate audit export makes one") from fault


def _read(archive: zipfile.ZipFile, tree: Tree, size: int) -> Since:
    erased: dict[str, None] = {}
    replaced: dict[str, None] = {}
    changes: list[Change] = []
    uploads: list[Change] = []
    cut = 0
    note = archive.read("checkpoint")
    for index, event in _events(archive, open_note(note).size, size):
        if event.action == ERASE_ACTION and event.outcome in ("allow", "done"):
            erased.update(dict.fromkeys(event.subject_refs))
        elif event.outcome == "done" and event.resource.startswith(SIGNING_KEYS):
            replaced[event.resource] = None
        elif event.outcome == "done" and event.action in CHANGES | {UPLOAD}:
            late = event.action == UPLOAD and not event.terms
            told = uploads if late else changes
            if len(told) == MOST_TOLD:
                cut += 1
                continue
            receipt = f"{tree.origin}/{index}"
            told.append(Change(receipt, event.action, event.resource, event.reason, late))
    return Since(
        note=note,
        keys=tuple(tree.keys),
        tenant=tree.origin.rpartition("/")[2],
        erased=tuple(erased),
        replaced=tuple(replaced),
        changes=(*changes, *uploads),
        cut=cut,
    )


def _events(archive: zipfile.ZipFile, total: int, first: int) -> Iterator[tuple[int, Event]]:
    """Yield the events of a verified export from an index on; pruned ones are gone."""
    for address in tiles_of(total):
        begin = WIDTH * address.number
        if address.level != 0 or begin + address.width <= first:
            continue
        bundle = archive.read(tile_path(TileAddress(None, address.number, address.width)))
        at = 0
        for index in range(begin, begin + address.width):
            length = int.from_bytes(bundle[at : at + 2], "big")
            body, at = bundle[at + 2 : at + 2 + length], at + 2 + length
            if index < first or not body:
                continue
            try:
                yield index, decode(body)
            except EventInvalid as fault:
                raise BackupUnsound("an export has an entry that is no event") from fault
