"""`sealgate artifact verify | inspect | header`: what a file is, without opening it for anybody."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.artifacts.age import Header, plain_length, read_header
from gateway.artifacts.errors import AgeError, HeaderInvalid, PayloadInvalid, StatementInvalid
from gateway.artifacts.kit import KIT_LIMIT, parse_kit
from gateway.artifacts.manifest import Manifest, PayloadEntry, parse_manifest
from gateway.artifacts.model_refusals import printable
from gateway.artifacts.release import Release
from gateway.artifacts.trust import TrustRecord, accepting
from gateway.cli.decrypting import ARMOR, content_digest
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.identity_file import read_identities
from gateway.cli.output import JsonFlag, note, show
from gateway.cli.reading import opened, read_bounded, unverified
from gateway.cli.trust_folder import find_trust
from gateway.cli.trust_options import FromOption, TrustOption
from gateway.cli.trusting import beside, decide, read_document

BLOCK: Final = 1 << 20
SHOWN: Final = 200
"""Characters of a text of the manifest that are shown on a terminal."""
_NEEDS: Final = {
    "X25519": "an age identity, AGE-SECRET-KEY-1…",
    "mlkem768x25519": "a post-quantum age identity, AGE-SECRET-KEY-PQ-1… (age 1.3 or newer)",
    "scrypt": "the passphrase: age --decrypt",
    "ssh-ed25519": "an SSH key: age --decrypt -i ~/.ssh/id_ed25519",
    "ssh-rsa": "an SSH key: age --decrypt -i ~/.ssh/id_rsa",
}
"""What opens a stanza, by its kind (C2SP age.md)."""

ReleaseOption = Annotated[
    Path | None,
    typer.Option("--release", help="Its release document; else FILE.release.json."),
]
ExpectOption = Annotated[
    str | None, typer.Option("--expect", help="What it must be, as MODEL@VERSION.")
]
FileArgument = Annotated[Path, typer.Argument(help="An encrypted artifact.")]
OwnIdentity = Annotated[
    Path | None, typer.Option("--identity", "-i", help="Your identity file, to try it as well.")
]


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted file from outside; nothing of it is authenticated.

    Attributes:
        header: Its stanzas.
        length: Bytes of the payload.
        digest: SHA-256 of the payload, hex.
    """

    header: Header
    length: int
    digest: str


def verify(
    file: FileArgument,
    release: ReleaseOption = None,
    kit: Annotated[
        Path | None, typer.Option(help="A kit's file instead of what you have accepted.")
    ] = None,
    identity: OwnIdentity = None,
    expect: ExpectOption = None,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Take an older release than you have seen.")
    ] = False,
    tenant: FromOption = None,
    trust: TrustOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Verify who released an encrypted model, offline: with the partner's kit, without a key.

    Example: sealgate artifact verify model.onnx.age

    Next: sealgate artifact decrypt model.onnx.age -i site.key -o model.onnx
    """
    record = _trusted(kit, tenant, trust)
    document, asked = read_document(release or beside(file)), asked_of(expect)
    decided = decide(record, document, asked=asked, allow_older=allow_older)
    sealed = _sealed(file)
    entry = _entry(decided.found.release, sealed)
    opens = None if identity is None else _opened_content(file, identity, entry)
    told = {
        **decided.about(),
        "role": entry.role,
        "digest": sealed.digest,
        "content": "verified" if opens else "not opened",
        "kit": record.kit.digest(),
    }
    show(told, as_json=as_json)
    if kit is not None and not as_json:
        note("held against the kit's file alone: compare its hash; what was seen was not asked")


def inspect(
    file: FileArgument,
    release: ReleaseOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a file says of itself: sizes, recipients, manifest. Nothing of it is verified.

    Example: sealgate artifact inspect model.onnx.age

    Next: sealgate artifact verify model.onnx.age
    """
    sealed = _sealed(file)
    kinds = Counter(stanza.kind for stanza in sealed.header.stanzas)
    told: dict[str, Any] = {
        "verified": False,
        "recipients": len(sealed.header.stanzas),
        "kinds": {_clean(kind, as_json): count for kind, count in kinds.items()},
        "header_bytes": sealed.header.size,
        "payload_bytes": sealed.length,
        "content_bytes": _content_length(sealed),
        "digest": sealed.digest,
    }
    document = release or beside(file)
    if release is not None or os.path.lexists(document):
        told |= _said(_manifest(document), as_json)
    elif not as_json:
        note(f"without `{document.name}` there is no manifest to show")
    show(told, as_json=as_json)


