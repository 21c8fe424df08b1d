"""Making a partner's kit: what goes into it is verified against what the gateway serves.

The safety argument:

1. The gateway shows one release key for all versions; it signed each of them, or one did that it
   followed, as both have signed.
2. The maker's own keys, given as files, are what the owner's signatures are held against; without
   them the kit says what the gateway says, and the command says so.
3. Whoever has accepted a kit of this tenant before is told when the gateway now shows another key.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import Kit, make_kit, owner_key_id
from gateway.artifacts.manifest import parse_manifest
from gateway.artifacts.release import Release, public_release_key, release_of
from gateway.artifacts.release_document import check_owner
from gateway.artifacts.release_keys import ReleaseRing, SignedSuccession
from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.reading import read_bounded, unverified
from gateway.cli.released import Told, fetch_told

KEY_FILE_LIMIT: Final = 64 << 10
_DELIVERED: Final = ("candidate", "released")
_ALARM: Final = "hand nothing out; find out who changed what the gateway serves"


@dataclass(frozen=True, slots=True)
class _Version:
    told: Told
    release: Release
    signer: str
    served: bool


@dataclass(frozen=True, slots=True)
class Made:
    """A kit, and the keys in it that nobody but the gateway vouches for.

    Attributes:
        kit: What is handed over.
        unheld: Owners' keys that only the gateway told.
        left_out: Versions that none of the given keys signed, as `model version`.
        successions: How the release keys followed one another, oldest first.
    """

    kit: Kit
    unheld: tuple[str, ...]
    left_out: tuple[str, ...]
    successions: tuple[SignedSuccession, ...] = ()


def gather(
    connection: Connection,
    models: Iterable[str],
    owner_keys: Iterable[Path],
    *,
    also_told: bool = False,
) -> Made:
    """Make a kit for some models.

    Args:
        connection: Of who hands it out.
        models: Names; one at least has a version.
        owner_keys: Files with the owners' keys, public or private; none: as the gateway tells.
        also_told: Take keys from the gateway beside those of the files.

    Raises:
        CommandFailed: A model is absent, nothing is published, or something does not verify.
    """
    given = {read_owner_key(path) for path in owner_keys}
    found = [one for model in models for one in _versions(connection, model)]
    if not found:
        advice = "publish one first: sealgate model push --help"
        raise CommandFailed("the models have no version yet", advice=advice)
    told = {version.signer for version in found}
    if given and not given & told:
        raise CommandFailed("none of the keys signed a version", ExitCode.UNVERIFIED, _ALARM)
    keys = given | told if also_told or not given else given
    tenant, key = _tenant(found), public_release_key(found[0].told.release_key)
    try:
        kit = make_kit(tenant, key, keys, _floors(found, keys), int(time.time()))
    except StatementInvalid as error:
        raise CommandFailed(error.public, advice="name fewer models or keys") from error
    told_keys = found[0].told.document.successions
    return Made(kit, tuple(sorted(keys - given)), tuple(_left_out(found, kit)), told_keys)


def read_owner_key(path: Path) -> str:
    """Return the public half of an owner's key file, private or public, as kits write it.

    Raises:
        CommandFailed: It is neither.
    """
    data = read_bounded(path, KEY_FILE_LIMIT)
    try:
        if b"PRIVATE KEY" in data:
            public = load_pem_private_key(data, password=None).public_key()
            data = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return owner_key_id(data)
    except (StatementInvalid, UnsupportedAlgorithm, ValueError, TypeError):
        what = "a file given with --owner-key is no owner's key"
        raise CommandFailed(what, ExitCode.USAGE, "sealgate model keygen --help") from None


def _versions(connection: Connection, model: str) -> Iterable[_Version]:
    current = connection.get(f"/v1/models/{model}").get("current") or {}
    items: Iterable[dict[str, Any]] = connection.items(f"/v1/models/{model}/versions")
    for name in [item["version"] for item in items if item["state"] in _DELIVERED]:
        yield _version(connection, model, name, served=name == current.get("version"))


def _version(connection: Connection, model: str, version: str, *, served: bool) -> _Version:
    """Fetch a version and hold it against itself: one key signed it, the owner signed its model."""
    told = fetch_told(connection, f"/v1/models/{model}/versions/{version}")
    document = told.document
    try:
        shown, tenant = told.release_key_id(), parse_manifest(document.manifest).tenant
        ring = ReleaseRing.of(shown, tenant, document.successions)
        if ring.newest != shown:
            raise StatementInvalid("the release key that is shown was replaced")
        # One that has expired still tells who signs; nobody is handed it.
        release = release_of(ring.verify(document.link), document.manifest, now=0.0)
        signer = check_owner(document, release)
    except StatementInvalid as error:
        raise unverified(error, _ALARM) from error
    if (release.manifest.model, release.manifest.version) != (model, version):
        what = "the gateway serves another model or version under this name"
        raise CommandFailed(what, ExitCode.UNVERIFIED, _ALARM)
    return _Version(told, release, signer, served)


def _floors(found: list[_Version], keys: set[str]) -> dict[str, int]:
    """Return when what is served now was released, of models that the kit covers."""
    served = [one for one in found if one.served and one.signer in keys]
    return {one.release.manifest.model: one.release.link.created for one in served}


def _tenant(found: list[_Version]) -> str:
    """Return the one tenant; all versions have one release key."""
    tenants = {version.release.manifest.tenant for version in found}
    if len(tenants) != 1 or len({version.told.release_key_id() for version in found}) != 1:
        what = "the gateway shows several release keys or tenants"
        raise CommandFailed(what, ExitCode.UNVERIFIED, _ALARM)
    return tenants.pop()


def _left_out(found: list[_Version], kit: Kit) -> Iterable[str]:
    for version in found:
        if version.signer not in kit.owner_keys:
            yield f"{version.release.manifest.model} {version.release.manifest.version}"
