"""The seed of the key with which a convening tenant owns what its federations trained.

It is derived from the tenant's release key (HKDF, RFC 5869), so that it is kept nowhere while that
key is the first one, and partners who pinned it in a kit keep their pin when the release key is
followed by another: then the derived seed alone is kept, from which nobody gets back.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEED_BYTES: Final = 64
"""Reduced into the order of P-256 they leave no usable bias (FIPS 186-5, A.2.1)."""
_INFO: Final = b"sealgate owner key of a convening tenant v1"


def convenor_seed(release_key: Ed25519PrivateKey) -> bytes:
    """Derive the seed, `SEED_BYTES` long."""
    derive = HKDF(algorithm=hashes.SHA256(), length=SEED_BYTES, salt=None, info=_INFO)
    return derive.derive(release_key.private_bytes_raw())
