"""Sealing of personal fields under a key of their subject, so that erasing the key erases them.

1. Keys form a chain, each wrapped by the one before: root, tenant key (both behind `KeyWrapper`),
   generation key, subject key. Only wrapped keys are stored. A wrapped key is bound to tenant,
   reference and generation; a sealed field to tenant, reference and event: none can stand in for
   another.
2. A subject's reference is random. It is found by HMAC(tenant's MAC key, identifier), and that
   mapping goes with the key: after an erasure nobody, with any key, can tell from the log which
   reference belonged to whom. The identifier itself is never stored.
3. A reference or key is durable before anything is sealed under it.
4. After `erase` has returned, no call opens, seals or finds that reference again in this
   process; other processes must drop their copy with `forget`.
5. Unwrapped keys are held in bounded caches only, dropped with `forget` when a tenant's key goes.
"""

from __future__ import annotations

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.errors import SealInvalid, SubjectErased, SubjectInvalid
from audit.event import is_subject_ref
from audit.ports import KeyWrapper, RandomBytes, SubjectRow, SubjectStore

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16

MAX_IDENTIFIER_CHARS = 512
"""Longer than any registered identifier of a person (mail addresses end at 254)."""

MAX_SEALED_BYTES = 65_536
"""A sealed field is some personal detail of one event, never a payload."""

MAX_CIPHERTEXT_BYTES = NONCE_BYTES + MAX_SEALED_BYTES + TAG_BYTES

CACHED_SUBJECTS = 4_096
CACHED_TENANTS = 256

