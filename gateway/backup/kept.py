"""Checkpoints that were kept outside, against the logs of a backup. Pure.

1. A kept checkpoint counts when the log's key signed it. Of a log that the backup does not have, no
   key is at hand: it counts as wholly missing, which can only make the loss look larger.
2. One that is newer than the backup says how many entries are missing: its size less the backup's.
   One of the backup's size or older must be a head of the same tree: else the log was forked, and
   nothing makes that good (the caller walks the tree, `audit.verify_folder`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from audit.errors import NoteInvalid
from audit.note import Checkpoint, NoteVerifier, checkpoint_of
from gateway.backup.errors import BackupUnsound

NOT_A_CHECKPOINT: Final = "a kept checkpoint is none, or of another installation"
OF_THIS_LOG: Final = "give the one that was kept of this log"


def notes_of(content: bytes) -> list[bytes]:
    """Return the signed checkpoints of a kept file: one note, or a `checkpoints.json`.

    Raises:
        BackupUnsound: It is neither.
    """
    if not content.lstrip().startswith(b"{"):
        return [content]
    try:
        kept = msgspec.json.decode(content, type=dict[str, str])
    except (msgspec.MsgspecError, ValueError):
        raise BackupUnsound(NOT_A_CHECKPOINT, "give a signed checkpoint as it was kept") from None
    return [note.encode() for note in kept.values()]


def missing(
    kept: Iterable[bytes],
    sizes: Mapping[str, int],
    verifiers: Mapping[str, Sequence[NoteVerifier]],
    own: str,
) -> dict[str, int]:
    """Return how many entries are missing, by origin; nothing where none are.

    Args:
        kept: Signed checkpoints.
        sizes: Of the logs in the backup, by origin.
        verifiers: Of every key that those logs were ever signed with, by origin; also of those
            that followed after the backup, as far as exports tell.
        own: The name that all logs of the installation begin with.

    Raises:
        BackupUnsound: A checkpoint is malformed, of another installation, or not signed by the log.
    """
    newest: dict[str, int] = {}
    for note in kept:
        try:
            checkpoint = checkpoint_of(note)
        except NoteInvalid:
            raise BackupUnsound(NOT_A_CHECKPOINT, OF_THIS_LOG) from None
        if checkpoint.origin.rpartition("/")[0] != own:
            raise BackupUnsound(NOT_A_CHECKPOINT, OF_THIS_LOG)
        if checkpoint.origin in verifiers:
            _signed(note, checkpoint.origin, verifiers[checkpoint.origin])
        newest[checkpoint.origin] = max(checkpoint.size, newest.get(checkpoint.origin, 0))
    lost = {origin: size - sizes.get(origin, 0) for origin, size in newest.items()}
    return {origin: count for origin, count in lost.items() if count > 0}


def _signed(note: bytes, origin: str, verifiers: Sequence[NoteVerifier]) -> None:
    try:
        opened(note, verifiers)
    except NoteInvalid:
        raise BackupUnsound(
            f"no key that is known here has signed the kept checkpoint of {origin}",
            "the log's key may have been replaced since: give an --export of this log too",
        ) from None


def opened(note: bytes, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
    """Return the checkpoint of a note that one of the keys signed.

    Raises:
        NoteInvalid: None did.
    """
    for verifier in verifiers:
        with suppress(NoteInvalid):
            return verifier.open_checkpoint(note)
    raise NoteInvalid


def not_newer(kept: Iterable[bytes], sizes: Mapping[str, int]) -> list[bytes]:
    """Return the checkpoints that the logs of the backup must have grown out of."""
    found = [(note, checkpoint_of(note)) for note in kept]
    return [note for note, one in found if one.size <= sizes.get(one.origin, 0)]
