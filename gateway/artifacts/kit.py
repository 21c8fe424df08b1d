"""The partner's kit: the public keys of a tenant, handed over once as a file.

The safety argument:

1. A kit holds exactly one release key, by its form: 32 bytes in hex. A file with two keys, or with
   a name that is given twice, is no kit.
2. A kit is its canonical bytes and one line end, so that one content has one hash, which
   `sha256sum` shows as well.
3. A kit is not signed and proves nothing by itself. It is trusted because a person compared its
   hash over a way that whoever carried the file does not control; nothing in here does that.
4. It names a release time for each model below which nothing is accepted, so that the first
   download is held to what was newest when the kit was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.artifacts.canonical import encode_canonical, parse_canonical
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.manifest import Name, Seconds
from gateway.artifacts.signature import parse_owner_key

KIT_LIMIT: Final = 128 << 10
"""Bytes: 64 keys and 512 models take some 60 kB."""
OWNER_KEY_LIMIT: Final = 64
"""Keys of owners in one kit: each is a person or a federation."""
MODEL_LIMIT: Final = 512

ReleaseKey = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""An Ed25519 public key (RFC 8032, section 5.1.5), hex."""
OwnerKey = Annotated[str, msgspec.Meta(pattern=r"\A0[23][0-9a-f]{64}\Z")]
"""A point on P-256 in compressed form (SEC 1, section 2.3.3), hex."""


class Kit(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a partner trusts of a tenant.

    Attributes:
        tenant: Whose keys they are.
        release_key: The tenant's release key.
        owner_keys: Keys of those who sign its models; sorted.
        newest: By model, when its newest version was released as the kit was made, Unix seconds.
        created: Unix seconds.
    """

    tenant: Name
    release_key: ReleaseKey
    owner_keys: Annotated[
        tuple[OwnerKey, ...], msgspec.Meta(min_length=1, max_length=OWNER_KEY_LIMIT)
    ]
    newest: Annotated[dict[Name, Seconds], msgspec.Meta(max_length=MODEL_LIMIT)]
    created: Seconds

    def __post_init__(self) -> None:
        """Refuse owners' keys in another order, or twice."""
        if list(self.owner_keys) != sorted(set(self.owner_keys)):
            raise ValueError("the owners' keys are not sorted and different")

    def encode(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            StatementInvalid: A field breaks its constraint.
        """
        return encode_canonical(self, KIT_LIMIT) + b"\n"

    def digest(self) -> str:
        """Return the SHA-256 of the file, hex: what two people compare."""
        return hashlib.sha256(self.encode()).hexdigest()

    def public_release_key(self) -> Ed25519PublicKey:
        """Return the release key to verify with."""
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.release_key))


def make_kit(
    tenant: str,
    release_key: Ed25519PublicKey,
    owner_keys: Iterable[str],
    newest: Mapping[str, int],
    created: int,
) -> Kit:
    """Make a kit.

    Args:
        tenant: Whose.
        release_key: As the maker trusts it.
        owner_keys: Results of `owner_key_id`.
        newest: Release times by model, Unix seconds.
        created: Unix seconds.

    Raises:
        StatementInvalid: No key, too many, or a name breaks its rule.
    """
    kit = Kit(
        tenant=tenant,
        release_key=release_key_id(release_key),
        owner_keys=tuple(sorted(set(owner_keys))),
        newest=dict(newest),
        created=created,
    )
    kit.encode()
    return kit


def parse_kit(data: bytes) -> Kit:
    """Read the file of a kit.

    Raises:
        StatementInvalid: It is no kit, or is spelled otherwise.
    """
    if not data.endswith(b"\n"):
        raise StatementInvalid("this is no partner's kit, or it was cut short")
    try:
        return parse_canonical(data[:-1], Kit, KIT_LIMIT)
    except StatementInvalid:
        raise StatementInvalid("this is no partner's kit, or it was changed on its way") from None


def release_key_id(key: Ed25519PublicKey) -> str:
    """Return a release key as kits write it."""
    return key.public_bytes_raw().hex()


def owner_key_id(pem: bytes) -> str:
    """Return an owner's public key as kits write it.

    Args:
        pem: Of anybody's; exactly one key.

    Raises:
        StatementInvalid: It is no public key on P-256, or more than one.
    """
    if pem.count(b"-----BEGIN") != 1:
        raise StatementInvalid("the file holds no public key, or more than one")
    return point_of(parse_owner_key(pem))


def point_of(key: ec.EllipticCurvePublicKey) -> str:
    """Return an owner's public key as kits write it."""
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint).hex()