def header(file: FileArgument, identity: OwnIdentity = None, as_json: JsonFlag = False) -> None:
    """Tell what is needed to open a file, and with -i whether your key opens it.

    Example: sealgate artifact header model.onnx.age -i site.key

    Next: sealgate artifact decrypt model.onnx.age -i site.key -o model.onnx
    """
    found = _header(file)
    kinds = dict.fromkeys(stanza.kind for stanza in found.stanzas)
    told: dict[str, Any] = {
        "recipients": len(found.stanzas),
        "needs": [_needs(kind, as_json) for kind in kinds],
        "header_bytes": found.size,
    }
    if identity is not None:
        told["opens"] = _opens(found, identity)
    show(told, as_json=as_json)
    if told.get("opens") is False:
        raise CommandFailed(
            "your key does not open it",
            ExitCode.UNVERIFIED,
            f"ask for a header for {read_identities(identity)[0].recipient}" if identity else "",
        )


def asked_of(expect: str | None) -> tuple[str, str] | None:
    """Return the model and version that `--expect` names.

    Raises:
        CommandFailed: It names none.
    """
    if expect is None:
        return None
    model, at, version = expect.rpartition("@")
    if not (model and at and version):
        what = "--expect names no model and version"
        raise CommandFailed(what, ExitCode.USAGE, "write it as MODEL@VERSION, such as tumour@1.0")
    return model, version


def _trusted(kit: Path | None, tenant: str | None, trust: Path | None) -> TrustRecord:
    if kit is None:
        folder = find_trust(trust)
        return folder.load(folder.choose(tenant))
    try:
        return accepting(parse_kit(read_bounded(kit, KIT_LIMIT + 1)), 0)
    except StatementInvalid as error:
        raise unverified(error, "get the kit again from the model's owner") from error


def _sealed(file: Path) -> Sealed:
    digest, length = hashlib.sha256(), 0
    with opened(file) as stream:
        found = _read_header(stream.peek(len(ARMOR)).startswith(ARMOR), stream)
        while block := stream.read(BLOCK):
            digest.update(block)
            length += len(block)
    return Sealed(found, length, digest.hexdigest())


def _header(file: Path) -> Header:
    with opened(file) as stream:
        return _read_header(stream.peek(len(ARMOR)).startswith(ARMOR), stream)


def _read_header(armored: bool, stream: Any) -> Header:
    try:
        return read_header(stream)
    except HeaderInvalid as error:
        if armored:
            advice = "remove the armor with `age --decrypt`"
            raise CommandFailed("the file is armored", ExitCode.UNVERIFIED, advice) from error
        raise unverified(error, "give the header and the payload in one file") from error


def _entry(release: Release, sealed: Sealed) -> PayloadEntry:
    """Return the payload that the file is, by its ciphertext; the content is what it names."""
    for entry in release.manifest.payloads:
        if entry.digest == sealed.digest:
            try:
                return release.entry_for(sealed.digest, entry.plain_digest)
            except StatementInvalid as error:
                raise unverified(error, "download the file again") from error
    what = "the file is no payload of this version"
    raise CommandFailed(what, ExitCode.UNVERIFIED, "get the file and its document again")


def _opened_content(file: Path, identity: Path, entry: PayloadEntry) -> bool:
    """Open a file in memory, chunk by chunk, and compare its content.

    Raises:
        CommandFailed: It does not open, or is another content.
    """
    if content_digest(file, read_identities(identity)) != entry.plain_digest:
        what = "the content is not the one that was released"
        raise CommandFailed(what, ExitCode.UNVERIFIED, "do not use it; ask who sent it")
    return True


def _opens(found: Header, identity: Path) -> bool:
    try:
        found.open(read_identities(identity))
    except AgeError:
        return False
    return True


def _content_length(sealed: Sealed) -> int | None:
    try:
        return plain_length(sealed.length)
    except PayloadInvalid:
        return None


def _manifest(document: Path) -> Manifest:
    try:
        return parse_manifest(read_document(document).manifest)
    except StatementInvalid as error:
        raise unverified(error, "get the document again from who sent the file") from error


def _said(manifest: Manifest, as_json: bool) -> dict[str, Any]:
    return {
        "tenant": manifest.tenant,
        "model": manifest.model,
        "version": manifest.version,
        "created": manifest.created,
        "expires": manifest.expires,
        "licence": _clean(manifest.licence, as_json),
        "lineage": [_clean(line, as_json) for line in manifest.lineage],
        "inputs": [_clean(tensor.name, as_json) for tensor in manifest.inputs],
        "outputs": [_clean(tensor.name, as_json) for tensor in manifest.outputs],
        "payloads": {entry.role: entry.length for entry in manifest.payloads},
    }


def _needs(kind: str, as_json: bool) -> str:
    return _NEEDS.get(kind, f"a plugin of age for `{_clean(kind, as_json)}`")


def _clean(text: str, as_json: bool) -> str:
    """Keep what others wrote from steering the terminal; JSON escapes it by itself."""
    return text if as_json else printable(text, SHOWN)
