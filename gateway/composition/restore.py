"""`sealgate restore` and `sealgate backup verify`: from one file to a data folder, or to a verdict.

Safety argument:
1. The folder is built under another name and renamed as the last step, and only where nothing is: a
   folder of the given name is a whole restored one, or what it was.
2. Before that: every member is as the manifest says, the keystore opens with the secret that was
   kept apart, a key in it has signed the manifest, and every log verifies against keys in it. That
   secret is the only trust anchor, so nothing in the backup names it: its settings would choose a
   file that their forger knows.
3. The logs are held to every checkpoint at hand: the pins in the backup, those that were kept
   outside, and those of exports. A log that contradicts one is refused, whatever is accepted; one
   that is shorter is refused until the loss, which is told in entries, is accepted.
4. What the next start has to record and erase is durable with the folder (`RESTORE_FILE`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from audit.event import PLATFORM_TENANT, new_event_id
from audit.note import LogSigner, NoteVerifier, checkpoint_of
from audit.verify_folder import verify_folder
from gateway.artifacts.errors import KeyUnavailable, KeyUnwrapFailed
from gateway.artifacts.guarded_file import create_guarded, read_guarded, sync_folder
from gateway.artifacts.keystore import LocalKeyStore
from gateway.backup import kept as kept_checkpoints
from gateway.backup.archive import ADMINISTRATOR, KEYS, PAYLOADS
from gateway.backup.errors import BackupOlder, BackupRefused, BackupUnsound
from gateway.backup.manifest import SIGNING, Manifest
from gateway.backup.reading import Contents, read, sync_folders
from gateway.backup.since import Change, Since, checkpoint_of_export, since
from gateway.composition.backup import ADMINISTRATOR_AAD
from gateway.composition.bootstrap import ADMINISTRATOR_KEY, without_password
from gateway.composition.environment import Environment
from gateway.composition.foundation import (
    ARTIFACTS,
    AUDIT_FILE,
    KEYSTORE,
    PINS_FILE,
    UNLOCK_FILE,
    unlock_by,
)
from gateway.composition.restored import RESTORE_FILE, RestoreNote
from gateway.composition.restored_database import put_back, refuse_other_database
from gateway.drafts import draft
from gateway.process.ownership import keep_memory_private
from gateway.settings import SETTINGS_FILE, Settings, in_environment, load_settings

Advance = Callable[[int, int], None]
MAX_SECRET_BYTES: Final = 4096
MAX_KEPT_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is given beside a backup.

    Attributes:
        secret: File of what opens the keystore; by default the one that the environment names.
        checkpoints: Files of checkpoints that were kept outside.
        exports: Exports of logs, made after the backup.
    """

    secret: Path | None = None
    checkpoints: Sequence[Path] = ()
    exports: Sequence[Path] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A backup that holds.

    Attributes:
        manifest: What it says of itself.
        missing: How many entries it lacks, by origin, of those that checkpoints tell of.
        erased: Tenant and reference of subjects that were erased after it.
        replaced: Keys for releases and policy sets that others followed after it, as resources.
        changes: What else was changed after it, as far as exports tell; uploads last.
        cut: How many more of these there are.
    """

    manifest: Manifest
    missing: dict[str, int]
    erased: list[tuple[str, str]]
    replaced: list[str]
    changes: list[Change]
    cut: int


def verify(backup: Path, evidence: Evidence, environment: Environment, advance: Advance) -> Checked:
    """See whether a backup could be put back; nothing is left behind.

    The databases are unpacked into the folder of temporary files (`TMPDIR`) meanwhile.

    Raises:
        SealgateError: It could not.
    """
    keep_memory_private()
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "data"
        draft.mkdir(mode=0o700)
        contents = read(
            backup, lambda name: None if name.startswith(PAYLOADS) else draft / name, advance
        )
        return _check(_Draft(draft, contents, evidence, environment))


def restore(
    backup: Path,
    to: Path,
    evidence: Evidence,
    environment: Environment,
    advance: Advance,
    *,
    accept_loss: bool = False,
    database_url: str | None = None,
) -> Checked:
    """Put a backup back into a new folder.

    Args:
        backup: The file.
        to: Must not exist, or be an empty folder.
        evidence: What is given beside it.
        environment: Time and randomness.
        advance: Told how many bytes of how many are done.
        accept_loss: Go on where entries are missing.
        database_url: An empty database for the control plane, where it was in PostgreSQL; without
            a password, for it is written to the settings.

    Raises:
        ConfigurationError: There is a password in the address.
        BackupOlder: Entries are missing, and that was not accepted.
        SealgateError: It cannot be put back; there is no folder.
    """
    keep_memory_private()
    os.umask(0o077)
    to = to.absolute()
    if database_url is not None:
        without_password(database_url)
    _refuse_occupied(to)
    with _draft(to) as folder:
        contents = read(backup, lambda name: folder / name, advance)
        refuse_other_database(contents.manifest, database_url)
        work = _Draft(folder, contents, evidence, environment)
        checked = _check(work)
        if checked.missing and not accept_loss:
            raise _older(checked.missing)
        _complete(work, checked)
        if contents.manifest.database == "postgresql":
            put_back(folder, database_url)
        sync_folders(folder)
        try:
            os.rename(folder, to)
        except OSError as fault:
            what = f"the folder {to} cannot be made ({fault.strerror})"
            raise BackupRefused(what, "name a folder inside of it in --to") from fault
        sync_folder(to.parent)
    return checked


class _Draft:
    """A data folder that was unpacked, and what opens it."""

    def __init__(
        self, folder: Path, contents: Contents, evidence: Evidence, environment: Environment
    ) -> None:
        self.folder = folder
        self.contents = contents
        self.manifest = contents.manifest
        self.evidence = evidence
        self.environment = environment
        if not all((folder / name).exists() for name in (SETTINGS_FILE, AUDIT_FILE, KEYS)):
            raise BackupUnsound("the backup lacks settings, log or keys")
        self.secret = self._secret()
        self.method = LocalKeyStore.method(folder / KEYSTORE)
        unlock = unlock_by(self.method, self.secret)
        self.keys = LocalKeyStore.open(folder / KEYSTORE, unlock, environment.random_bytes)
        self.settings = self._settings()
        contents.check(LogSigner(self.manifest.origin, self.keys.signing_key(SIGNING)).verifier)
        self.verifiers = {origin: self._verifiers(origin) for origin in self.manifest.checkpoints}

    def _verifiers(self, origin: str) -> tuple[NoteVerifier, ...]:
        """Return what verifies the checkpoints of a log: its keys, that of now first."""
        ring = self.keys.ring(f"log/{origin}")
        signs = [key for key in (ring.successor, ring.key) if key is not None]
        former = [NoteVerifier(origin, one.public) for one in ring.former]
        return (*(LogSigner(origin, key).verifier for key in signs), *former)

    def vkeys(self, origin: str) -> list[str]:
        """Return the same as texts."""
        return [verifier.vkey for verifier in self.verifiers[origin]]

    def administrator_key(self) -> bytes | None:
        """Return the administrator's key, where the backup has it.

        Raises:
            BackupUnsound: It does not open.
        """
        wrapped = self.folder / ADMINISTRATOR
        if not wrapped.exists():
            return None
        try:
            return self.keys.unwrap(PLATFORM_TENANT, wrapped.read_bytes(), ADMINISTRATOR_AAD)
        except (KeyUnwrapFailed, KeyUnavailable):
            what = "the administrator's key in the backup does not open"
            raise BackupUnsound(what, "use another backup") from None

    def _secret(self) -> Path:
        """Return the file of what opens the keystore; nothing in the backup may name it."""
        named = self.evidence.secret or in_environment("keystore_secret")
        if named is None or not Path(named).is_file():
            raise BackupRefused(
                "what opens the keystore is in no backup, and has to be at hand",
                "name the file that you kept: --unlock-secret FILE",
            )
        return Path(named)

    def _settings(self) -> Settings:
        """Return the settings. How it unlocks may stand in the gateway's environment alone."""
        if self.method == "file":
            return load_settings(self.folder, keystore_unlock="file")
        return load_settings(self.folder, keystore_unlock=self.method, keystore_secret=self.secret)


