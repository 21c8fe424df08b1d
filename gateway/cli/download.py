"""Getting a model as an encrypted file: verified first, then fetched, then named.

The safety argument of a verified download, in the order of the code:

1. What is trusted is read before the gateway is asked. A lost record ends the command.
2. The gateway's manifest and signatures verify under the kit, and are the model and version that
   were asked for; the release key that the gateway shows is the kit's, or one that followed it as
   the kit's key itself signed (`gateway.cli.trusting`).
3. Only then bytes are fetched, as many as the signed manifest says and no more, and their digest is
   the signed one.
4. The document is written beside the file, so that whoever gets both can verify them offline.

Without verification nothing but the digest that the gateway itself tells is compared, and the
command says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.artifacts.age import Identity, open_header, parse_header
from gateway.artifacts.age.header import HEADER_LIMIT
from gateway.artifacts.errors import AgeError, StatementInvalid
from gateway.artifacts.release_document import ReleaseDocument
from gateway.cli.connection import Connection
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import Advance, note, progress
from gateway.cli.part_file import BLOCK, Part, growing
from gateway.cli.reading import appearing, unverified
from gateway.cli.released import AS_IT_IS, NOT_OURS, fetch_bounded, fetch_told
from gateway.cli.trust_folder import TrustFolder
from gateway.cli.trusting import (
    Decided,
    beside,
    check_release_key,
    decide,
    followed,
    remember,
    warning,
)
from gateway.names import split_shared

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
UNVERIFIED: Final = "not verified: nothing but the gateway says what this is and who released it"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is fetched.

    Attributes:
        model: Its name.
        version: Its version.
        role: Which payload.
        recipient: The age public key that the file is for.
        out: Where the file goes.
        identities: Private keys of whom it is for, where they are at hand.
    """

    model: str
    version: str
    role: str
    recipient: str
    out: Path
    identities: tuple[Identity, ...] = ()

    @property
    def resource(self) -> str:
        """Path of the version at the gateway."""
        return f"/v1/models/{self.model}/versions/{self.version}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that has its name.

    Attributes:
        told: What there is to say of it.
        decided: Its release, where it was verified.
    """

    told: dict[str, Any]
    decided: Decided | None


def download_verified(
    connection: Connection,
    wanted: Wanted,
    trust: TrustFolder,
    tenant: str | None,
    *,
    allow_older: bool,
) -> Fetched:
    """Verify a version, then fetch it and its document.

    Args:
        connection: To the gateway.
        wanted: What.
        trust: What is trusted here.
        tenant: Whose model it is, if several are trusted.
        allow_older: Take an older release than was seen.

    Raises:
        CommandFailed: It does not verify (exit code 6), cannot be fetched or cannot be written.
    """
    theirs = split_shared(wanted.model)
    record = trust.load(trust.choose(theirs[0] if theirs and tenant is None else tenant))
    told = fetch_told(connection, wanted.resource)
    check_release_key(followed(record, told.document.successions), told.release_key_id())
    asked = (theirs[1] if theirs else wanted.model, wanted.version)
    decided = decide(record, told.document, asked=asked, allow_older=allow_older)
    entry = decided.found.release.manifest.payload(wanted.role)
    if entry is None:
        raise _no_payload()
    try:
        decided.found.release.entry_for(entry.digest, entry.plain_digest)
    except StatementInvalid as error:
        raise unverified(error, "do not use it; ask the owner over another channel") from error
    remember(trust, decided)
    if decided.followed:
        note(f"the release key was replaced, as the one that you trust signed: {decided.followed}")
    with growing(wanted.out) as part:
        _fill(connection, wanted, part, entry.digest, entry.length)
        _write_document(wanted.out, told.document)
        part.finish()
    about = {"file": str(wanted.out), "digest": entry.digest, **decided.about()}
    return Fetched({**about, "release": str(beside(wanted.out))}, decided)


def download_unverified(connection: Connection, wanted: Wanted) -> Fetched:
    """Fetch what the gateway says the version is, and say loudly that nothing was verified.

    Raises:
        CommandFailed: It cannot be fetched or written, or is not even what the gateway says.
    """
    loud = warning(UNVERIFIED)
    found = connection.get(wanted.resource)
    entries = [one for one in found.get("payloads") or [] if isinstance(one, dict)]
    payload = next((one for one in entries if one.get("role") == wanted.role), None)
    if payload is None:
        raise _no_payload()
    if not _is_payload(payload):
        raise CommandFailed(NOT_OURS, ExitCode.UNVERIFIED, "check `url` of the profile")
    with growing(wanted.out) as part:
        _fill(connection, wanted, part, payload["digest"], payload["length"])
        beside(wanted.out).unlink(missing_ok=True)  # of another file that had the name
        part.finish()
    told = {"file": str(wanted.out), "digest": payload["digest"]}
    return Fetched({**told, "verified": False, "warning": loud}, None)


def _fill(connection: Connection, wanted: Wanted, part: Part, digest: str, length: int) -> None:
    """Write header and payload; goes on where an earlier attempt was cut off."""
    path = f"{wanted.resource}/payloads/{digest}"
    header_length = part.resumable(digest, wanted.recipient, length)
    if header_length is None:
        named = {"sealgate-recipient": wanted.recipient}
        header = fetch_bounded(connection, "POST", f"{path}/header", HEADER_LIMIT, headers=named)
        _check_header(header, wanted)
        part.begin(header, digest, wanted.recipient)
        header_length = len(header)
    with progress(f"download {wanted.out.name}") as advance:
        _fetch(connection, path, wanted.recipient, part, header_length, digest, length, advance)
    if part.payload_digest(header_length) != digest:
        part.discard()
        raise CommandFailed(
            "the payload does not have its signed digest", ExitCode.UNVERIFIED, "download it again"
        )


def _check_header(header: bytes, wanted: Wanted) -> None:
    """Refuse what would make a file that nobody, or not its recipient, can open."""
    try:
        if wanted.identities:
            open_header(header, wanted.identities)
        else:
            parse_header(header)
    except AgeError as error:
        raise unverified(error, "the gateway made no header for you: ask who runs it") from error


def _fetch(
    connection: Connection,
    path: str,
    recipient: str,
    part: Part,
    header_length: int,
    digest: str,
    length: int,
    advance: Advance,
) -> None:
    start = part.length() - header_length
    if start == length:
        return
    headers = {
        **AS_IT_IS,
        "sealgate-recipient": recipient,
        "range": f"bytes={start}-",
        "if-range": f'"{digest}"',
    }
    with connection.stream("GET", path, headers=headers) as answer:
        start = start if answer.status_code == 206 else 0
        part.cut(header_length + start)
        for block in answer.iter_raw(BLOCK):
            start += len(block)
            if start > length:
                part.discard()
                what = "the gateway sends more than the payload is long"
                raise CommandFailed(what, ExitCode.UNVERIFIED, "download it again")
            part.stream.write(block)
            advance(start, length)


def _write_document(out: Path, document: ReleaseDocument) -> None:
    try:
        data = document.encode()
    except StatementInvalid as error:
        raise unverified(error, "ask the owner over another channel") from error
    with appearing(beside(out), replace=True) as file:
        file.write(data)


def _is_payload(entry: dict[str, Any]) -> bool:
    digest, length = entry.get("digest"), entry.get("length")
    named = isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None
    return named and isinstance(length, int) and length >= 0


def _no_payload() -> CommandFailed:
    return CommandFailed("the version has no such payload", ExitCode.NOT_FOUND)
