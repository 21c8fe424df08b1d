"""What the gateway tells of a version: manifest and signatures, read with bounds, not verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.artifacts.canonical import well_formed
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import release_key_id
from gateway.artifacts.manifest import MANIFEST_LIMIT
from gateway.artifacts.release import public_release_key
from gateway.artifacts.release_document import DOCUMENT_LIMIT, ReleaseDocument
from gateway.artifacts.release_keys import parse_succession
from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.reading import unverified

NOT_OURS: Final = "the answer is not one of a sealgate gateway, or is too large"
AS_IT_IS: Final = {"accept-encoding": "identity"}
"""Asks whoever is in between for the bytes as they are: a bound on what comes is one on what is."""
_BLOCK: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Told:
    """What the gateway says of a version.

    Attributes:
        document: Manifest and signatures.
        release_key: The tenant's release key as the gateway shows it, PEM.
    """

    document: ReleaseDocument
    release_key: bytes

    def release_key_id(self) -> str:
        """Return the release key as kits write it.

        Raises:
            CommandFailed: It is no such key, or there is more than one.
        """
        try:
            return release_key_id(public_release_key(self.release_key))
        except StatementInvalid as error:
            raise unverified(error, "ask the owner over another channel") from error


class _Signatures(msgspec.Struct, frozen=True):
    release_key: str
    owner_bundle: bytes
    owner_key: str
    link: bytes
    successions: tuple[bytes, ...] = ()


def fetch_told(connection: Connection, resource: str) -> Told:
    """Fetch manifest and signatures of a version.

    Args:
        connection: To the gateway.
        resource: Path of the version.

    Raises:
        CommandFailed: The gateway refuses, or answers with something else or with too much.
    """
    manifest = fetch_bounded(connection, "GET", f"{resource}/manifest", MANIFEST_LIMIT)
    signatures = fetch_bounded(connection, "GET", f"{resource}/signatures", DOCUMENT_LIMIT)
    try:
        with well_formed():
            told = msgspec.json.decode(signatures, type=_Signatures)
        successions = tuple(map(parse_succession, told.successions))
    except StatementInvalid as error:
        raise _not_ours() from error
    document = ReleaseDocument(
        manifest=manifest,
        link=told.link,
        owner_bundle=told.owner_bundle,
        owner_key=told.owner_key,
        successions=successions,
    )
    return Told(document, told.release_key.encode("ascii", "replace"))


def fetch_bounded(
    connection: Connection, method: str, path: str, limit: int, **arguments: Any
) -> bytes:
    """Return the body of an answer that may not be larger than `limit` bytes.

    Raises:
        CommandFailed: The gateway refuses, or answers with more.
    """
    data = bytearray()
    headers = {**arguments.pop("headers", {}), **AS_IT_IS}
    with connection.stream(method, path, headers=headers, **arguments) as answer:
        for block in answer.iter_raw(_BLOCK):
            data += block
            if len(data) > limit:
                raise _not_ours()
    return bytes(data)


def _not_ours() -> CommandFailed:
    return CommandFailed(NOT_OURS, ExitCode.UNVERIFIED, "check `url` of the profile")
