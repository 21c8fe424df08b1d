"""A backup read once, from its beginning to its end, and held to its manifest.

1. Every member is hashed while it is read; the manifest, which comes last, must name exactly those
   members with those sizes and hashes.
2. What is written goes into a folder that was made for it, under names that a backup has, as new
   files for their owner alone, synced. The caller throws the folder away when this raises.
3. Only `Contents.check` says who made it: until then a hash proves that nothing was damaged, not
   that nobody changed it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from audit.note import NoteVerifier
from gateway.artifacts.guarded_file import sync_folder
from gateway.backup.archive import MANIFEST, PAYLOADS, SIGNATURE, Member, members
from gateway.backup.errors import BackupRefused, BackupUnsound
from gateway.backup.manifest import (
    MAX_MANIFEST_BYTES,
    MAX_SIGNATURE_BYTES,
    File,
    Manifest,
    check_signature,
    decode,
)

_LIMITS: Final = {MANIFEST: MAX_MANIFEST_BYTES, SIGNATURE: MAX_SIGNATURE_BYTES}


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup says of itself.

    Attributes:
        manifest: Fits the members.
        encoded: Its bytes.
        signature: A signed note over them; not checked yet.
    """

    manifest: Manifest
    encoded: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of the manifest, which says what backup it is."""
        return sha256(self.encoded).hexdigest()

    def check(self, verifier: NoteVerifier) -> None:
        """Make sure that this key signed the manifest.

        Raises:
            BackupUnsound: It did not.
        """
        check_signature(self.encoded, self.signature, verifier)


def read(
    path: Path, place: Callable[[str], Path | None], advance: Callable[[int, int], None]
) -> Contents:
    """Read a backup; write the members that have a place.

    Args:
        path: The backup.
        place: Returns where a member goes, a path that does not exist, or None.
        advance: Told how many bytes of how many are read.

    Raises:
        BackupRefused: The file cannot be read, or a member not be written.
        BackupUnsound: The file is not what a backup is.
    """
    found: dict[str, File] = {}
    kept: dict[str, bytes] = {}
    try:
        with path.open("rb") as source:
            total = os.fstat(source.fileno()).st_size
            for member in members(source):
                if member.name in _LIMITS:
                    kept[member.name] = _whole(member)
                else:
                    found[member.name] = _written(member, place(member.name))
                advance(source.tell(), total)
    except OSError as fault:
        raise BackupRefused(
            f"{path} cannot be read, or what is in it not be written ({fault.strerror})",
            "check the path, and the room that is left",
        ) from fault
    if not kept.keys() >= _LIMITS.keys():
        raise BackupUnsound("the backup has no manifest")
    manifest = decode(kept[MANIFEST])
    _compare(manifest, found)
    return Contents(manifest, kept[MANIFEST], kept[SIGNATURE])


def _compare(manifest: Manifest, found: dict[str, File]) -> None:
    said = {file.name: file for file in manifest.files}
    if len(said) != len(manifest.files):
        raise BackupUnsound("the manifest names a member twice")
    for name in sorted(said.keys() | found.keys()):
        if name not in found:
            raise BackupUnsound(f"`{name}` is missing from the backup")
        if name not in said:
            raise BackupUnsound(f"`{name}` is in the backup, and not in its manifest")
        if said[name] != found[name]:
            raise BackupUnsound(f"`{name}` is not what was backed up")
        if name.startswith(PAYLOADS) and name != PAYLOADS + found[name].sha256:
            raise BackupUnsound("a payload is not what its name says")


def _whole(member: Member) -> bytes:
    if member.size > _LIMITS[member.name]:
        raise BackupUnsound("the manifest of the backup is too large")
    return b"".join(member.chunks())


def _written(member: Member, to: Path | None) -> File:
    hashed = sha256()
    out = None if to is None else _new(to)
    try:
        for data in member.chunks():
            hashed.update(data)
            if out is not None:
                out.write(data)
        if out is not None:
            out.flush()
            os.fsync(out.fileno())
    finally:
        if out is not None:
            out.close()
    return File(member.name, member.size, hashed.hexdigest())


def _new(path: Path) -> BinaryIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def sync_folders(folder: Path) -> None:
    """Make the names in a folder and in all below it durable."""
    for path, _, _ in os.walk(folder):
        sync_folder(Path(path))