def _check(draft: _Draft) -> Checked:
    """Hold the logs of a draft to their keys and to every checkpoint at hand."""
    draft.administrator_key()
    heads = {origin: note.encode() for origin, note in draft.manifest.checkpoints.items()}
    sizes = {
        origin: kept_checkpoints.opened(note, draft.verifiers[origin]).size
        for origin, note in heads.items()
    }
    exports = list(_exports(draft, heads))
    kept = [note for path in draft.evidence.checkpoints for note in _kept(path)]
    kept += [one.note for one in exports]
    known = _with_successors(draft.verifiers, exports)
    missing = kept_checkpoints.missing(kept, sizes, known, draft.manifest.origin)
    pins = _kept(draft.folder / PINS_FILE) if (draft.folder / PINS_FILE).exists() else []
    held = [*heads.values(), *pins, *kept_checkpoints.not_newer(kept, sizes)]
    report = verify_folder(
        draft.folder, [key for origin in heads for key in draft.vkeys(origin)], held
    )
    if report.status != "VERIFIED":
        told = [f"{one.entry}: {one.what}" for tree in report.trees for one in tree.findings]
        raise BackupUnsound(
            f"the log of the backup does not hold, at {told[0] if told else 'a log without a key'}",
            "use another backup; if a kept checkpoint is not of this log, find out who forked it",
        )
    return Checked(
        manifest=draft.manifest,
        missing=missing,
        erased=[(one.tenant, ref) for one in exports for ref in one.erased],
        replaced=sorted({one for export in exports for one in export.replaced}),
        changes=sorted(
            (change for one in exports for change in one.changes),
            key=lambda change: change.late,
        ),
        cut=sum(one.cut for one in exports),
    )


