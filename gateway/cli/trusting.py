"""Deciding on a release with what is trusted here: verify, compare with what was seen, remember.

The safety argument, in the order of the code:

1. What is trusted is chosen and read first; without it nothing goes on. A release key that follows
   the trusted one, as that one signed, is trusted from then on, and the person is told.
2. The document verifies under the kit's keys (`gateway.artifacts.release_document`), and is the
   model and the version that was asked for, where one was.
3. It is not older than what was seen. A person may say otherwise for an older one, loudly; never
   for a version whose content changed.
4. It is remembered under the lock, against what is kept by then.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.artifacts.errors import StatementInvalid
from gateway.artifacts.release_document import (
    DOCUMENT_LIMIT,
    ReleaseDocument,
    Verified,
    parse_release_document,
    verify,
)
from gateway.artifacts.release_keys import SignedSuccession
from gateway.artifacts.trust import TrustRecord, following, objection, remembering
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import moment, warn
from gateway.cli.reading import read_bounded, unverified
from gateway.cli.trust_folder import TrustFolder

BESIDE: Final = ".release.json"
"""What the name of an encrypted model's document ends with."""
_ASK: Final = "do not use it; ask the owner over another channel"
_OLDER: Final = "older than the newest release seen here"


@dataclass(frozen=True, slots=True)
class Decided:
    """A release that may be used.

    Attributes:
        found: It.
        chain: How the tenant's release keys follow one another, as far as that was told.
        followed: The release key that is trusted from now on; empty where it is the one of before.
        warning: What a person overruled, or empty.
    """

    found: Verified
    chain: tuple[SignedSuccession, ...] = ()
    followed: str = ""
    warning: str = ""

    def about(self) -> dict[str, Any]:
        """Return what there is to tell of it."""
        manifest = self.found.release.manifest
        told: dict[str, Any] = {
            "verified": True,
            "tenant": manifest.tenant,
            "model": manifest.model,
            "version": manifest.version,
            "released": self.found.release.link.created,
            "owner_key": self.found.owner_key,
        }
        if self.followed:
            told["release_key_followed_by"] = self.followed
        return {**told, "warning": self.warning} if self.warning else told


def beside(file: Path) -> Path:
    """Return where the document of an encrypted model is looked for."""
    return file.with_name(file.name + BESIDE)


def read_document(path: Path) -> ReleaseDocument:
    """Read a release document.

    Raises:
        CommandFailed: It cannot be read, or is none.
    """
    try:
        return parse_release_document(read_bounded(path, DOCUMENT_LIMIT))
    except StatementInvalid as error:
        raise unverified(error, f"get `{path.name}` again from who sent the file") from error


def decide(
    record: TrustRecord,
    document: ReleaseDocument,
    *,
    asked: tuple[str, str] | None = None,
    allow_older: bool = False,
) -> Decided:
    """Verify a release and hold it against what was seen.

    Args:
        record: What is trusted.
        document: Of anybody's.
        asked: Model and version that are wanted, where that is known.
        allow_older: Take an older release than was seen, and say so.

    Raises:
        CommandFailed: It is not to be used; exit code 6.
    """
    trusted = followed(record, document.successions)
    try:
        ring, known = trusted.ring(), record.ring()
        found = verify(document, record.kit, now=time.time(), ring=ring)
    except StatementInvalid as error:
        raise unverified(error, f"{_ASK}; for a new key they give you a new kit") from error
    successor = "" if ring.newest == known.newest else ring.newest
    manifest = found.release.manifest
    if asked is not None and asked != (manifest.model, manifest.version):
        raise _refused("this is another model or version than was asked for", _ASK)
    against = objection(record, found)
    if against == "changed":
        raise _refused("this version had another content when you last got it", _ASK)
    if against == "older" and not allow_older:
        raise _refused(f"{_OLDER}: {_newest(record, found)}", f"{_ASK}; then: --allow-older")
    if against == "older":
        told = warning(f"{_OLDER}, as you allowed: {_newest(record, found)}")
        return Decided(found, trusted.successions, successor, told)
    return Decided(found, trusted.successions, successor)


def followed(record: TrustRecord, told: Sequence[SignedSuccession]) -> TrustRecord:
    """Return the record with the release keys that follow the trusted one.

    Raises:
        CommandFailed: They do not, or another one is known to have followed.
    """
    try:
        return following(record, told)
    except StatementInvalid as error:
        raise unverified(error, f"{_ASK}; if the key was lost they give you a new kit") from error


def remember(trust: TrustFolder, decided: Decided) -> None:
    """Keep that a release was seen.

    Raises:
        CommandFailed: Another content of the version was seen meanwhile, or it cannot be kept.
    """
    tenant = decided.found.release.manifest.tenant
    with trust.locked(tenant):
        before = trust.load(tenant)
        try:
            after = remembering(following(before, decided.chain), decided.found)
            if after != before:
                trust.save(after)
        except StatementInvalid as error:
            raise unverified(error, _ASK) from error


def check_release_key(record: TrustRecord, shown: str) -> None:
    """Compare the key that the gateway shows with the one that is trusted; both as kits write keys.

    Args:
        record: What is trusted, with the keys that followed (`followed`).
        shown: By the gateway.

    Raises:
        CommandFailed: They differ.
    """
    ring = record.ring()
    if shown == ring.newest:
        return
    if shown in (*ring.former, *record.retired):
        raise _refused(
            f"the gateway shows a release key ({shown[:16]}…) that was replaced",
            f"{_ASK}: the gateway may have been restored from an old backup",
        )
    raise _refused(
        f"the gateway shows another release key ({shown[:16]}…) than you trust"
        f" ({ring.newest[:16]}…), and that one has not named it",
        f"{_ASK}; if the key was lost they give you a new kit",
    )


def warning(text: str) -> str:
    """Say loudly what is not as it should be; return it for scripts."""
    warn(text)
    return text


def _newest(record: TrustRecord, found: Verified) -> str:
    manifest, link = found.release.manifest, found.release.link
    seen = record.models[manifest.model]
    names = [name for name, known in seen.versions.items() if known.created == seen.newest]
    newest = f"`{names[0]}` of " if names else ""
    return f"{moment(link.created)} against {newest}{moment(seen.newest)}"


def _refused(what: str, advice: str) -> CommandFailed:
    return CommandFailed(what, ExitCode.UNVERIFIED, advice)
