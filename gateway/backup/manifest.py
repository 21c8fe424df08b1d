"""What a backup holds, said by the gateway that made it. Pure.

1. The manifest names every member with its size and SHA-256: a member that is absent, extra or
   other is found.
2. It is signed by a key of the keystore (C2SP signed-note): who has not the secret that opens the
   keystore cannot change a client, a policy or anything else of a backup and make it look whole.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Literal

import msgspec

from audit.errors import NoteInvalid
from audit.note import LogSigner, NoteVerifier
from gateway.backup.errors import BackupUnsound
from gateway.strict_json import strict_json

MAX_MANIFEST_BYTES: Final = 256 << 20
"""A payload takes 180 bytes of it: room for a million."""
MAX_SIGNATURE_BYTES: Final = 4096
SIGNING: Final = "backup"
"""The purpose of the key, as the keystore names it."""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member of the archive."""

    name: str
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a backup holds.

    Attributes:
        id: Of this backup; a UUIDv7.
        at: The moment that it shows, Unix seconds.
        version: Of the gateway that made it.
        origin: The name of the audit logs (`audit_origin`).
        database: Where the records of the control plane are: in `control.db`, in a dump of
            PostgreSQL, or `apart`, in a dump that the operator makes.
        checkpoints: The newest signed checkpoint of each log at that moment.
        files: Every member but the manifest and its signature.
        damaged: Payloads that were not what their names say when the backup was made: left out.
        left_out: Names in the data folder that no backup takes.
    """

    format: Literal["sealgate-backup/1"] = "sealgate-backup/1"
    id: str
    at: int
    version: str
    origin: str
    database: Literal["sqlite", "postgresql", "apart"]
    checkpoints: dict[str, str]
    files: list[File]
    damaged: list[str]
    left_out: list[str]

    def entries(self) -> int:
        """Return how many entries all logs have together."""
        return sum(int(note.split("\n")[1]) for note in self.checkpoints.values())


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest, with line breaks for people."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        BackupUnsound: It is none, or of another format.
    """
    try:
        return msgspec.convert(strict_json(data), Manifest)
    except (msgspec.MsgspecError, ValueError):
        what = "the manifest of the backup cannot be read, or is of a newer release"
        raise BackupUnsound(what, "use the release that made the backup, or a newer one") from None


def sign(data: bytes, signer: LogSigner) -> bytes:
    """Return the signed note over a manifest's bytes."""
    return signer.sign(_text(data))


def check_signature(data: bytes, signature: bytes, verifier: NoteVerifier) -> None:
    """Hold the bytes of a manifest to their signature.

    Raises:
        BackupUnsound: This key did not sign them.
    """
    try:
        signed = verifier.open(signature)
    except NoteInvalid:
        signed = ""
    if signed != _text(data):
        raise BackupUnsound("the backup was changed, or made by another gateway")


def _text(data: bytes) -> str:
    return f"sealgate backup v1\n{sha256(data).hexdigest()}\n"
