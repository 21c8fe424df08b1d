"""The stores of a foundation, each one watched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from audit.errors import StoreFault
from audit.event import decode
from audit.ports import LogStore, LogTransaction, NewEntry
from gateway.artifacts.errors import StoreError
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.store import ArtifactStore
from gateway.storage.errors import StorageUnavailable
from gateway.storage.stores import ControlStores
from tests.kills.steps import Steps, Watched


def control(stores: ControlStores, steps: Steps) -> ControlStores:
    """Watch every store of the control plane."""
    names = [field.name for field in fields(stores)]
    watched: dict[str, Any] = {
        name: Watched(getattr(stores, name), name, steps, StorageUnavailable) for name in names
    }
    return ControlStores(**watched)


class Noted:
    """A transaction of the log that remembers what it inserts."""

    def __init__(self, transaction: LogTransaction) -> None:
        self._transaction = transaction
        self.events: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)

    def insert(self, tenant: str, entries: Sequence[NewEntry]) -> None:
        for entry in entries:
            event = decode(entry.body)
            phase = event.phase if event.phase != "single" else "event"
            self.events.append(f"log of {tenant}: {event.action} {phase} {event.outcome}")
        self._transaction.insert(tenant, entries)


class WatchedLog(Watched):
    """The store of the audit log: a commit is a step.

    Settling is none: it comes later, from the writer's thread, and nobody sees whether it came.
    """

    def _reads(self, method: str) -> bool:
        return method == "settle" or super()._reads(method)

    @contextmanager
    def transaction(self) -> Iterator[LogTransaction]:
        store: LogStore = self._store
        step = -1
        with store.transaction() as transaction:
            noted: Any = Noted(transaction)
            yield noted
            if noted.events:  # what was in the log already is no write
                step = self._steps.before(", ".join(noted.events), self._fault)
        self._steps.after(step, self._fault)


class WatchedArtifacts(Watched):
    """The ciphertexts: beginning and completing one are steps, and so is a removal."""

    def stage(self) -> Any:
        store: ArtifactStore = self._store
        staged = self._steps.write(f"{self._name}.stage", store.stage, self._fault)
        return WatchedStaging(staged, "staged", self._steps, self._fault)


class WatchedStaging(Watched):
    """A ciphertext on its way; its blocks are no steps, as nobody sees them."""

    def _reads(self, method: str) -> bool:
        return method in {"write", "discard"}


class WatchedKeys(Watched):
    """The keystore: a signing key is a step when it is first asked for."""

    def __init__(self, keys: KeyProvider, steps: Steps) -> None:
        super().__init__(keys, "keys", steps, lambda: OSError("the disk is full"))
        self._known: set[str] = set()

    def ring(self, purpose: str) -> Any:
        keys: KeyProvider = self._store
        if purpose in self._known or purpose.startswith("release/"):  # tenants have theirs
            return keys.ring(purpose)
        self._known.add(purpose)
        return self._steps.write("keys.ring", lambda: keys.ring(purpose), self._fault)

    def signing_key(self, purpose: str) -> Any:
        return self.ring(purpose).key


def log(store: LogStore, steps: Steps) -> Any:
    """Watch the store of the audit log."""
    return WatchedLog(store, "log", steps, StoreFault)


def artifacts(store: ArtifactStore, steps: Steps) -> Any:
    """Watch the store of the ciphertexts."""
    return WatchedArtifacts(store, "artifacts", steps, StoreError)


def subjects(store: Any, steps: Steps) -> Any:
    """Watch the store of the subjects."""
    return Watched(store, "subjects", steps, StoreFault)
