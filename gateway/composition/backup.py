"""`sealgate backup`: from a data folder to one file (`gateway.backup.making`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from audit.event import PLATFORM_TENANT, new_event_id
from audit.note import LogSigner
from gateway.artifacts.keystore import LocalKeyStore
from gateway.backup import newest
from gateway.backup.errors import BackupRefused
from gateway.backup.making import Source, make
from gateway.backup.manifest import SIGNING, File, Manifest
from gateway.backup.postgresql import PostgresDump
from gateway.composition.bootstrap import holds_password
from gateway.composition.environment import Environment
from gateway.composition.foundation import AUDIT_FILE, KEYSTORE, SUBJECTS_FILE, unlock_of
from gateway.composition.public_door import VERSION
from gateway.composition.restored import RESTORE_FILE
from gateway.process.ownership import keep_memory_private, take_descriptors
from gateway.settings import CONTROL_FILE, Settings, in_environment

ENDING: Final = ".backup"
ADMINISTRATOR_AAD: Final = b"sealgate backup v1\0admin.key"
"""What the administrator's key is bound to while it is wrapped."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made.

    Attributes:
        path: The file.
        manifest: What it says of itself.
        password: Its settings hold a password of the database, in clear.
    """

    path: Path
    manifest: Manifest
    password: bool = False


def back_up(
    settings: Settings,
    to: Path,
    environment: Environment,
    advance: Callable[[int, int], None],
    *,
    apart: bool = False,
) -> Backup:
    """Make a backup of a data folder, whether its gateway runs or not.

    Args:
        settings: Of the data folder.
        to: A new file, or a folder that gets a file with a name of its own.
        environment: Time and randomness.
        advance: Told how many bytes of how many are done.
        apart: Leave the database of the control plane to the operator.

    Raises:
        SealgateError: It could not be made; there is no file.
    """
    keep_memory_private()
    take_descriptors()
    data, at = settings.data_dir.absolute(), environment.clock()
    if (data / RESTORE_FILE).exists():
        what = "the folder was restored, and its gateway has not recorded that yet"
        raise BackupRefused(what, f"start it once: sealgate serve --data {data}")
    target = _target(to.absolute(), data, settings.audit_origin, at)
    keys = LocalKeyStore.open(data / KEYSTORE, unlock_of(settings), environment.random_bytes)
    databases = {AUDIT_FILE: data / AUDIT_FILE, SUBJECTS_FILE: data / SUBJECTS_FILE}
    if settings.database_url is None:
        databases[CONTROL_FILE] = data / CONTROL_FILE
    new_id = new_event_id(environment.clock, environment.random_bytes)

    def describe(
        checkpoints: dict[str, str], files: list[File], damaged: list[str], left_out: list[str]
    ) -> Manifest:
        elsewhere = "apart" if apart else "postgresql"
        return Manifest(
            id=new_id,
            at=int(at),
            version=VERSION,
            origin=settings.audit_origin,
            database="sqlite" if settings.database_url is None else elsewhere,  # type: ignore[arg-type]
            checkpoints=checkpoints,
            files=files,
            damaged=damaged,
            left_out=left_out,
        )

    with ExitStack() as opened:
        dump = None
        if settings.database_url is not None and not apart:
            dump = PostgresDump(settings.database_url)
            opened.callback(dump.close)
        source = Source(
            data=data,
            databases=databases,
            signer=LogSigner(settings.audit_origin, keys.signing_key(SIGNING)),
            wrap=lambda key: keys.wrap(PLATFORM_TENANT, key, ADMINISTRATOR_AAD),
            describe=describe,
            dump=dump,
        )
        manifest = make(source, target, advance)
    with suppress(OSError):  # the file is whole; a full disk here only leaves the older note
        newest.write(data, newest.Newest(id=new_id, at=int(at), entries=manifest.entries()))
    return Backup(target, manifest, _password_in_file(settings))


def _password_in_file(settings: Settings) -> bool:
    url = settings.database_url
    return url is not None and in_environment("database_url") is None and holds_password(url)


def _target(to: Path, data: Path, origin: str, at: float) -> Path:
    """Return the file that a backup becomes."""
    if to.is_dir():
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
        to /= f"{origin.replace('/', '-').replace(':', '-')}-{moment}{ENDING}"
    elif not to.parent.is_dir():
        raise BackupRefused(f"there is no folder {to.parent}", f"mkdir -p {to.parent}")
    if to.resolve().is_relative_to(data.resolve()):
        what = "a backup in the data folder is lost with it"
        raise BackupRefused(what, "name a folder of another disk in --to")
    if to.exists():
        raise BackupRefused(f"there is a file {to} already", "name another one, or a folder")
    return to
