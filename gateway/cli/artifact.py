"""`sealgate artifact`: keys and encrypted files on this machine, without a gateway."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from gateway.artifacts.age import (
    Identity,
    decrypt_stream,
    generate_identity,
    parse_identity,
    read_header,
)
from gateway.artifacts.errors import (
    AgeError,
    ArtifactError,
    HeaderInvalid,
    IdentityInvalid,
    NoMatchingIdentity,
    StatementInvalid,
)
from gateway.artifacts.manifest import PayloadEntry
from gateway.artifacts.release import Release, load_release
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.output import note

IDENTITY_FILE_LIMIT: Final = 1 << 20
STATEMENT_FILE_LIMIT: Final = 4 << 20
_ARMOR: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Make keys and open encrypted artifacts, without a gateway.

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
) -> None:
    """Make an age identity and print its public key.

    Keep the file: it is the only thing that opens what is encrypted to the public key.
    It is the same file that `age-keygen` makes.

    Example: sealgate artifact keygen -o site.key

    Next: sealgate model download NAME VERSION --recipient PUBLIC-KEY --out model.onnx.age
    """
    identity = generate_identity(secrets.token_bytes, post_quantum=post_quantum)
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"# created: {created}\n# public key: {identity.recipient}\n{identity.secret}\n"
    if output is None:
        print(text, end="")
        note(f"public key: {identity.recipient}")
        return
    _write_new(output, text)
    print(identity.recipient)


@app.command()
def decrypt(
    file: Annotated[Path, typer.Argument(help="An age file: a header and a payload.")],
    identity: Annotated[Path, typer.Option("--identity", "-i", help="Your identity file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New file for the content.")],
    manifest: Annotated[
        Path | None, typer.Option(help="The version's manifest, as the gateway serves it.")
    ] = None,
    link: Annotated[
        Path | None, typer.Option(help="Its signatures, as the gateway serves them.")
    ] = None,
    release_key: Annotated[
        Path | None, typer.Option(help="The tenant's public release key (PEM).")
    ] = None,
) -> None:
    """Decrypt a downloaded artifact.

    The output file appears when everything is verified, and not before. With --manifest, --link
    and --release-key it must also be a payload of that signed version.

    Example: sealgate artifact decrypt model.onnx.age -i site.key -o model.onnx

    Next: sealgate artifact verify --help
    """
    identities = _read_identities(identity)
    release = _read_release(manifest, link, release_key)
    if output.exists():
        raise CommandFailed("the output file exists already", advice="choose another name")
    with _opened(file) as stream, _appearing(output) as out:
        entry = _decrypt(stream, out, identities, release)
    if entry is None:
        note("decrypted; who released it was not checked (no --manifest)")
    else:
        assert release is not None
        of = release.manifest
        note(f"decrypted and verified: `{entry.role}` of {of.tenant}/{of.model}@{of.version}")


def _decrypt(
    stream: BinaryIO, out: BinaryIO, identities: list[Identity], release: Release | None
) -> PayloadEntry | None:
    """Stream the content to `out`; when this returns it is whole, and as released."""
    sealed, plain = _Hashing(stream), hashlib.sha256()
    try:
        file_key = read_header(stream).open(identities)
        for chunk in decrypt_stream(file_key, sealed):
            plain.update(chunk)
            out.write(chunk)
        if release is None:
            return None
        return release.entry_for(sealed.digest.hexdigest(), plain.hexdigest())
    except HeaderInvalid as error:
        stream.seek(0)
        if stream.read(len(_ARMOR)) == _ARMOR:
            what, advice = "the file is armored", "remove the armor with `age --decrypt`"
            raise CommandFailed(what, ExitCode.UNVERIFIED, advice) from error
        raise _unverified(error, "give the header and the payload in one file") from error
    except NoMatchingIdentity as error:
        advice = f"ask for a header for {identities[0].recipient}"
        raise _unverified(error, advice) from error
    except AgeError as error:
        raise _unverified(error, "download the file again") from error
    except StatementInvalid as error:
        raise _unverified(error, "download file, manifest and signatures again") from error


class _Hashing(io.RawIOBase):
    """Reads on, and takes the digest of what was read."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, length: int = -1, /) -> bytes:
        data = self._stream.read(length)
        self.digest.update(data)
        return data


def _read_identities(path: Path) -> list[Identity]:
    text = _read(path, IDENTITY_FILE_LIMIT).decode("utf-8", "replace")
    found: list[Identity] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            found.append(parse_identity(line.strip()))
        except IdentityInvalid:
            what = f"line {number} of the identity file is no age identity"
            raise CommandFailed(what, ExitCode.USAGE, "sealgate artifact keygen --help") from None
    if not found:
        what = "the identity file holds no identity"
        raise CommandFailed(what, ExitCode.USAGE, "sealgate artifact keygen -o site.key")
    return found


def _read_release(manifest: Path | None, link: Path | None, key: Path | None) -> Release | None:
    if manifest is None and link is None and key is None:
        return None
    if manifest is None or link is None or key is None:
        what = "--manifest, --link and --release-key go together"
        raise CommandFailed(what, ExitCode.USAGE, "sealgate artifact decrypt --help")
    parts = (_read(path, STATEMENT_FILE_LIMIT) for path in (manifest, link, key))
    try:
        return load_release(*parts, now=time.time())
    except ArtifactError as error:
        raise _unverified(error, "get manifest, signatures and key from the gateway") from error


def _unverified(error: ArtifactError, advice: str) -> CommandFailed:
    return CommandFailed(error.public, ExitCode.UNVERIFIED, advice)


def _read(path: Path, limit: int) -> bytes:
    with _opened(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise CommandFailed(f"`{path}` is too large to be such a file", ExitCode.USAGE)
    return data


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise _cannot("read", path, error) from None
    with stream:
        yield stream


@contextmanager
def _appearing(path: Path) -> Iterator[BinaryIO]:
    """Write a hidden file beside `path`, mode 0600, that gets its name if all goes well."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _cannot("write", path, error) from None
    temporary = Path(name)
    try:
        with open(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(handle)
        temporary.replace(path)
    except OSError as error:
        raise _cannot("write", path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        what = f"`{path}` exists already, and an identity is not overwritten"
        raise CommandFailed(what, advice="choose another name with -o") from None
    except OSError as error:
        raise _cannot("write", path, error) from None
    with open(handle, "w", encoding="ascii") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(handle)


def _cannot(what: str, path: Path, error: OSError) -> CommandFailed:
    reason = (error.strerror or "failed").lower()
    return CommandFailed(f"cannot {what} `{path}`: {reason}", advice="check the path and its modes")
