"""What unlocks a keystore: a file, a passphrase or a systemd credential.

None of them is the root key itself: each derives the key that wraps it, so that the way to
unlock can be changed without wrapping every key anew.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Final, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.artifacts.errors import KeystoreUnsafe
from gateway.artifacts.guarded_file import create_guarded, read_guarded

SALT_LENGTH: Final = 16
_KEY_LENGTH: Final = 32
_SECRET_LIMIT: Final = 4096
_PASSPHRASE_MINIMUM: Final = 12  # characters; Argon2id makes a guess cost 64 MiB, not impossible
_MEMORY_KIB: Final = 64 << 10  # RFC 9106 section 4, second recommendation: t=3, p=4, 64 MiB
_ITERATIONS: Final = 3
_LANES: Final = 4


class Unlock(Protocol):
    """A secret held outside the keystore.

    Attributes:
        method: A stable name; a keystore opens only by the method it was made with.
    """

    method: ClassVar[str]

    def prepare(self, fresh: bytes) -> None:
        """Make the secret from 32 fresh bytes where it is ours to make and absent."""

    def derive(self, salt: bytes) -> bytes:
        """Return 32 bytes that only the holder of the secret can derive.

        Raises:
            KeystoreAbsent: The secret is not where it should be.
            KeystoreUnsafe: Others can read it, or it is too weak.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of 32 random bytes, mode 0600. Keep it off the disk that the backups go to.

    Attributes:
        path: Where it is, or will be made.
    """

    method: ClassVar[str] = "file"
    path: Path

    def prepare(self, fresh: bytes) -> None:
        """Write the file unless there is one."""
        if not self.path.exists():
            create_guarded(self.path, fresh)

    def derive(self, salt: bytes) -> bytes:
        """Derive by HKDF: the file is random."""
        secret = read_guarded(self.path, _SECRET_LIMIT)
        return _expand(secret, salt)


@dataclasses.dataclass(frozen=True, slots=True)
class Credential:
    """A systemd credential (`LoadCredentialEncrypted=`), at least 32 bytes.

    Attributes:
        path: Of the credential, in the folder that systemd made for this service.
    """

    method: ClassVar[str] = "credential"
    path: Path

    def prepare(self, fresh: bytes) -> None:
        """Do nothing: the service manager makes it."""

    def derive(self, salt: bytes) -> bytes:
        """Derive by HKDF: the credential is random."""
        secret = read_guarded(self.path, _SECRET_LIMIT, group=True)
        return _expand(secret, salt)


@dataclasses.dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase that a person types or a secret manager holds.

    Attributes:
        text: Never logged or shown.
    """

    method: ClassVar[str] = "passphrase"
    text: str = dataclasses.field(repr=False)

    def prepare(self, fresh: bytes) -> None:  # noqa: ARG002  nothing to make
        """Refuse a passphrase that is quickly guessed."""
        if len(self.text) < _PASSPHRASE_MINIMUM:
            raise KeystoreUnsafe(f"give a passphrase of {_PASSPHRASE_MINIMUM} characters or more")

    def derive(self, salt: bytes) -> bytes:
        """Derive by Argon2id (RFC 9106) with 64 MiB."""
        return Argon2id(
            salt=salt,
            length=_KEY_LENGTH,
            iterations=_ITERATIONS,
            lanes=_LANES,
            memory_cost=_MEMORY_KIB,
        ).derive(self.text.encode())


def _expand(secret: bytes, salt: bytes) -> bytes:
    if len(secret) < _KEY_LENGTH:
        raise KeystoreUnsafe("the secret that unlocks the keystore is shorter than 32 bytes")
    return HKDF(hashes.SHA256(), _KEY_LENGTH, salt, b"sealgate/keystore/unlock").derive(secret)
