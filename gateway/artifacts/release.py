"""A released version as a holder of files sees it: manifest and link, under a trusted key.

The safety argument, in the order of the code:

1. The link's signature verifies under the tenant's release key, which the caller trusts.
2. The manifest is the one whose digest the link names, and says the same tenant, model, version.
3. The manifest has not expired.
4. A payload is accepted only when link and manifest both name its digest for the same role, and
   its content has the digest that the manifest names.

What the caller still owes: refusing a version older than the newest that it has trusted.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.artifacts.canonical import well_formed
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.manifest import Manifest, PayloadEntry, parse_manifest
from gateway.artifacts.signature import LinkStatement, verify_link
from gateway.strict_json import strict_json


@dataclasses.dataclass(frozen=True, slots=True)
class Release:
    """A verified pair of manifest and link.

    Attributes:
        manifest: What the version is.
        link: What the tenant vouches for.
    """

    manifest: Manifest
    link: LinkStatement

    def entry_for(self, digest: str, plain_digest: str) -> PayloadEntry:
        """Return the payload of the version that has these digests.

        Args:
            digest: SHA-256 of the encrypted payload, hex.
            plain_digest: SHA-256 of its content, hex.

        Raises:
            StatementInvalid: It is no payload of this version.
        """
        for entry in self.manifest.payloads:
            named = self.link.payloads.get(entry.role) == entry.digest
            if named and (entry.digest, entry.plain_digest) == (digest, plain_digest):
                return entry
        raise StatementInvalid("the file is no payload of this version")


def load_release(manifest: bytes, link: bytes, release_key_pem: bytes, *, now: float) -> Release:
    """Verify a version's manifest.

    Args:
        manifest: Its canonical bytes.
        link: The signed link, or the document with both signatures that the gateway serves.
        release_key_pem: The tenant's public release key, from a source that is trusted.
        now: Unix seconds.

    Raises:
        StatementInvalid: A part is malformed, not signed by the key, of another version, or has
            expired.
    """
    return release_under(public_release_key(release_key_pem), manifest, _envelope(link), now=now)


def release_under(key: Ed25519PublicKey, manifest: bytes, link: bytes, *, now: float) -> Release:
    """Verify a version's manifest under a key.

    Args:
        key: The tenant's release key, from a source that is trusted.
        manifest: Its canonical bytes.
        link: The signed link.
        now: Unix seconds.

    Raises:
        StatementInvalid: As `load_release`.
    """
    return release_of(verify_link(key, link), manifest, now=now)


def release_of(statement: LinkStatement, manifest: bytes, *, now: float) -> Release:
    """Hold a version's manifest against its link.

    Args:
        statement: The link, whose signature was verified.
        manifest: Its canonical bytes.
        now: Unix seconds.

    Raises:
        StatementInvalid: As `load_release`.
    """
    if hashlib.sha256(manifest).hexdigest() != statement.manifest:
        raise StatementInvalid("the manifest is not the one that was released")
    parsed = parse_manifest(manifest)
    names = (parsed.tenant, parsed.model, parsed.version)
    if names != (statement.tenant, statement.model, statement.version):
        raise StatementInvalid("the manifest is of another version")
    if parsed.expires is not None and parsed.expires <= now:
        raise StatementInvalid("the version has expired")
    return Release(parsed, statement)


def _envelope(link: bytes) -> bytes:
    """Take the link out of the document that also holds the owner's signature."""
    with well_formed():
        document = strict_json(link)
        if isinstance(document, dict) and isinstance(document.get("link"), str):
            return base64.b64decode(document["link"], validate=True)
    return link


def public_release_key(pem: bytes) -> Ed25519PublicKey:
    """Read a release key.

    Args:
        pem: Of anybody's; exactly one key.

    Raises:
        StatementInvalid: It is no Ed25519 key, or more than one.
    """
    if pem.count(b"-----BEGIN") > 1:
        raise StatementInvalid("there is more than one release key")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise StatementInvalid("the release key is malformed") from None
    if not isinstance(key, Ed25519PublicKey):
        raise StatementInvalid("the release key is not an Ed25519 key")
    return key
