"""Opening encrypted files: the content gets its name when everything is verified, not before."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from gateway.artifacts.age import Identity, decrypt_stream, read_header
from gateway.artifacts.errors import (
    AgeError,
    HeaderInvalid,
    NoMatchingIdentity,
    StatementInvalid,
)
from gateway.artifacts.manifest import PayloadEntry
from gateway.artifacts.release import Release
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.reading import appearing, opened, unverified

ARMOR: Final = b"-----BEGIN AGE ENCRYPTED FILE-----"


def decrypt_file(
    file: Path, out: Path, identities: list[Identity], release: Release | None
) -> PayloadEntry | None:
    """Write the content of an encrypted file to a new file.

    Args:
        file: An age file, or `-` for standard input.
        out: The new file.
        identities: Private keys to try.
        release: What the file must be a payload of; None: anything.

    Returns:
        The payload that it is, where there is a release.

    Raises:
        CommandFailed: A file cannot be read or written, or something does not verify.
    """
    with opened(file) as stream, appearing(out) as plain:
        return _decrypt(stream, plain, identities, release)


def content_digest(file: Path, identities: list[Identity]) -> str:
    """Open a file and return the SHA-256 of its content, hex; the content is kept nowhere.

    Raises:
        CommandFailed: It cannot be read, or does not open.
    """
    plain = hashlib.sha256()
    with opened(file) as stream, _explained(stream, identities):
        for chunk in decrypt_stream(read_header(stream).open(identities), stream):
            plain.update(chunk)
    return plain.hexdigest()


def _decrypt(
    stream: io.BufferedReader, out: BinaryIO, identities: list[Identity], release: Release | None
) -> PayloadEntry | None:
    """Stream the content to `out`; when this returns it is whole, and as released."""
    sealed, plain = _Hashing(stream), hashlib.sha256()
    with _explained(stream, identities):
        file_key = read_header(stream).open(identities)
        for chunk in decrypt_stream(file_key, sealed):
            plain.update(chunk)
            out.write(chunk)
        if release is None:
            return None
        return release.entry_for(sealed.digest.hexdigest(), plain.hexdigest())


@contextmanager
def _explained(stream: io.BufferedReader, identities: list[Identity]) -> Iterator[None]:
    """Turn what the formats say into failures with a way on."""
    armored = stream.peek(len(ARMOR)).startswith(ARMOR)  # a pipe cannot go back to its start
    try:
        yield
    except HeaderInvalid as error:
        if armored:
            what, advice = "the file is armored", "remove the armor with `age --decrypt`"
            raise CommandFailed(what, ExitCode.UNVERIFIED, advice) from error
        raise unverified(error, "give the header and the payload in one file") from error
    except NoMatchingIdentity as error:
        advice = f"ask for a header for {identities[0].recipient}"
        raise unverified(error, advice) from error
    except AgeError as error:
        raise unverified(error, "download the file again") from error
    except StatementInvalid as error:
        raise unverified(error, "download file, manifest and signatures again") from error


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
