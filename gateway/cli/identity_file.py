"""Identity files as people and tools write them; what cannot be used is told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.artifacts.age import Identity, parse_identity
from gateway.artifacts.errors import IdentityInvalid
from gateway.cli.failures import CommandFailed, ExitCode
from gateway.cli.reading import read_bounded

IDENTITY_FILE_LIMIT: Final = 1 << 20
_KEYGEN: Final = "sealgate artifact keygen -o site.key"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_UTF8: Final = b"\xef\xbb\xbf"
_ENCRYPTED: Final = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")
_SSH: Final = b"-----BEGIN "


def read_identities(path: Path) -> list[Identity]:
    """Read an identity file, of `sealgate artifact keygen` or of `age-keygen`.

    Raises:
        CommandFailed: It cannot be read or used; says why and what to do, and repeats none of it.
    """
    data = read_bounded(path, IDENTITY_FILE_LIMIT)
    _check_kind(path, data)
    found: list[Identity] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            found.append(parse_identity(text))
        except IdentityInvalid:
            raise _no_identity(number, text) from None
    if not found:
        raise _unusable("the identity file holds no identity", _KEYGEN)
    return found


def _check_kind(path: Path, data: bytes) -> None:
    """Tell what the first bytes give away."""
    if data.startswith(_UTF16) or b"\0" in data[:64]:
        what = "the identity file is in UTF-16, as `>` of PowerShell writes it"
        raise _unusable(what, f"iconv -f UTF-16 -t UTF-8 '{path}' > site.key && chmod 600 site.key")
    if data.startswith(_UTF8):
        what = "the identity file begins with a byte order mark, as some editors write it"
        raise _unusable(what, f"sed -i '1s/^\\xEF\\xBB\\xBF//' '{path}'")
    if data.startswith(_ENCRYPTED):
        what = "the identity file is encrypted with a passphrase"
        raise _unusable(what, f"open it with age for this command: -i <(age --decrypt '{path}')")
    if data.startswith(_SSH):
        raise _unusable("this is a key of another kind (SSH or PEM), no age identity", _KEYGEN)


def _no_identity(number: int, text: str) -> CommandFailed:
    if text.startswith("AGE-PLUGIN-"):
        what = f"line {number} of the identity file is for a plugin of age"
        return _unusable(what, "age --decrypt -i IDENTITY-FILE FILE opens the file with its plugin")
    if text.startswith("age1"):
        what = f"line {number} of the identity file is a public key"
        return _unusable(what, "give the file with the private key, `AGE-SECRET-KEY-1…`")
    what = f"line {number} of the identity file is no age identity"
    return _unusable(what, "sealgate artifact keygen --help")


def _unusable(what: str, advice: str) -> CommandFailed:
    return CommandFailed(what, ExitCode.USAGE, advice)
