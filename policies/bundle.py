"""A published policy set: canonical JSON under the publisher's Ed25519 signature (RFC 8032).

1. What is signed is the exact canonical form of all fields, after a line that no other kind of
   message begins with, so a signature of another purpose never fits.
2. `previous` is the digest of the tenant's bundle before, so an epoch cannot be taken out or
   replaced without breaking the chain.
3. `SignedBundle.from_bytes` accepts only the canonical form: one bundle has one sequence of bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policies.errors import BundleRefused
from policies.shape import MAX_TEXT_BYTES

PREFIX: Final = b"sealgate policy bundle v1\n"
MAX_BUNDLE_BYTES: Final = 6 * MAX_TEXT_BYTES + 4096
"""JSON needs at most six bytes for one byte of text."""
MAX_EPOCH: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exact."""
MAX_AUTHOR: Final = 256
"""Characters of an author's reference."""

_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored form."""

    author: str
    created: int
    epoch: int
    previous: str | None
    signature: str
    tenant: str
    text: str


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """One epoch of a tenant's policies.

    Attributes:
        tenant: Whose set it is.
        epoch: 1, 2, 3 … per tenant.
        previous: `digest` of the epoch before, None for the first.
        author: Reference of who published it; no personal datum.
        text: The Cedar policies.
        created: Unix seconds.
        signature: Ed25519 over `signed_bytes`, 64 bytes.
    """

    tenant: str
    epoch: int
    previous: str | None
    author: str
    text: str
    created: int
    signature: bytes = b""

    def signed_bytes(self) -> bytes:
        """Return what the signature covers: prefix and canonical JSON without the signature.

        Raises:
            BundleRefused: A field has a value that no bundle may have.
        """
        fields = asdict(self)
        del fields["signature"]
        self._check()
        return PREFIX + _canonical(fields)

    @property
    def digest(self) -> str:
        """SHA-256 of `signed_bytes`, lowercase hex."""
        return hashlib.sha256(self.signed_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the canonical JSON form with the signature in base64."""
        self._check()
        return _canonical(asdict(self) | {"signature": base64.b64encode(self.signature).decode()})

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedBundle:
        """Parse the form that `to_bytes` makes. The signature is not verified here.

        Raises:
            BundleRefused: The bytes are not the canonical form of a bundle.
        """
        if len(data) > MAX_BUNDLE_BYTES:
            raise BundleRefused
        try:
            document = msgspec.json.decode(data, type=_Document)
            fields = msgspec.structs.asdict(document)
            signature = base64.b64decode(document.signature, validate=True)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise BundleRefused from error
        bundle = cls(**(fields | {"signature": signature}))
        if bundle.to_bytes() != data:
            raise BundleRefused
        return bundle

    def _check(self) -> None:
        try:
            fits = len(self.text.encode()) <= MAX_TEXT_BYTES and bool(self.author.encode())
        except UnicodeEncodeError:
            fits = False
        chained = (
            self.previous is None
            if self.epoch == 1
            else self.previous is not None and _DIGEST.fullmatch(self.previous) is not None
        )
        if not (
            fits
            and chained
            and _TENANT.fullmatch(self.tenant)
            and 1 <= self.epoch <= MAX_EPOCH
            and 0 <= self.created <= MAX_EPOCH
            and len(self.author) <= MAX_AUTHOR
        ):
            raise BundleRefused


def sign_bundle(bundle: SignedBundle, key: Ed25519PrivateKey) -> SignedBundle:
    """Return the bundle with its signature.

    Raises:
        BundleRefused: A field has a value that no bundle may have.
    """
    signed = asdict(bundle) | {"signature": key.sign(bundle.signed_bytes())}
    return SignedBundle(**signed)


def verify_bundle(bundle: SignedBundle, public_key: Ed25519PublicKey) -> None:
    """Check the signature.

    Raises:
        BundleRefused: It is not by this key over these fields.
    """
    try:
        public_key.verify(bundle.signature, bundle.signed_bytes())
    except InvalidSignature:
        raise BundleRefused("the policy bundle is not signed by the expected key") from None


def _canonical(fields: dict[str, object]) -> bytes:
    return json.dumps(
        fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()
