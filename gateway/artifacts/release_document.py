"""What travels beside an encrypted model: its manifest and both signatures, in one file.

The safety argument of `verify`, in the order of the code:

1. The tenant's release key, as the kit has it, signed the link, or one that is in a chain with it
   (`gateway.artifacts.release_keys`) did while it was not replaced; the link names the manifest by
   its digest; both say the same tenant, model and version; the manifest has not expired.
2. The tenant is the kit's. A kit says nothing of another tenant's models.
3. The link names the owner's bundle by its digest, and a key that the kit has signed it, over
   exactly one file: the content of the payload that is delivered. So whoever holds the release key
   alone cannot pass off another model.
4. A release from the future is refused: remembered as the newest it would shut out all that follow.

What the caller still owes: that it is the model and the version that was asked for, that it is not
older than what was seen before (`gateway.artifacts.trust`), and the digests of the file
(`Release.entry_for`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from typing import Annotated, Final

import msgspec

from gateway.artifacts.canonical import encode_canonical, parse_canonical, well_formed
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import Kit, owner_key_id
from gateway.artifacts.manifest import MANIFEST_LIMIT
from gateway.artifacts.release import Release, release_of
from gateway.artifacts.release_keys import (
    CHAIN_LIMIT,
    MAX_SUCCESSIONS,
    ReleaseRing,
    SignedSuccession,
)
from gateway.artifacts.signature import (
    BUNDLE_LIMIT,
    LINK_LIMIT,
    MODEL_FILE,
    verify_owner_statement,
)

GRAPH: Final = "graph"
"""Role of the payload whose content the owner signed."""
DOCUMENT_LIMIT: Final = 2 * (MANIFEST_LIMIT + 2 * LINK_LIMIT + BUNDLE_LIMIT) + CHAIN_LIMIT
"""Base64 takes a third more than the bytes."""
CLOCK_LEEWAY: Final = 86_400
"""Seconds by which the gateway's clock may be ahead of ours; clocks off by a time zone fit."""


class ReleaseDocument(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The signed statements of a version, none of them verified.

    Attributes:
        manifest: Its canonical bytes.
        link: The signed link.
        owner_bundle: The owner's signature.
        owner_key: The owner's public key, PEM.
        successions: How the tenant's release keys followed one another; oldest first.
    """

    manifest: bytes
    link: bytes
    owner_bundle: bytes
    owner_key: Annotated[str, msgspec.Meta(max_length=4096)]
    successions: Annotated[
        tuple[SignedSuccession, ...], msgspec.Meta(max_length=MAX_SUCCESSIONS)
    ] = ()

    def encode(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            StatementInvalid: It is too large.
        """
        return encode_canonical(self, DOCUMENT_LIMIT)


@dataclasses.dataclass(frozen=True, slots=True)
class Verified:
    """A version that tenant and owner vouch for.

    Attributes:
        release: Manifest and link.
        owner_key: Who signed the model, as kits write it.
        content: SHA-256 of the model, hex.
    """

    release: Release
    owner_key: str
    content: str


def parse_release_document(data: bytes) -> ReleaseDocument:
    """Read the file beside an encrypted model.

    Raises:
        StatementInvalid: It is no such file, or holds more than it should.
    """
    return parse_canonical(data, ReleaseDocument, DOCUMENT_LIMIT)


def verify(
    document: ReleaseDocument, kit: Kit, *, now: float, ring: ReleaseRing | None = None
) -> Verified:
    """Verify a version under the keys of a kit.

    Args:
        document: Of anybody's.
        kit: Accepted by a person.
        now: Unix seconds.
        ring: What is known of the release keys; None: the kit and what the document says.

    Raises:
        StatementInvalid: A part is malformed, signed by another key, of another tenant or version,
            has expired, or is from the future.
    """
    ring = ring or ReleaseRing.of(kit.release_key, kit.tenant, document.successions)
    release = release_of(ring.verify(document.link), document.manifest, now=now)
    if release.manifest.tenant != kit.tenant:
        raise StatementInvalid("the version is another tenant's")
    signer, content = _owner(document, release)
    if signer not in kit.owner_keys:
        raise StatementInvalid("the model is signed by an owner whose key is not in the kit")
    if release.link.created > now + CLOCK_LEEWAY:
        raise StatementInvalid("the version is from the future: compare the clocks")
    return Verified(release, signer, content)


def check_owner(document: ReleaseDocument, release: Release) -> str:
    """Check the owner's signature under the key that comes with it; return that key.

    Raises:
        StatementInvalid: It does not verify, or the link names another.
    """
    return _owner(document, release)[0]


def _owner(document: ReleaseDocument, release: Release) -> tuple[str, str]:
    """Return the key that signed the content of the graph, and the digest of that content."""
    bundle = hashlib.sha256(document.owner_bundle).hexdigest()
    if not hmac.compare_digest(bundle, release.link.owner):
        raise StatementInvalid("the owner's signature is not the one that was released")
    graph = release.manifest.payload(GRAPH)
    if graph is None:
        raise StatementInvalid("the version has no payload that its owner signed")
    if len(document.owner_bundle) > BUNDLE_LIMIT:
        raise StatementInvalid("the signed statement is too large")
    with well_formed():
        parsed: object = msgspec.json.decode(document.owner_bundle)
    pem = document.owner_key.encode("ascii", "replace")
    verify_owner_statement(parsed, pem, {MODEL_FILE: graph.plain_digest})
    return owner_key_id(pem), graph.plain_digest
