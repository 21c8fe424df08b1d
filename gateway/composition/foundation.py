"""What everything stands on: keys, stores, audit log. Opened once a process, closed in reverse.

Trust anchors are never made here: a missing keystore or database refuses the start (`bootstrap`
makes them).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from audit.log import AuditLog
from audit.note import LogSigner
from audit.pins import FilePins
from audit.reader import LogReader
from audit.sealing import SubjectVault
from audit.stores.sqlite import SqliteLogStore
from audit.stores.sqlite_subjects import SqliteSubjectStore
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.store import ArtifactStore
from gateway.artifacts.unlock import Credential, KeyFile, Passphrase, Unlock
from gateway.artifacts.upload import Sealer
from gateway.composition.environment import Environment
from gateway.errors import ConfigurationError
from gateway.identity.revocation import RevocationState
from gateway.settings import CONTROL_FILE, Settings
from gateway.storage.database import Database, open_database
from gateway.storage.sql_federation import SqlFederationStore
from gateway.storage.sql_identity import SqlClientStore, SqlRevocationStore, SqlTenantStore
from gateway.storage.sql_pending import SqlPendingStore
from gateway.storage.sql_policies import SqlBundleStore
from gateway.storage.sql_registry import SqlRegistry
from gateway.storage.sql_uploads import SqlUploadStore
from policies.author import PolicyAuthor
from policies.engine import PolicyEngine

KEYSTORE: Final = "keystore"
UNLOCK_FILE: Final = "unlock.key"
AUDIT_FILE: Final = "audit.db"
SUBJECTS_FILE: Final = "subjects.db"
PINS_FILE: Final = "checkpoints.json"
ARTIFACTS: Final = "artifacts"
MAX_PASSPHRASE: Final = 1024


class Foundation:
    """Keys, stores and audit log of one data folder. Make one by `laid`."""

    def __init__(self, settings: Settings, environment: Environment, *, founding: bool) -> None:
        data = settings.data_dir
        if not founding:
            _refuse_incomplete(settings)
        self.settings = settings
        self.environment = environment
        self.keys = LocalKeyStore.open(
            data / KEYSTORE, unlock_of(settings), environment.random_bytes
        )
        self.database: Database = open_database(settings.control_url)
        self.log_store = SqliteLogStore(data / AUDIT_FILE)
        self.subject_store = SqliteSubjectStore(data / SUBJECTS_FILE)
        self.artifacts = ArtifactStore.local(data / ARTIFACTS)
        self.log = AuditLog(
            self.log_store,
            self._signer,
            clock=environment.clock,
            random_bytes=environment.random_bytes,
            pins=FilePins(data / PINS_FILE),
        )

    def _signer(self, tenant: str) -> LogSigner:
        origin = f"{self.settings.audit_origin}/{tenant}"
        return LogSigner(origin, self.keys.signing_key(f"log/{origin}"))

    @cached_property
    def reader(self) -> LogReader:
        """Reads the log, verified."""
        return LogReader(self.log_store, self.log.verifier)

    @cached_property
    def vault(self) -> SubjectVault:
        """References and keys of data subjects."""
        return SubjectVault(self.subject_store, self.keys, self.environment.random_bytes)

    @cached_property
    def sealer(self) -> Sealer:
        """Encrypts into the artifact store and opens from it."""
        return Sealer(self.keys, self.artifacts, self.environment.random_bytes)

    @cached_property
    def tenants(self) -> SqlTenantStore:
        """The tenants."""
        return SqlTenantStore(self.database)

    @cached_property
    def clients(self) -> SqlClientStore:
        """The registered clients."""
        return SqlClientStore(self.database)

    @cached_property
    def revocations(self) -> SqlRevocationStore:
        """Revoked tokens and the epoch."""
        return SqlRevocationStore(self.database)

    @cached_property
    def registry(self) -> SqlRegistry:
        """Models, versions, releases."""
        return SqlRegistry(self.database)

    @cached_property
    def uploads(self) -> SqlUploadStore:
        """Files that wait to be published."""
        return SqlUploadStore(self.database)

    @cached_property
    def federations(self) -> SqlFederationStore:
        """Federations, sites, runs."""
        return SqlFederationStore(self.database)

    @cached_property
    def pending(self) -> SqlPendingStore:
        """Intents whose result is not known yet."""
        return SqlPendingStore(self.database)

    @cached_property
    def revocation_state(self) -> RevocationState:
        """Who is in good standing; loaded."""
        revocation_state = RevocationState(
            self.revocations, self.clients, self.tenants, clock=self.environment.clock
        )
        revocation_state.load()
        return revocation_state

    @cached_property
    def engine(self) -> PolicyEngine:
        """Decides; empty until `author` has restored the policy sets."""
        return PolicyEngine(self.environment.clock)

    @cached_property
    def author(self) -> PolicyAuthor:
        """Publishes policy sets."""
        key = self.keys.signing_key("policy")
        return PolicyAuthor(self.engine, SqlBundleStore(self.database), key, self.environment.clock)

    def close(self) -> None:
        """Close in the reverse order of opening."""
        self.log.close()
        self.subject_store.close()
        self.log_store.close()
        self.database.close()


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
    foundation = Foundation(settings, environment, founding=founding)
    try:
        yield foundation
    finally:
        foundation.close()


def _refuse_incomplete(settings: Settings) -> None:
    """Refuse a data folder that lost a database: an empty one would be made in its place.

    Raises:
        ConfigurationError: One is missing.
    """
    names = [AUDIT_FILE, SUBJECTS_FILE]
    if settings.database_url is None:
        names.append(CONTROL_FILE)
    for name in names:
        if not (settings.data_dir / name).is_file():
            raise ConfigurationError(
                f"`{name}` is missing from the data folder", "restore it from a backup"
            )


def unlock_of(settings: Settings) -> Unlock:
    """Return what unlocks the keystore.

    Raises:
        ConfigurationError: The passphrase cannot be read.
    """
    secret = settings.keystore_secret
    if settings.keystore_unlock == "file":
        return KeyFile(secret or settings.data_dir / KEYSTORE / UNLOCK_FILE)
    assert secret is not None
    if settings.keystore_unlock == "credential":
        return Credential(secret)
    return Passphrase(_read_passphrase(secret))


def _read_passphrase(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PASSPHRASE).decode().removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("the file of `keystore_secret` cannot be read") from None
