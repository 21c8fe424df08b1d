"""What the tests of the log share: events, keys in memory, and logs of them."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.errors import KeyUnavailable
from audit.event import Event, new_event_id
from audit.log import AuditLog, Limits
from audit.note import LogSigner
from audit.pins import Pins
from audit.ports import LogStore

LOG_NAME = "log.example"
NOW = 1_700_000_000.0


def signer(tenant: str) -> LogSigner:
    """Return a tenant's signer: the same one in every process."""
    seed = sha256(b"a key for tests: " + tenant.encode()).digest()
    return LogSigner(f"{LOG_NAME}/{tenant}", Ed25519PrivateKey.from_private_bytes(seed))


_seconds = itertools.count()


def event(tenant: str = "acme", **fields: object) -> Event:
    """Return a fresh event; each is a second later than the one before."""
    now = NOW + next(_seconds)
    given: dict[str, object] = {
        "id": new_event_id(lambda: now, os.urandom),
        "ts": int(now) * 10**9,
        "tenant": tenant,
        "category": "inference",
        "action": "infer",
        "outcome": "allow",
        "actor_ref": "client_1",
        "model_id": "risk",
    }
    return Event(**(given | fields))  # type: ignore[arg-type]


def ref(number: int) -> str:
    """Return a subject reference."""
    return f"sub_{number:032x}"


class Keys:
    """A `KeyWrapper` in memory, whose tenants' keys can be destroyed."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        self._destroyed: set[str] = set()

    def destroy(self, tenant: str) -> None:
        self._destroyed.add(tenant)

    def wrap(self, tenant: str, key: bytes, aad: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + AESGCM(self._key(tenant)).encrypt(nonce, key, aad)

    def unwrap(self, tenant: str, wrapped: bytes, aad: bytes) -> bytes:
        try:
            return AESGCM(self._key(tenant)).decrypt(wrapped[:12], wrapped[12:], aad)
        except InvalidTag as fault:
            raise KeyUnavailable from fault

    def mac_key(self, tenant: str) -> bytes:
        return sha256(b"mac" + self._key(tenant)).digest()

    def _key(self, tenant: str) -> bytes:
        if tenant in self._destroyed:
            raise KeyUnavailable
        return self._keys.setdefault(tenant, os.urandom(32))


class MemoryPins:
    """`Pins` in memory."""

    def __init__(self) -> None:
        self.notes: Mapping[str, bytes] = {}

    def load(self) -> Mapping[str, bytes]:
        return self.notes

    def save(self, notes: Mapping[str, bytes]) -> None:
        self.notes = dict(notes)


def new_log(
    store: LogStore,
    *,
    limits: Limits | None = None,
    pins: Pins | None = None,
    clock: Callable[[], float] = lambda: NOW,
) -> AuditLog:
    """Return a log that is not started."""
    return AuditLog(
        store,
        signer,
        clock=clock,
        random_bytes=os.urandom,
        limits=limits or Limits(),
        pins=pins,
    )


@contextmanager
def started(
    store: LogStore, *, limits: Limits | None = None, pins: Pins | None = None
) -> Iterator[AuditLog]:
    """Lend a started log."""
    log = new_log(store, limits=limits, pins=pins)
    log.start()
    try:
        yield log
    finally:
        log.close()


def until(condition: Callable[[], bool]) -> None:
    """Wait for the writer thread to get somewhere."""
    pause = threading.Event()
    for _ in range(3_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the log did not get there")
