"""The content of a local keystore's file: wrapped keys, under one authentication code."""

from __future__ import annotations

import hmac
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.artifacts.errors import KeystoreCorrupt, KeyUnwrapFailed

DOCUMENT_LIMIT: Final = 64 << 20  # a hundred thousand tenants
NONCE_LENGTH: Final = 12
_MAC_LENGTH: Final = 32


class TenantKeys(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tenant's keys, each wrapped under the root.

    Attributes:
        state: A destroyed tenant keeps its name and nothing else.
        versions: The tenant key, oldest first; version 1 is at index 0. Retired ones are empty.
        mac: The key for look-ups.
        release: The seed of the release key that signs; what else is known of it is among `rings`.
        convenor: Of `gateway.artifacts.convenor`; empty while it follows from the release key.
        made: When a version was made (Unix seconds), where that is known.
        until: How long versions before the newest are promised to unwrap (Unix seconds).
    """

    state: Literal["active", "disabled", "destroyed"]
    versions: list[bytes]
    mac: bytes
    release: bytes
    made: dict[str, int] = {}
    until: int = 0
    convenor: bytes = b""


class FormerRecord(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A signing key that was replaced; see `gateway.artifacts.keys.FormerKey`."""

    number: int
    public: bytes
    replaced: int
    made: int = 0
    ends: int | None = None
    endorsement: str = ""


class RingRecord(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is known of the signing keys of a purpose besides the seed that signs.

    Attributes:
        number: Of the key that signs; 1 for the first.
        made: When that was made (Unix seconds); 0 where it is not known.
        successor: The seed of what is to sign next; empty when nothing is.
        former: Oldest first.
    """

    number: int = 1
    made: int = 0
    successor: bytes = b""
    former: list[FormerRecord] = []


class KeyDocument(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Everything in the file. Releases before the fields with defaults read it without those.

    Attributes:
        unlock: The method that unlocks it.
        salt: For that method.
        root: The root key, wrapped under what the method derives.
        tenants: By tenant id.
        signing: Seeds of the platform's signing keys, wrapped under the root, by purpose.
        rings: What else is known of these, by purpose.
        format: Of this record.
    """

    unlock: str
    salt: bytes
    root: bytes
    tenants: dict[str, TenantKeys]
    signing: dict[str, bytes]
    rings: dict[str, RingRecord] = {}
    format: Literal[1] = 1


def encode_document(document: KeyDocument, root: bytes) -> bytes:
    """Write the file: the authentication code, then JSON."""
    body = msgspec.json.encode(document, order="sorted")
    return _mac(root, body) + body


def decode_document(data: bytes) -> KeyDocument:
    """Read a file; `verify_document` must follow once the root key is known.

    Raises:
        KeystoreCorrupt: It is no keystore.
    """
    try:
        return msgspec.json.decode(data[_MAC_LENGTH:], type=KeyDocument)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise KeystoreCorrupt from None


def verify_document(data: bytes, root: bytes) -> None:
    """Check the authentication code of a file.

    Raises:
        KeystoreCorrupt: Somebody without the root key changed it.
    """
    if not hmac.compare_digest(_mac(root, data[_MAC_LENGTH:]), data[:_MAC_LENGTH]):
        raise KeystoreCorrupt


def seal_key(wrapping_key: bytes, nonce: bytes, key: bytes, label: bytes) -> bytes:
    """Wrap a key by AES-256-GCM, bound to what it is for."""
    return nonce + AESGCM(wrapping_key).encrypt(nonce, key, label)


def open_key(wrapping_key: bytes, sealed: bytes, label: bytes) -> bytes:
    """Undo `seal_key`.

    Raises:
        KeyUnwrapFailed: Another key, another purpose, or altered bytes.
    """
    nonce, body = sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:]
    try:
        return AESGCM(wrapping_key).decrypt(nonce, body, label)
    except (InvalidTag, ValueError):
        raise KeyUnwrapFailed from None


def label_of(*parts: str | bytes) -> bytes:
    """Join parts so that no two lists of parts have the same label."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"sealgate" + b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _mac(root: bytes, body: bytes) -> bytes:
    key = HKDF(hashes.SHA256(), 32, None, b"sealgate/keystore/document").derive(root)
    return hmac.digest(key, body, "sha256")
