"""`sealgate artifact`: keys and encrypted files on this machine, without a gateway."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.artifacts.age import generate_identity
from gateway.artifacts.errors import ArtifactError
from gateway.artifacts.release import Release, load_release
from gateway.cli import artifact_views
from gateway.cli.artifact_views import ExpectOption, ReleaseOption, asked_of
from gateway.cli.decrypting import decrypt_file
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.identity_file import read_identities
from gateway.cli.output import JsonFlag, note, show, show_text
from gateway.cli.reading import PIPE, cannot, check_absent, read_bounded, unverified
from gateway.cli.trust_folder import TrustFolder, find_trust
from gateway.cli.trust_options import FromOption, TrustOption
from gateway.cli.trusting import Decided, beside, decide, read_document, remember, warning

STATEMENT_FILE_LIMIT: Final = 4 << 20

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Make keys; open, verify and inspect encrypted artifacts, without a gateway.

    Example: sealgate artifact keygen -o site.key

    Next: sealgate artifact decrypt model.onnx.age -i site.key -o model.onnx
    """,
)


@app.command()
def keygen(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="New file for the identity, mode 0600.")
    ] = None,
    post_quantum: Annotated[
        bool,
        typer.Option("--post-quantum", help="Safe from quantum computers; needs age 1.3 or newer."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make an age identity and print its public key.

    Keep the file: it is the only thing that opens what is encrypted to the public key.
    It is the same file that `age-keygen` makes.

    Example: sealgate artifact keygen -o site.key

    Next: sealgate model download NAME VERSION -i site.key --out model.onnx.age
    """
    identity = generate_identity(secrets.token_bytes, post_quantum=post_quantum)
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"# created: {created}\n# public key: {identity.recipient}\n{identity.secret}\n"
    if output is None:
        made = {"identity": identity.secret, "public_key": identity.recipient}
        show_text(text, made, as_json=as_json)
        note(f"public key: {identity.recipient}")
        return
    _write_new(output, text)
    made = {"file": str(output), "public_key": identity.recipient}
    show_text(identity.recipient, made, as_json=as_json)


@app.command()
def decrypt(
    file: Annotated[Path, typer.Argument(help="An age file: header and payload; `-`: a pipe.")],
    identity: Annotated[
        Path, typer.Option("--identity", "-i", help="Your identity file; `-`: a pipe.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="New file for the content.")],
    release: ReleaseOption = None,
    expect: ExpectOption = None,
    tenant: FromOption = None,
    trust: TrustOption = None,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Take an older release than you have seen.")
    ] = False,
    unsigned: Annotated[
        bool, typer.Option("--unverified", help="Do not check who released it.")
    ] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="The version's manifest, as the gateway serves it.")
    ] = None,
    link: Annotated[
        Path | None, typer.Option(help="Its signatures, as the gateway serves them.")
    ] = None,
    release_key: Annotated[
        Path | None, typer.Option(help="The tenant's public release key (PEM).")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Decrypt a downloaded artifact.

    The output file appears when everything is verified, and not before: with a file
    `….release.json` beside it, or once you have accepted a partner's kit, it must be a payload of
    a version that the kit's keys signed. --manifest, --link and --release-key say it one by one.

    Example: sealgate artifact decrypt model.onnx.age -i site.key -o model.onnx

    Next: sealgate artifact verify model.onnx.age
    """
    if file == PIPE == identity:
        raise CommandFailed("file and identity cannot both come by the pipe", ExitCode.USAGE)
    identities = read_identities(identity)
    named = _named_release(manifest, link, release_key)
    check_absent(output)
    decided = None
    if named is None and not unsigned:
        source = _Source(file, release, asked_of(expect))
        decided = _beside(source, find_trust(trust), tenant, allow_older=allow_older)
    elif expect is not None:
        what = "--expect is for files that are verified with a kit"
        raise CommandFailed(what, ExitCode.USAGE, "leave out --expect")
    found = decided.found.release if decided is not None else named
    entry = decrypt_file(file, output, identities, found)
    if found is None or entry is None:
        told = {"verified": False, "warning": warning("who released it was not checked")}
        note("decrypted; next time: sealgate partner --help")
    else:
        of = found.manifest
        told = decided.about() if decided is not None else {"verified": True}
        told = {**told, "role": entry.role}
        note(f"decrypted and verified: `{entry.role}` of {of.tenant}/{of.model}@{of.version}")
    if as_json:
        show({"file": str(output), **told}, as_json=True)


@dataclass(frozen=True, slots=True)
class _Source:
    """A file, where its document is said to be, and what it must be."""

    file: Path
    release: Path | None
    asked: tuple[str, str] | None


def _beside(
    source: _Source, trust: TrustFolder, tenant: str | None, *, allow_older: bool
) -> Decided | None:
    """Decide on the release that a file comes with; None: it has none, and nothing asks for one."""
    document, file = source.release, source.file
    if document is None and file != PIPE and os.path.lexists(beside(file)):
        document = beside(file)
    if document is not None:
        record = trust.load(trust.choose(tenant))
        told = read_document(document)
        decided = decide(record, told, asked=source.asked, allow_older=allow_older)
        remember(trust, decided)
        return decided
    if trust.tenants() or source.asked:
        raise CommandFailed(
            "the file has no release document, so nothing says who released it",
            ExitCode.UNVERIFIED,
            "name it with --release; for a file that is no model: --unverified",
        )
    return None


def _named_release(manifest: Path | None, link: Path | None, key: Path | None) -> Release | None:
    if manifest is None and link is None and key is None:
        return None
    if manifest is None or link is None or key is None:
        what = "--manifest, --link and --release-key go together"
        raise CommandFailed(what, ExitCode.USAGE, "sealgate artifact decrypt --help")
    parts = (read_bounded(path, STATEMENT_FILE_LIMIT) for path in (manifest, link, key))
    try:
        return load_release(*parts, now=time.time())
    except ArtifactError as error:
        raise unverified(error, "get manifest, signatures and key from the gateway") from error


app.command()(artifact_views.verify)
app.command()(artifact_views.inspect)
app.command()(artifact_views.header)


def _write_new(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        what = f"`{path}` exists already, and an identity is not overwritten"
        raise CommandFailed(what, advice="choose another name with -o") from None
    except OSError as error:
        raise cannot("write", path, error) from None
    with open(handle, "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(handle)
