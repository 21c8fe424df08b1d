"""The two kinds of age keys: `X25519` and the post-quantum `mlkem768x25519`.

Source: C2SP age.md, "X25519 recipient type" and "mlkem768x25519 recipient type"; RFC 9180 (HPKE)
with the X-Wing hybrid of ML-KEM-768 (FIPS 203) and X25519. Low-order X25519 shares, whose secret
anybody knows, are refused in both.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.artifacts.age import bech32
from gateway.artifacts.age.stanza import Stanza, decode_argument, encode_base64
from gateway.artifacts.errors import HeaderInvalid, IdentityInvalid, RecipientInvalid

RandomBytes = Callable[[int], bytes]

_X25519: Final = "X25519"
_X25519_INFO: Final = b"age-encryption.org/v1/X25519"
_X25519_LENGTH: Final = 32
_MLKEM: Final = "mlkem768x25519"
_MLKEM_INFO: Final = b"age-encryption.org/mlkem768x25519"
_MLKEM_PUBLIC_LENGTH: Final = 1184
_MLKEM_CIPHERTEXT_LENGTH: Final = 1088
_HYBRID_LENGTH: Final = _MLKEM_PUBLIC_LENGTH + _X25519_LENGTH
_ENCAPSULATION_LENGTH: Final = _MLKEM_CIPHERTEXT_LENGTH + _X25519_LENGTH
_SEED_LENGTH: Final = 32
_ZERO_NONCE: Final = bytes(12)  # sound: each wrapping key is used once
_SUITE: Final = hpke.Suite(
    hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305
)


@dataclasses.dataclass(frozen=True, slots=True)
class X25519Recipient:
    """A classical public key.

    Attributes:
        public: The 32-byte point.
    """

    post_quantum: ClassVar[bool] = False
    public: bytes

    def __str__(self) -> str:
        return bech32.encode("age", self.public)

    def wrap(self, file_key: bytes, random_bytes: RandomBytes) -> Stanza:
        """Wrap the file key to this recipient under a fresh share.

        Raises:
            RecipientInvalid: The key is a point of low order.
        """
        ephemeral = X25519PrivateKey.from_private_bytes(random_bytes(_X25519_LENGTH))
        share = ephemeral.public_key().public_bytes_raw()
        try:
            secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.public))
        except ValueError:
            raise RecipientInvalid from None
        key = _wrapping_key(secret, share + self.public)
        body = ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, file_key, None)
        return Stanza(_X25519, (encode_base64(share),), body)


@dataclasses.dataclass(frozen=True, slots=True)
class HybridRecipient:
    """A post-quantum public key.

    Attributes:
        public: The 1184-byte ML-KEM-768 encapsulation key and the 32-byte X25519 point.
    """

    post_quantum: ClassVar[bool] = True
    public: bytes

    def __str__(self) -> str:
        return bech32.encode("age1pq", self.public)

    def wrap(self, file_key: bytes, random_bytes: RandomBytes) -> Stanza:  # noqa: ARG002
        """Wrap the file key by HPKE; its encapsulation draws randomness in the library itself.

        Raises:
            RecipientInvalid: One of the two keys is no valid key.
        """
        try:
            key = hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(self.public[:_MLKEM_PUBLIC_LENGTH]),
                X25519PublicKey.from_public_bytes(self.public[_MLKEM_PUBLIC_LENGTH:]),
            )
            sealed = _SUITE.encrypt(file_key, key, _MLKEM_INFO)
        except ValueError:
            raise RecipientInvalid from None
        share = encode_base64(sealed[:_ENCAPSULATION_LENGTH])
        return Stanza(_MLKEM, (share,), sealed[_ENCAPSULATION_LENGTH:])


class X25519Identity:
    """A classical private key.

    Attributes:
        secret: Its text, `AGE-SECRET-KEY-1…`.
        recipient: The text of its public key, `age1…`.
    """

    def __init__(self, scalar: bytes) -> None:
        self.secret = bech32.encode("AGE-SECRET-KEY-", scalar)
        self._key = X25519PrivateKey.from_private_bytes(scalar)
        self._public = self._key.public_key().public_bytes_raw()
        self.recipient = str(X25519Recipient(self._public))

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key, or None when the stanza is for somebody else.

        Raises:
            HeaderInvalid: It is an `X25519` stanza, but not a valid one.
        """
        if stanza.kind != _X25519:
            return None
        share = decode_argument(stanza, _X25519_LENGTH)
        secret = _exchange(self._key, share)
        key = _wrapping_key(secret, share + self._public)
        try:
            return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None


class HybridIdentity:
    """A post-quantum private key.

    Attributes:
        secret: Its text, `AGE-SECRET-KEY-PQ-1…`.
        recipient: The text of its public key, `age1pq1…`.
    """

    def __init__(self, seed: bytes) -> None:
        self.secret = bech32.encode("AGE-SECRET-KEY-PQ-", seed)
        expanded = hashlib.shake_256(seed).digest(96)  # X-Wing: 64 for ML-KEM, 32 for X25519
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        self._x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._key = hpke.MLKEM768X25519PrivateKey(mlkem, self._x25519)
        public = mlkem.public_key().public_bytes_raw()
        public += self._x25519.public_key().public_bytes_raw()
        self.recipient = str(HybridRecipient(public))

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key, or None when the stanza is for somebody else.

        Raises:
            HeaderInvalid: It is an `mlkem768x25519` stanza, but not a valid one.
        """
        if stanza.kind != _MLKEM:
            return None
        encapsulation = decode_argument(stanza, _ENCAPSULATION_LENGTH)
        _exchange(self._x25519, encapsulation[_MLKEM_CIPHERTEXT_LENGTH:])
        try:
            return _SUITE.decrypt(encapsulation + stanza.body, self._key, _MLKEM_INFO)
        except InvalidTag:
            return None


Recipient = X25519Recipient | HybridRecipient
Identity = X25519Identity | HybridIdentity


def generate_identity(random_bytes: RandomBytes, *, post_quantum: bool = False) -> Identity:
    """Make a new private key.

    Args:
        random_bytes: A cryptographic source.
        post_quantum: Make one whose files a quantum computer cannot open later.
    """
    secret = random_bytes(_SEED_LENGTH)
    return HybridIdentity(secret) if post_quantum else X25519Identity(secret)


def parse_recipient(text: str) -> Recipient:
    """Read a public key, `age1…` or `age1pq1…`.

    Raises:
        RecipientInvalid: It is neither.
    """
    try:
        prefix, public = bech32.decode(text)
    except ValueError:
        raise RecipientInvalid from None
    if prefix == "age" and len(public) == _X25519_LENGTH:
        return X25519Recipient(public)
    if prefix == "age1pq" and len(public) == _HYBRID_LENGTH:
        return HybridRecipient(public)
    raise RecipientInvalid


def parse_identity(text: str) -> Identity:
    """Read a private key, `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`.

    Raises:
        IdentityInvalid: It is neither.
    """
    try:
        prefix, secret = bech32.decode(text)
    except ValueError:
        raise IdentityInvalid from None
    if prefix == "AGE-SECRET-KEY-" and len(secret) == _SEED_LENGTH:
        return X25519Identity(secret)
    if prefix == "AGE-SECRET-KEY-PQ-" and len(secret) == _SEED_LENGTH:
        return HybridIdentity(secret)
    raise IdentityInvalid


def _wrapping_key(secret: bytes, salt: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, _X25519_INFO).derive(secret)


def _exchange(key: X25519PrivateKey, share: bytes) -> bytes:
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(share))
    except ValueError:
        raise HeaderInvalid from None
