"""Address and name of people: sealed, and found by a keyed digest of the address.

1. Each person has a key of its own for what is sealed, wrapped by the tenant's key: it opens for
   this tenant and this ciphertext only, and is gone with the row, or with the tenant's key.
2. The digest of an address is keyed by the tenant's key for look-ups, and says of which tenant:
   equal addresses of two tenants have nothing in common in the database.
3. An address is compared as its owner would: composed (Unicode NFC) and without case.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.artifacts.errors import KeyUnwrapFailed
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.upload import SealedPayload, payload_binding
from gateway.errors import InvalidRequest

MAX_ADDRESS: Final = 254
"""Characters of an e-mail address (RFC 5321 section 4.5.3.1.3, without the brackets)."""
MAX_NAME: Final = 200
"""Characters of a name for people."""
ROLE: Final = "person"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class PersonDetails:
    """What people call a person, and where they write to."""

    address: str = field(repr=False)
    name: str = field(repr=False)


def check_details(details: PersonDetails) -> None:
    """Refuse what is no address or no name.

    Raises:
        InvalidRequest: One of them breaks its rule; it is not repeated.
    """
    local, at, domain = details.address.rpartition("@")
    plain = details.address.isprintable() and " " not in details.address
    if not (local and at and domain and plain and len(details.address) <= MAX_ADDRESS):
        raise InvalidRequest("`email` must be an address such as ada@clinic.example")
    if not 1 <= len(details.name) <= MAX_NAME or not details.name.isprintable():
        raise InvalidRequest("`name` must be 1 to 200 printable characters")


class SealedDetails:
    """Seals and opens what is personal of people. Blocks for a look at the key store.

    Args:
        keys: Holds the tenants' keys.
        random_bytes: A cryptographic source.
    """

    def __init__(self, keys: KeyProvider, random_bytes: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._random_bytes = random_bytes

    def mark(self, tenant: str, address: str) -> bytes:
        """Return the keyed digest by which the tenant's person of an address is found.

        Raises:
            KeyUnavailable: The tenant's key is absent, disabled or destroyed.
        """
        known = unicodedata.normalize("NFC", address).casefold()
        said = f"sealgate person\n{tenant}\n{known}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._keys.mac_key(tenant), said, "sha256")

    def seal(self, tenant: str, details: PersonDetails) -> tuple[SealedPayload, bytes]:
        """Encrypt details under a fresh key; returns how, and the ciphertext.

        Raises:
            KeyUnavailable: As of `mark`.
        """
        plain = json.dumps([details.address, details.name]).encode()
        key, nonce = self._random_bytes(_KEY_BYTES), self._random_bytes(_NONCE_BYTES)
        text = nonce + AESGCM(key).encrypt(nonce, plain, tenant.encode())
        digest = hashlib.sha256(text).hexdigest()
        sealed = SealedPayload(
            role=ROLE,
            digest=digest,
            length=len(text),
            plain_length=len(plain),
            plain_digest="",
            wrapped_key=self._keys.wrap(tenant, key, payload_binding(digest, post_quantum=False)),
            post_quantum=False,
        )
        return sealed, text

    def seal_label(self, tenant: str, sealed: SealedPayload, text: bytes, label: str) -> bytes:
        """Encrypt what a person calls something, under the key of its details.

        Raises:
            KeyUnavailable: As of `mark`.
            KeyUnwrapFailed: The details are not genuine.
        """
        nonce = self._random_bytes(_NONCE_BYTES)
        key = self._key(tenant, sealed, text)
        return nonce + AESGCM(key).encrypt(nonce, label.encode(), f"{tenant}\nlabel".encode())

    def open_label(self, tenant: str, sealed: SealedPayload, text: bytes, label: bytes) -> str:
        """Decrypt what `seal_label` returned.

        Raises:
            KeyUnavailable: As of `mark`.
            KeyUnwrapFailed: It is not genuine.
        """
        key, said = self._key(tenant, sealed, text), f"{tenant}\nlabel".encode()
        try:
            return AESGCM(key).decrypt(label[:_NONCE_BYTES], label[_NONCE_BYTES:], said).decode()
        except InvalidTag as cause:
            raise KeyUnwrapFailed from cause

    def handle(self, tenant: str, sealed: SealedPayload, text: bytes) -> bytes:
        """Return what authenticators know a person by: 256 bits from the key of its details.

        It is in no log, tells nothing about the person, and cannot be made once the key is gone.

        Raises:
            KeyUnavailable: As of `mark`.
            KeyUnwrapFailed: The details are not genuine.
        """
        key = self._key(tenant, sealed, text)
        return hmac.digest(key, b"sealgate authenticator handle", "sha256")

    def open(self, tenant: str, sealed: SealedPayload, text: bytes) -> PersonDetails:
        """Decrypt what `seal` returned for the tenant.

        Raises:
            KeyUnavailable: As of `mark`.
            KeyUnwrapFailed: It is not genuine.
        """
        key = self._key(tenant, sealed, text)
        try:
            plain = AESGCM(key).decrypt(text[:_NONCE_BYTES], text[_NONCE_BYTES:], tenant.encode())
        except InvalidTag as cause:
            raise KeyUnwrapFailed from cause
        address, name = json.loads(plain)
        return PersonDetails(address, name)

    def _key(self, tenant: str, sealed: SealedPayload, text: bytes) -> bytes:
        aad = payload_binding(hashlib.sha256(text).hexdigest(), post_quantum=False)
        return self._keys.unwrap(tenant, sealed.wrapped_key, aad)
