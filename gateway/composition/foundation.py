"""What every part needs: keys, stores, audit log. Opened once a process, closed in reverse order.

Trust anchors are never made here: a missing keystore or database refuses the start (`bootstrap`
makes them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.log import AuditLog
from audit.note import LogSigner, NoteVerifier
from audit.pins import FilePins, Pins
from audit.ports import LogStore, SubjectStore
from audit.reader import LogReader
from audit.sealing import SubjectVault
from audit.stores.sqlite import SqliteLogStore
from audit.stores.sqlite_subjects import SqliteSubjectStore
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.store import ArtifactStore
from gateway.artifacts.unlock import Credential, KeyFile, Passphrase, Unlock
from gateway.artifacts.upload import Sealer
from gateway.composition.environment import Environment
from gateway.errors import ConfigurationError
from gateway.identity.revocation import RevocationState
from gateway.settings import CONTROL_FILE, Settings
from gateway.storage.database import open_database
from gateway.storage.stores import ControlStores, sql_stores
from policies.author import PolicyAuthor
from policies.engine import PolicyEngine
from policies.signers import BundleKeys

KEYSTORE: Final = "keystore"
KEYS_FILE: Final = "keys"
UNLOCK_FILE: Final = "unlock.key"
AUDIT_FILE: Final = "audit.db"
SUBJECTS_FILE: Final = "subjects.db"
PINS_FILE: Final = "checkpoints.json"
ARTIFACTS: Final = "artifacts"
PAYLOADS: Final = "artifacts/payload"
MAX_PASSPHRASE: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """Keys, stores and audit log of one data folder.

    Attributes:
        keys: The keys of all tenants.
        stores: The control plane.
        log: Not started yet.
        log_signer: The signer of a tenant's log, as the keystore has it now.
        reader: Reads the log, verified.
        vault: References and keys of data subjects.
        artifacts: The stored ciphertexts.
        sealer: Encrypts into `artifacts` and opens from it.
        revocation_state: Loaded; its epoch is the one that every memory falls with.
        engine: Decides; empty until `author` has restored the policy sets.
        author: Publishes policy sets.
    """

    settings: Settings
    environment: Environment
    keys: KeyProvider
    stores: ControlStores
    log: AuditLog
    log_signer: Callable[[str], LogSigner]
    reader: LogReader
    vault: SubjectVault
    artifacts: ArtifactStore
    sealer: Sealer
    revocation_state: RevocationState
    engine: PolicyEngine
    author: PolicyAuthor


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where a foundation keeps things.

    Attributes:
        control: The control plane.
        log: The audit log's trees.
        subjects: Keys and references of data subjects.
        artifacts: The ciphertexts.
        pins: The newest checkpoints, kept outside the log's store; None keeps none.
    """

    control: ControlStores
    log: LogStore
    subjects: SubjectStore
    artifacts: ArtifactStore
    pins: Pins | None


@contextmanager
def open_foundation(
    settings: Settings, environment: Environment, *, founding: bool = False
) -> Iterator[Foundation]:
    """Open the foundation for as long as the block runs.

    Args:
        settings: Of the data folder.
        environment: Time and randomness.
        founding: The databases are being made; otherwise a missing one is refused.

    Raises:
        SealgateError: Something of the data folder is missing, unsafe or unreadable.
    """
    if not founding:
        _refuse_incomplete(settings)
    data = settings.data_dir
    with ExitStack() as opened:
        unlock = unlock_of(settings)
        keys = LocalKeyStore.open(
            data / KEYSTORE, unlock, environment.random_bytes, environment.clock
        )
        database = open_database(settings.control_url)
        opened.callback(database.close)
        log = SqliteLogStore(data / AUDIT_FILE)
        opened.callback(log.close)
        subjects = SqliteSubjectStore(data / SUBJECTS_FILE)
        opened.callback(subjects.close)
        stores = Stores(
            control=sql_stores(database),
            log=log,
            subjects=subjects,
            artifacts=ArtifactStore.local(data / ARTIFACTS),
            pins=FilePins(data / PINS_FILE),
        )
        foundation = assemble(settings, environment, keys, stores)
        opened.callback(foundation.log.close)
        yield foundation