def _with_successors(
    verifiers: Mapping[str, Sequence[NoteVerifier]], exports: Sequence[Since]
) -> dict[str, Sequence[NoteVerifier]]:
    """Return what verifies kept checkpoints: also keys that a log got after the backup."""
    known = dict(verifiers)
    for one in exports:
        origin = checkpoint_of(one.note).origin
        known[origin] = (*known[origin], *map(NoteVerifier.parse, one.keys))
    return known


def _exports(draft: _Draft, heads: dict[str, bytes]) -> Iterator[Since]:
    for path in draft.evidence.exports:
        origin = checkpoint_of_export(path).origin
        if origin not in heads:
            raise BackupRefused(
                f"{path.name} is of a log that the backup does not have",
                "leave it out; give its checkpoint with --checkpoint",
            )
        yield since(path, draft.vkeys(origin), heads[origin])


def _kept(path: Path) -> list[bytes]:
    try:
        with path.open("rb") as file:
            return kept_checkpoints.notes_of(file.read(MAX_KEPT_BYTES))
    except OSError as fault:
        raise BackupRefused(f"{path} cannot be read", "check the path") from fault


def _older(missing: dict[str, int]) -> BackupOlder:
    told = ", ".join(f"{count} of {origin}" for origin, count in missing.items())
    return BackupOlder(
        f"entries are missing that a kept checkpoint tells of: {told}",
        "use a newer backup, or go on without them: --accept-loss",
        missing,
    )


def _complete(draft: _Draft, checked: Checked) -> None:
    """Add what a data folder has and a backup has not."""
    folder = draft.folder
    for name in (f"{ARTIFACTS}/payload", f"{ARTIFACTS}/staging", "run", "federation"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    administrator = draft.administrator_key()
    if administrator is not None:
        create_guarded(folder / ADMINISTRATOR_KEY, administrator)
        (folder / ADMINISTRATOR).unlink()
    if draft.method == "file" and draft.settings.keystore_secret is None:
        secret = read_guarded(draft.secret, MAX_SECRET_BYTES)
        create_guarded(folder / KEYSTORE / UNLOCK_FILE, secret)
    create_guarded(folder / RESTORE_FILE, msgspec.json.encode(_note(draft, checked)))


def _note(draft: _Draft, checked: Checked) -> RestoreNote:
    environment = draft.environment
    sizes = {
        origin: checkpoint_of(note.encode()).size
        for origin, note in draft.manifest.checkpoints.items()
    }
    kept = {origin: count + sizes.get(origin, 0) for origin, count in checked.missing.items()}
    return RestoreNote(
        id=new_event_id(environment.clock, environment.random_bytes),
        backup=draft.manifest.id,
        digest=draft.contents.digest,
        entries={_tenant(origin): size for origin, size in sizes.items()},
        kept={_tenant(origin): size for origin, size in kept.items() if origin in sizes},
        erase=checked.erased,
        replace=checked.replaced,
    )


def _tenant(origin: str) -> str:
    return origin.rpartition("/")[2]


def _refuse_occupied(to: Path) -> None:
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise BackupRefused(
            f"there is something in {to}; nothing was changed",
            "name a folder that does not exist; move the old one away to use its name",
        )
    if not to.parent.is_dir():
        raise BackupRefused(f"there is no folder {to.parent}", f"mkdir -p {to.parent}")


@contextmanager
def _draft(to: Path) -> Iterator[Path]:
    """Make the folder that becomes it; what a restore to the same place left behind goes first."""
    with ExitStack() as held:
        try:
            folder = held.enter_context(draft(to, to.name))
        except OSError as fault:
            raise BackupRefused(f"{to.parent} cannot be written", "name another place") from fault
        yield folder
