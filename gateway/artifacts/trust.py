"""What a partner trusts, and the newest release of each model that it has seen.

The safety argument:

1. The signed time of the link orders the releases of a model: the gateway writes it when it
   publishes or seals anew, and nobody without the release key can write another.
2. A release that is older than the newest seen is refused: it may be a replay by whoever stands in
   the way. The floor is what the kit names.
3. A version has one content. The same name with another content is refused even where it is newer:
   somebody was shown two things.
4. Kit and what was seen are one record in one file, so that neither is lost without the other, and
   a record is whole or no record at all.
5. Release keys follow one another by what the trusted one signed (`release_keys`), and never back:
   a key that another one replaced here is not trusted as the newest again, whatever a kit says.

Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from gateway.artifacts.canonical import encode_canonical, parse_canonical
from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.kit import MODEL_LIMIT, Kit, ReleaseKey
from gateway.artifacts.manifest import Digest, Name, Seconds, Version
from gateway.artifacts.release_document import Verified
from gateway.artifacts.release_keys import (
    MAX_SUCCESSIONS,
    ReleaseRing,
    SignedSuccession,
    merged,
)

RETIRED_KEPT: Final = 256
"""Release keys that are remembered as gone; a kit each year takes centuries."""
RECORD_LIMIT: Final = 8 << 20
"""Bytes: as many models and versions as are kept take 6 MB."""
VERSIONS_KEPT: Final = 64
"""Contents that are remembered for each model, the newest ones."""

Objection = Literal["older", "changed"]


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version that was trusted.

    Attributes:
        created: The signed time of its newest link.
        content: SHA-256 of the model, hex.
    """

    created: Seconds
    content: Digest


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was seen of a model.

    Attributes:
        newest: The newest signed time; nothing older is accepted.
        versions: The versions that were trusted, `VERSIONS_KEPT` at most.
    """

    newest: Seconds
    versions: Annotated[dict[Version, Known], msgspec.Meta(max_length=VERSIONS_KEPT)]


class TrustRecord(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a partner keeps of a tenant.

    Attributes:
        kit: As it was accepted.
        accepted: When.
        models: What was seen, by model.
        successions: How release keys followed that of the kit, and what it followed; oldest first.
        retired: Release keys of kits whose place another one took, with those of their chains.
    """

    kit: Kit
    accepted: Seconds
    models: Annotated[dict[Name, Seen], msgspec.Meta(max_length=2 * MODEL_LIMIT)]
    successions: Annotated[
        tuple[SignedSuccession, ...], msgspec.Meta(max_length=MAX_SUCCESSIONS)
    ] = ()
    retired: Annotated[tuple[ReleaseKey, ...], msgspec.Meta(max_length=RETIRED_KEPT)] = ()

    def ring(self) -> ReleaseRing:
        """Return the release keys that are trusted.

        Raises:
            StatementInvalid: They do not belong together.
        """
        return ReleaseRing.of(self.kit.release_key, self.kit.tenant, self.successions)

    def encode(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            StatementInvalid: More models than are kept.
        """
        return encode_canonical(self, RECORD_LIMIT)


def accepting(kit: Kit, now: float, before: TrustRecord | None = None) -> TrustRecord:
    """Return a record that trusts a kit from now on.

    Args:
        kit: Its hash was compared.
        now: Unix seconds.
        before: What was kept so far; what was seen stays seen.

    Raises:
        StatementInvalid: `before` is another tenant's, of a kit that is newer, or has replaced the
            kit's release key.
    """
    models = dict(before.models) if before is not None else {}
    if before is not None and before.kit.tenant != kit.tenant:
        raise StatementInvalid("the kit is another tenant's")
    if before is not None and before.kit.created > kit.created:
        raise StatementInvalid("the kit is older than the one that was accepted")
    for model, floor in kit.newest.items():
        seen = models.get(model, Seen(newest=0, versions={}))
        models[model] = Seen(newest=max(seen.newest, floor), versions=seen.versions)
    successions, retired = _keys_after(kit, before) if before is not None else ((), ())
    return TrustRecord(
        kit=kit, accepted=int(now), models=models, successions=successions, retired=retired
    )


def _keys_after(
    kit: Kit, before: TrustRecord
) -> tuple[tuple[SignedSuccession, ...], tuple[str, ...]]:
    """Return the chain that goes on to hold, and the keys that are trusted no more.

    Raises:
        StatementInvalid: The kit's key was replaced by one that is trusted.
    """
    ring = before.ring()
    if kit.release_key in (*ring.former, *before.retired):
        raise StatementInvalid("the kit has a release key that another one has replaced")
    if kit.release_key == ring.newest:
        return before.successions, before.retired
    gone = (*before.retired, *ring.former, ring.newest)
    return (), tuple(dict.fromkeys(gone))[-RETIRED_KEPT:]


def following(record: TrustRecord, told: Sequence[SignedSuccession]) -> TrustRecord:
    """Return the record with release keys that stand in a chain with the one that it trusts.

    Args:
        record: What is trusted.
        told: Of anybody's, oldest first.

    Raises:
        StatementInvalid: They do not begin with a key that is trusted, or it is known that another
            one followed.
    """
    chain = merged(record.successions, told)
    ReleaseRing.of(record.kit.release_key, record.kit.tenant, chain)
    return msgspec.structs.replace(record, successions=chain)


def parse_record(data: bytes) -> TrustRecord:
    """Read what was kept.

    Raises:
        StatementInvalid: It is no whole record.
    """
    return parse_canonical(data, TrustRecord, RECORD_LIMIT)


def objection(record: TrustRecord, found: Verified) -> Objection | None:
    """Say what speaks against a version whose signatures hold; None: nothing does.

    Args:
        record: What was seen so far.
        found: Verified under the record's kit.
    """
    seen = record.models.get(found.release.manifest.model)
    if seen is None:
        return None
    known = seen.versions.get(found.release.manifest.version)
    if known is not None and known.content != found.content:
        return "changed"
    return "older" if found.release.link.created < seen.newest else None


def remembering(record: TrustRecord, found: Verified) -> TrustRecord:
    """Return the record with a version seen; the newest never becomes older.

    Raises:
        StatementInvalid: The version's content changed.
    """
    if objection(record, found) == "changed":
        raise StatementInvalid("the version had another content before")
    manifest, created = found.release.manifest, found.release.link.created
    seen = record.models.get(manifest.model, Seen(newest=0, versions={}))
    versions = dict(seen.versions)
    earlier = versions.get(manifest.version)
    newest_link = max(created, earlier.created) if earlier is not None else created
    versions[manifest.version] = Known(created=newest_link, content=found.content)
    kept = sorted(versions, key=lambda name: versions[name].created)[-VERSIONS_KEPT:]
    fresh = Seen(newest=max(seen.newest, created), versions={name: versions[name] for name in kept})
    models = {**record.models, manifest.model: fresh}
    return msgspec.structs.replace(record, models=models)