REWRAP_BATCH = 256

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class _Recent(Generic[_K, _V]):
    """A mapping that keeps the entries used last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: _K, value: _V) -> _V:
        self._entries[key] = value
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)
        return value

    def drop(self, unwanted: Callable[[_K, _V], bool]) -> None:
        for key in [key for key, value in self._entries.items() if unwanted(key, value)]:
            del self._entries[key]


class SubjectVault:
    """Gives subjects their references and seals fields under their keys. Safe for threads.

    Every method blocks on the store where its caches do not answer, and may raise
    `KeyUnavailable` or `StoreFault`.
    """

    def __init__(
        self,
        store: SubjectStore,
        keys: KeyWrapper,
        random_bytes: RandomBytes,
        *,
        cached_subjects: int = CACHED_SUBJECTS,
    ) -> None:
        self._store = store
        self._keys = keys
        self._random = random_bytes
        self._lock = threading.RLock()
        self._mac_keys: _Recent[str, bytes] = _Recent(CACHED_TENANTS)
        self._generations: _Recent[tuple[str, int], AESGCM] = _Recent(CACHED_TENANTS)
        self._refs: _Recent[tuple[str, bytes], str] = _Recent(cached_subjects)
        self._ciphers: _Recent[tuple[str, str], AESGCM] = _Recent(cached_subjects)

    def ref(self, tenant: str, identifier: str) -> str:
        """Return the subject's reference, creating it, durably, on first use.

        Raises:
            SubjectInvalid: The identifier is empty, too long or not encodable.
        """
        with self._lock:
            mac = self._mac(tenant, identifier)
            known = self._refs.get((tenant, mac)) or self._stored_ref(tenant, mac)
            if known is not None:
                return known
            ref = "sub_" + self._random(16).hex()
            generation = self._newest_generation(tenant)
            wrapped = self._wrap(tenant, generation, ref, self._random(KEY_BYTES))
            row = self._store.add(tenant, mac, SubjectRow(ref, generation, wrapped))
            return self._refs.put((tenant, mac), row.ref)

    def find(self, tenant: str, identifier: str) -> str | None:
        """Return the subject's reference, or None if it has none or is erased.

        Raises:
            SubjectInvalid: As for `ref`.
        """
        with self._lock:
            mac = self._mac(tenant, identifier)
            return self._refs.get((tenant, mac)) or self._stored_ref(tenant, mac)

    def lives(self, tenant: str, ref: str) -> bool:
        """Tell whether a reference belongs to a living subject: given out, and not erased."""
        with self._lock:
            return is_subject_ref(ref) and self._store.by_ref(tenant, ref) is not None

    def seal(self, tenant: str, ref: str, plaintext: bytes, event_id: str) -> bytes:
        """Seal a personal field of an event: nonce, ciphertext and tag (AES-256-GCM).

        Raises:
            SubjectErased: The reference has no key.
            SealInvalid: The plaintext is over MAX_SEALED_BYTES.
        """
        if len(plaintext) > MAX_SEALED_BYTES:
            raise SealInvalid("the field to seal is too large")
        with self._lock:
            cipher = self._cipher(tenant, ref)
            nonce = self._random(NONCE_BYTES)
            return nonce + cipher.encrypt(nonce, plaintext, _field_aad(tenant, ref, event_id))

    def open(self, tenant: str, ref: str, sealed: bytes, event_id: str) -> bytes:
        """Undo `seal`.

        Raises:
            SubjectErased: The reference has no key.
            SealInvalid: The bytes were not sealed for this tenant, subject and event.
        """
        with self._lock:
            cipher = self._cipher(tenant, ref)
        return _decrypt(cipher, sealed, _field_aad(tenant, ref, event_id))

    def erase(self, tenant: str, ref: str) -> None:
        """Destroy a subject's key and mapping. Repeating it is safe.

        Raises:
            ErasureIncomplete: The bytes are not wiped yet; repeat the call.
        """
        with self._lock:
            self._ciphers.drop(lambda key, _: key == (tenant, ref))
            self._refs.drop(lambda key, known: key[0] == tenant and known == ref)
            self._store.delete(tenant, ref)

    def forget(self, tenant: str) -> None:
        """Drop every cached key and reference of a tenant, as when its key was destroyed."""
        with self._lock:
            self._mac_keys.drop(lambda key, _: key == tenant)
            self._generations.drop(lambda key, _: key[0] == tenant)
            self._refs.drop(lambda key, _: key[0] == tenant)
            self._ciphers.drop(lambda key, _: key[0] == tenant)

    def rotate(self, tenant: str) -> int:
        """Wrap all living subjects' keys under a new generation key and destroy older ones.

        Copies of the subject rows made before then open nothing without a copy of their
        generation's row. Interrupted, it is finished by the next call.

        Returns:
            The number of the new generation.
        """
        with self._lock:
            newest = self._store.generation(tenant)
            number = self._add_generation(tenant, 1 if newest is None else newest[0] + 1)
            while rows := self._store.older(tenant, number, REWRAP_BATCH):
                self._store.rewrap(tenant, [self._rewrapped(tenant, row, number) for row in rows])
            for old in range(1, number):
                self._store.drop_generation(tenant, old)
            self._generations.drop(lambda key, _: key[0] == tenant and key[1] < number)
            return number

    def rewrap(self, tenant: str, newest: Callable[[bytes], bool]) -> int:
        """Wrap the tenant's generation keys under its newest key; subjects' keys stay as they are.

        Args:
            tenant: Whose.
            newest: Tells whether a wrapped key was wrapped by the newest key.

        Returns:
            How many were wrapped anew.

        Raises:
            ErasureIncomplete: The wrapped keys before are not wiped yet; the next call wipes them,
                also where it has nothing to wrap.
            Exception: What a key raised that cannot be unwrapped, once all others were wrapped.
        """
        count, fault = 0, None
        with self._lock:
            last = self._store.generation(tenant)
            for number in range(1, last[0] + 1 if last else 1):
                stored = self._store.generation(tenant, number)
                if stored is None or newest(stored[1]):
                    continue
                try:
                    self._rewrap_generation(tenant, number, stored[1])
                except Exception as lost:  # of the keeper's kind, which is not known here
                    fault = fault or lost
                else:
                    count += 1
            self._store.wipe()
        if fault is not None:
            raise fault
        return count

    def _rewrap_generation(self, tenant: str, number: int, wrapped: bytes) -> None:
        aad = _generation_aad(tenant, number)
        key = self._keys.unwrap(tenant, wrapped, aad)
        self._store.rewrap_generation(tenant, number, self._keys.wrap(tenant, key, aad))

    def _mac(self, tenant: str, identifier: str) -> bytes:
        if not 1 <= len(identifier) <= MAX_IDENTIFIER_CHARS:
            raise SubjectInvalid
        try:
            encoded = identifier.encode()
        except UnicodeEncodeError as fault:
            raise SubjectInvalid from fault
        key = self._mac_keys.get(tenant)
        if key is None:
            key = self._mac_keys.put(tenant, self._keys.mac_key(tenant))
        return hmac.digest(key, b"sealgate subject v1\x00" + encoded, "sha256")

    def _stored_ref(self, tenant: str, mac: bytes) -> str | None:
        row = self._store.by_mac(tenant, mac)
        return None if row is None else self._refs.put((tenant, mac), row.ref)

    def _cipher(self, tenant: str, ref: str) -> AESGCM:
        known = self._ciphers.get((tenant, ref))
        if known is not None:
            return known
        row = self._store.by_ref(tenant, ref) if is_subject_ref(ref) else None
        if row is None:
            raise SubjectErased
        return self._ciphers.put((tenant, ref), AESGCM(self._unwrap(tenant, row)))

    def _newest_generation(self, tenant: str) -> int:
        newest = self._store.generation(tenant)
        return self._add_generation(tenant, 1) if newest is None else newest[0]

    def _add_generation(self, tenant: str, number: int) -> int:
        key = self._random(KEY_BYTES)
        wrapped = self._keys.wrap(tenant, key, _generation_aad(tenant, number))
        if self._store.add_generation(tenant, number, wrapped):
            self._generations.put((tenant, number), AESGCM(key))
        return number

    def _generation(self, tenant: str, number: int) -> AESGCM:
        known = self._generations.get((tenant, number))
        if known is not None:
            return known
        stored = self._store.generation(tenant, number)
        if stored is None:
            raise SubjectErased
        key = self._keys.unwrap(tenant, stored[1], _generation_aad(tenant, number))
        return self._generations.put((tenant, number), AESGCM(key))

    def _wrap(self, tenant: str, generation: int, ref: str, key: bytes) -> bytes:
        nonce = self._random(NONCE_BYTES)
        aad = _subject_aad(tenant, generation, ref)
        return nonce + self._generation(tenant, generation).encrypt(nonce, key, aad)

    def _unwrap(self, tenant: str, row: SubjectRow) -> bytes:
        cipher = self._generation(tenant, row.generation)
        return _decrypt(cipher, row.wrapped_key, _subject_aad(tenant, row.generation, row.ref))

    def _rewrapped(self, tenant: str, row: SubjectRow, number: int) -> SubjectRow:
        wrapped = self._wrap(tenant, number, row.ref, self._unwrap(tenant, row))
        return SubjectRow(row.ref, number, wrapped)


def _decrypt(cipher: AESGCM, sealed: bytes, aad: bytes) -> bytes:
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise SealInvalid
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except InvalidTag as fault:
        raise SealInvalid from fault


def _generation_aad(tenant: str, number: int) -> bytes:
    return f"sealgate generation v1\x00{tenant}\x00{number}".encode()


def _subject_aad(tenant: str, number: int, ref: str) -> bytes:
    return f"sealgate subject key v1\x00{tenant}\x00{number}\x00{ref}".encode()


def _field_aad(tenant: str, ref: str, event_id: str) -> bytes:
    return f"sealgate field v1\x00{tenant}\x00{ref}\x00{event_id}".encode()