def assemble(
    settings: Settings, environment: Environment, keys: KeyProvider, stores: Stores
) -> Foundation:
    """Put a foundation together from its keys and stores, which the caller closes."""
    clock, random_bytes, control = environment.clock, environment.random_bytes, stores.control

    def signer(tenant: str) -> LogSigner:
        origin = f"{settings.audit_origin}/{tenant}"
        ring = keys.ring(f"log/{origin}")
        former = [NoteVerifier(origin, one.public) for one in ring.former]
        return LogSigner(origin, ring.key, former=former, successor=ring.successor)

    log = AuditLog(stores.log, signer, clock=clock, random_bytes=random_bytes, pins=stores.pins)
    revocation_state = RevocationState(
        control.revocations,
        control.clients,
        control.tenants,
        clock=clock,
        people=control.people,
    )
    revocation_state.load()
    engine = PolicyEngine(clock)
    return Foundation(
        settings=settings,
        environment=environment,
        keys=keys,
        stores=control,
        log=log,
        log_signer=signer,
        reader=LogReader(stores.log, log.verifier),
        vault=SubjectVault(stores.subjects, keys, random_bytes),
        artifacts=stores.artifacts,
        sealer=Sealer(keys, stores.artifacts, random_bytes),
        revocation_state=revocation_state,
        engine=engine,
        author=PolicyAuthor(
            engine,
            control.bundles,
            partial(_bundle_keys, keys),
            clock,
            environment.preparing(clock),
        ),
    )


def _bundle_keys(keys: KeyProvider) -> BundleKeys:
    """Return what signs policy sets, and what did before."""
    ring = keys.ring("policy")
    former = [Ed25519PublicKey.from_public_bytes(one.public) for one in reversed(ring.former)]
    return BundleKeys(ring.key, ring.successor, tuple(former))


def _refuse_incomplete(settings: Settings) -> None:
    """Refuse a data folder that lost what would be made anew, and empty, in its place.

    Raises:
        ConfigurationError: Something is missing; it says what, and what to do.
    """
    data = settings.data_dir
    from_backup = "restore it from a backup"
    empty = f"{from_backup}; if no model was pushed yet: mkdir -p -m 700 '{data / PAYLOADS}'"
    wanted = {KEYSTORE: from_backup, f"{KEYSTORE}/{KEYS_FILE}": from_backup}
    if settings.keystore_unlock == "file" and settings.keystore_secret is None:
        wanted[f"{KEYSTORE}/{UNLOCK_FILE}"] = f"{from_backup}: nothing can be decrypted without it"
    wanted |= {AUDIT_FILE: from_backup, SUBJECTS_FILE: from_backup}
    if settings.database_url is None:
        wanted[CONTROL_FILE] = from_backup
    wanted |= {ARTIFACTS: empty, PAYLOADS: empty, PINS_FILE: _without_pins(data)}
    for name, advice in wanted.items():
        if not (data / name).exists():
            raise ConfigurationError(f"`{name}` is missing from the data folder", advice)
    if settings.keystore_secret is not None and not settings.keystore_secret.exists():
        raise ConfigurationError(
            "the file that `keystore_secret` names is missing",
            f"put it back, or name where it is now: {settings.keystore_secret}",
        )


def _without_pins(data: Path) -> str:
    """Say how to go on without the newest checkpoints, by which a cut log would be noticed."""
    return (
        "restore it from a backup: without it nobody notices a log that was cut; if there is none, "
        "hold the log against a checkpoint that was kept elsewhere (sealgate audit verify), then: "
        f"echo '{{}}' > '{data / PINS_FILE}'"
    )


def unlock_of(settings: Settings) -> Unlock:
    """Return what unlocks the keystore.

    Raises:
        ConfigurationError: The passphrase cannot be read.
    """
    own = settings.data_dir / KEYSTORE / UNLOCK_FILE
    return unlock_by(settings.keystore_unlock, settings.keystore_secret or own)


def unlock_by(method: str, secret: Path) -> Unlock:
    """Return what unlocks a keystore by a method (`Settings.keystore_unlock`) and a file.

    Raises:
        ConfigurationError: The passphrase cannot be read.
    """
    if method == "file":
        return KeyFile(secret)
    if method == "credential":
        return Credential(secret)
    return Passphrase(_read_passphrase(secret))


def _read_passphrase(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PASSPHRASE).decode().removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("the file of `keystore_secret` cannot be read") from None
