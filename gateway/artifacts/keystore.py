"""The keystore in a local folder, the default key provider.

The safety argument:

1. Every key in the file is wrapped: the root under what unlocks the keystore, tenants' and
   signing keys under the root, and what callers wrap under a tenant's key. Each wrapping is
   bound to the owner, the purpose and the version, so no blob can be put in another's place.
2. The file as a whole is authenticated under the root key. Whoever can write it can still put
   an older file back, and so undo a destruction: a backup of the keystore keeps what it keeps.
3. A change writes a new file, syncs it, renames it and syncs the folder before it returns; a
   process that dies at any point leaves the old file or the new one.
4. Every use looks whether another process has replaced the file, so that a destruction or a
   disabling holds everywhere once it has returned.
5. Folder and files that other users could read or replace are refused, not repaired.
6. A destroyed tenant leaves its name, so that nobody gets keys under it again.
7. What replaces a key names the key that it replaces, and is refused when that is another by now
   (`gateway.artifacts.signing_rings`).

The root key stays in this process's memory while the keystore is open.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.artifacts.convenor import convenor_seed
from gateway.artifacts.document_file import DocumentFile
from gateway.artifacts.errors import (
    KeystoreAbsent,
    KeystoreCorrupt,
    KeystorePresent,
    KeyUnavailable,
    KeyUnwrapFailed,
)
from gateway.artifacts.guarded_file import check_owner_only, create_guarded, read_guarded
from gateway.artifacts.key_document import (
    DOCUMENT_LIMIT,
    NONCE_LENGTH,
    KeyDocument,
    RingRecord,
    TenantKeys,
    decode_document,
    encode_document,
    label_of,
    open_key,
    seal_key,
)
from gateway.artifacts.keys import UNKNOWN, Endorse, SigningRing, TenantKey
from gateway.artifacts.signing_rings import (
    check_room,
    complete,
    forget_former,
    opened_ring,
    prepare,
    release_purpose,
    released_by,
)
from gateway.artifacts.unlock import SALT_LENGTH, Unlock
from gateway.errors import StateConflict
from gateway.names import is_name

RandomBytes = Callable[[int], bytes]
Clock = Callable[[], float]

_FILE: Final = "keys"
_KEY_LENGTH: Final = 32
_VERSION_LENGTH: Final = 4
_PURPOSE: Final = re.compile(r"[\x21-\x7e]{1,255}")


class LocalKeyStore:
    """A `gateway.artifacts.keys.KeyProvider` in a folder. Make one by `create` or `open`."""

    def __init__(self, folder: Path, root: bytes, random_bytes: RandomBytes, clock: Clock) -> None:
        self._root = root
        self._random = random_bytes
        self._clock = clock
        self._file = DocumentFile(folder / _FILE, root)

    @classmethod
    def create(
        cls,
        folder: Path,
        unlock: Unlock,
        random_bytes: RandomBytes = os.urandom,
        clock: Clock = time.time,
    ) -> Self:
        """Make a keystore.

        Args:
            folder: Made with mode 0700 when it is absent.
            unlock: What opens it later; a `KeyFile` is written when it is absent.
            random_bytes: A cryptographic source.
            clock: Unix seconds, for the age of keys.

        Raises:
            KeystorePresent: There is one already.
            KeystoreUnsafe: Others can use the folder, or the secret is weak or readable.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_owner_only(folder.stat())
        if (folder / _FILE).exists():
            raise KeystorePresent
        unlock.prepare(random_bytes(_KEY_LENGTH))
        root, salt = random_bytes(_KEY_LENGTH), random_bytes(SALT_LENGTH)
        sealed = seal_key(unlock.derive(salt), random_bytes(NONCE_LENGTH), root, label_of("root"))
        document = KeyDocument(unlock=unlock.method, salt=salt, root=sealed, tenants={}, signing={})
        create_guarded(folder / _FILE, encode_document(document, root))
        return cls(folder, root, random_bytes, clock)

    @classmethod
    def open(
        cls,
        folder: Path,
        unlock: Unlock,
        random_bytes: RandomBytes = os.urandom,
        clock: Clock = time.time,
    ) -> Self:
        """Open a keystore; arguments as of `create`.

        Raises:
            KeystoreAbsent: There is none, or its secret is missing.
            KeystoreUnsafe: Others can use the folder or a file.
            KeystoreCorrupt: The secret is another, or the file was altered.
        """
        if not folder.is_dir():
            raise KeystoreAbsent
        check_owner_only(folder.stat())
        document = decode_document(read_guarded(folder / _FILE, DOCUMENT_LIMIT))
        if document.unlock != unlock.method:
            raise KeystoreCorrupt("the keystore is unlocked by another method")
        try:
            root = open_key(unlock.derive(document.salt), document.root, label_of("root"))
        except KeyUnwrapFailed:
            raise KeystoreCorrupt from None
        return cls(folder, root, random_bytes, clock)

    @staticmethod
    def method(folder: Path) -> str:
        """Return by which method a keystore is unlocked, as its file says; not authenticated yet.

        Raises:
            KeystoreAbsent: There is none.
            KeystoreUnsafe: Others can use the file.
            KeystoreCorrupt: It is no keystore.
        """
        return decode_document(read_guarded(folder / _FILE, DOCUMENT_LIMIT)).unlock

    def create_tenant(self, tenant: str) -> None:
        """Make a tenant's keys; see `KeyProvider`."""
        if not is_name(tenant):
            raise KeyUnavailable
        with self._file.change() as document:
            known = document.tenants.get(tenant)
            if known is None:
                document.tenants[tenant] = TenantKeys(
                    state="active",
                    versions=[self._fresh("tenant", tenant, "1")],
                    mac=self._fresh("mac", tenant),
                    release=self._fresh("release", tenant),
                    made={"1": int(self._clock())},
                )
            elif known.state == "destroyed":
                raise KeyUnavailable

    def wrap(self, tenant: str, key: bytes, aad: bytes) -> bytes:
        """Wrap a key; the result begins with the version of the tenant's key."""
        keys = self._tenant(tenant)
        version = len(keys.versions)
        head = version.to_bytes(_VERSION_LENGTH, "big")
        label = label_of("wrapped", tenant, aad, head)
        wrapping = self._tenant_key(tenant, keys, version)
        return head + seal_key(wrapping, self._random(NONCE_LENGTH), key, label)

    def unwrap(self, tenant: str, wrapped: bytes, aad: bytes) -> bytes:
        """Unwrap a key; see `KeyProvider`."""
        keys = self._tenant(tenant)
        head = wrapped[:_VERSION_LENGTH]
        version = int.from_bytes(head, "big")
        if len(head) != _VERSION_LENGTH or not 1 <= version <= len(keys.versions):
            raise KeyUnwrapFailed
        if not keys.versions[version - 1]:
            raise KeyUnwrapFailed  # retired
        label = label_of("wrapped", tenant, aad, head)
        wrapping = self._tenant_key(tenant, keys, version)
        return open_key(wrapping, wrapped[_VERSION_LENGTH:], label)

    def mac_key(self, tenant: str) -> bytes:
        """Return the key for look-ups; see `KeyProvider`."""
        return open_key(self._root, self._tenant(tenant).mac, label_of("mac", tenant))

    def release_key(self, tenant: str) -> Ed25519PrivateKey:
        """Return the key that signs releases; see `KeyProvider`."""
        return self.ring(release_purpose(tenant)).key

    def convenor_seed(self, tenant: str) -> bytes:
        """Return the convenor's seed; see `KeyProvider`."""
        return self._convenor(tenant, self._tenant(tenant))

    def _convenor(self, tenant: str, keys: TenantKeys) -> bytes:
        if keys.convenor:
            return open_key(self._root, keys.convenor, label_of("convenor", tenant))
        return convenor_seed(self.release_key(tenant))

    def signing_key(self, purpose: str) -> Ed25519PrivateKey:
        """Return a signing key of the platform; see `KeyProvider`."""
        return self.ring(purpose).key

    def ring(self, purpose: str) -> SigningRing:
        """Return the keys of a purpose; see `KeyProvider`."""
        if not _PURPOSE.fullmatch(purpose):
            raise KeyUnavailable
        document = self._file.current()
        tenant = released_by(purpose)
        if tenant is not None:
            _usable(document, tenant)
        elif purpose not in document.signing:
            with self._file.change() as document:
                self._found(document, purpose)
        return opened_ring(document, self._root, purpose, self._clock())

    def rotate_signing(self, purpose: str, *, after: int, overlap: int) -> None:
        """Sign with a new key at once; see `KeyProvider`."""
        now = int(self._clock())
        with self._file.change() as document:
            self._found(document, purpose)
            check_room(document, purpose, now, overlap)
            ring = document.rings.get(purpose)
            if ring is not None and ring.successor:
                raise StateConflict
            prepare(document, purpose, after, self._fresh)
            complete(document, self._root, purpose, after, now=now, overlap=overlap)

    def replace_release_key(self, tenant: str, *, after: int, endorse: Endorse) -> None:
        """Sign with a new key that the old one names; see `KeyProvider`."""
        now, purpose = int(self._clock()), release_purpose(tenant)
        with self._file.change() as document:
            self._found(document, purpose)
            prepared = document.rings.get(purpose)
            if prepared is not None and prepared.successor:
                raise StateConflict
            self._keep_convenor(document, tenant)
            prepare(document, purpose, after, self._fresh)
            ring = opened_ring(document, self._root, purpose, now)
            assert ring.successor is not None, "it is prepared"
            named = endorse(ring.key, ring.successor, now)
            complete(document, self._root, purpose, after, now=now, overlap=None, endorsement=named)

    def forget_former(self, purpose: str) -> None:
        """Forget former keys; see `KeyProvider`."""
        with self._file.change() as document:
            forget_former(document, purpose)

    def prepare_successor(self, purpose: str, *, after: int) -> None:
        """Make what signs next; see `KeyProvider`."""
        with self._file.change() as document:
            self._found(document, purpose)
            prepare(document, purpose, after, self._fresh)

    def complete_succession(self, purpose: str, *, after: int, endorsement: str) -> None:
        """Let the successor sign; see `KeyProvider`."""
        now, tenant = int(self._clock()), released_by(purpose)
        with self._file.change() as document:
            self._found(document, purpose)
            if tenant is not None and not endorsement:
                document.tenants[tenant].convenor = b""
            complete(
                document,
                self._root,
                purpose,
                after,
                now=now,
                overlap=None,
                endorsement=endorsement,
            )

    def rotate(self, tenant: str, *, after: int | None = None, overlap: int = 0) -> None:
        """Make a new version; see `KeyProvider`."""
        now = int(self._clock())
        with self._file.change() as document:
            keys = _usable(document, tenant)
            if after not in (None, len(keys.versions)):
                raise StateConflict
            number = len(keys.versions) + 1
            keys.versions.append(self._fresh("tenant", tenant, str(number)))
            keys.made[str(number)] = now
            keys.until = max(keys.until, now + overlap)

    def tenant_key(self, tenant: str) -> TenantKey:
        """Tell how the tenant's key stands; see `KeyProvider`."""
        keys = self._tenant(tenant)
        newest = len(keys.versions)
        return TenantKey(newest, keys.made.get(str(newest), UNKNOWN), _oldest(keys), keys.until)

    def wraps_newest(self, tenant: str, wrapped: bytes) -> bool:
        """Tell what wrapped a key; see `KeyProvider`."""
        version = int.from_bytes(wrapped[:_VERSION_LENGTH], "big")
        return version == len(self._tenant(tenant).versions)

    def due(self, now: float) -> list[str]:
        """Return who has versions to retire; see `KeyProvider`."""
        return [
            tenant
            for tenant, keys in self._file.current().tenants.items()
            if keys.state == "active" and keys.until <= now and _oldest(keys) < len(keys.versions)
        ]

    def retire(self, tenant: str, *, version: int) -> None:
        """Destroy older versions; see `KeyProvider`."""
        with self._file.change() as document:
            keys = _usable(document, tenant)
            for number in range(1, min(version, len(keys.versions))):
                keys.versions[number - 1] = b""
                keys.made.pop(str(number), None)

    def disable(self, tenant: str) -> None:
        """Refuse every use; see `KeyProvider`."""
        self._set_state(tenant, "disabled")

    def enable(self, tenant: str) -> None:
        """Undo `disable`; see `KeyProvider`."""
        self._set_state(tenant, "active")

    def destroy(self, tenant: str) -> None:
        """Forget a tenant's keys for ever; see `KeyProvider`."""
        with self._file.change() as document:
            if tenant not in document.tenants:
                raise KeyUnavailable
            document.tenants[tenant] = TenantKeys("destroyed", [], b"", b"")
            document.rings.pop(release_purpose(tenant), None)

    def _set_state(self, tenant: str, state: str) -> None:
        with self._file.change() as document:
            keys = document.tenants.get(tenant)
            if keys is None or keys.state == "destroyed":
                raise KeyUnavailable
            keys.state = "active" if state == "active" else "disabled"

    def _tenant(self, tenant: str) -> TenantKeys:
        return _usable(self._file.current(), tenant)

    def _tenant_key(self, tenant: str, keys: TenantKeys, version: int) -> bytes:
        label = label_of("tenant", tenant, str(version))
        return open_key(self._root, keys.versions[version - 1], label)

    def _found(self, document: KeyDocument, purpose: str) -> None:
        """Make the first key of a purpose, unless there is one; tenants have theirs."""
        tenant = released_by(purpose)
        if tenant is not None:
            _usable(document, tenant)
        elif purpose not in document.signing:
            document.signing[purpose] = self._fresh("signing", purpose)
            document.rings[purpose] = RingRecord(made=int(self._clock()))

    def _keep_convenor(self, document: KeyDocument, tenant: str) -> None:
        """Keep what follows from the first release key, before that is gone."""
        keys = document.tenants[tenant]
        seed = self._convenor(tenant, keys)
        keys.convenor = seal_key(
            self._root, self._random(NONCE_LENGTH), seed, label_of("convenor", tenant)
        )

    def _fresh(self, *label: str) -> bytes:
        """Make a key, wrapped under the root."""
        nonce = self._random(NONCE_LENGTH)
        return seal_key(self._root, nonce, self._random(_KEY_LENGTH), label_of(*label))


def _usable(document: KeyDocument, tenant: str) -> TenantKeys:
    keys = document.tenants.get(tenant)
    if keys is None or keys.state != "active":
        raise KeyUnavailable
    return keys


def _oldest(keys: TenantKeys) -> int:
    """Return the oldest version that still unwraps."""
    return next((n for n, one in enumerate(keys.versions, 1) if one), len(keys.versions))
