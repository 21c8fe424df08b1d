"""A profile's token between two commands: sealed, in a file beside the profile.

Safety argument.
1. The file is sealed with a key that is made of the client's own credential (HKDF, RFC 5869, and
   AES-256-GCM): who has the file and not the credential has nothing, and who has the credential
   could ask for a token anyway.
2. What it was sealed for is part of the seal: the profile's name, the gateway's address, the
   client, how its tokens are bound and what was asked for. Another of these, or another credential,
   finds nothing there, and throws it away.
3. The file is this user's and nobody else's to read (0600), and no link; another is passed over.
4. It appears whole, by a rename: of two commands at once each reads one that is whole, and the
   last one's stays.
5. Nothing here is ever a fault of a command, and nothing of the file is told. What cannot be read
   or written is as if it were not there, and a token is asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.client.profile import Profile
from gateway.client.tokens import Kept

MAX_FILE: Final = 32 << 10
"""A token has some hundred bytes, at most 8 KiB; a key some more."""
ASKED: Final = {"grant_type": "client_credentials", "scope": None}
"""What tokens are asked for: all scopes that the client is registered with."""
_MAGIC: Final = b"sealgate kept 1\n"
_SALT: Final = 16
_NONCE: Final = 12
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class TokenFile:
    """Keeps one profile's token; see `gateway.client.auth.TokenKeep`.

    Args:
        path: Of the profile; the file is beside it, `.NAME.token`.
        profile: What the profile says.
        random_bytes: Source of salts and nonces.
    """

    def __init__(
        self, path: Path, profile: Profile, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.path = path.with_name(f".{path.name}.token")
        self._credential = _credential(profile)
        self._random_bytes = random_bytes
        sealed_for = [path.name, profile.url, profile.client_id, profile.binding, ASKED]
        self._sealed_for = json.dumps(sealed_for, sort_keys=True).encode()

    def read(self) -> Kept | None:
        """Return what was kept, or None; what is there and of no use goes away."""
        with contextlib.suppress(OSError):
            sealed = self._bytes()
            if sealed is None:
                return None
            kept = self._opened(sealed)
            if kept is None:
                self.path.unlink(missing_ok=True)
            return kept
        return None

    def write(self, kept: Kept) -> None:
        """Keep it in place of what was there."""
        sealed = self._sealed(kept)
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(prefix=f"{self.path.name}.", dir=self.path.parent)
            try:
                with open(handle, "wb") as file:  # `mkstemp` gives it mode 0600
                    file.write(sealed)
                os.replace(name, self.path)
            finally:
                Path(name).unlink(missing_ok=True)

    def discard(self, token: str | None = None) -> None:
        """Keep this token no longer; without one, whatever is kept."""
        if token is not None:
            kept = self.read()
            if kept is None or kept.token != token:
                return
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _bytes(self) -> bytes | None:
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
            if not own or status.st_mode & _OTHERS:
                return None
            return file.read(MAX_FILE)

    def _sealed(self, kept: Kept) -> bytes:
        salt, nonce = self._random_bytes(_SALT), self._random_bytes(_NONCE)
        fields = {
            "token": kept.token,
            "since": kept.since,
            "renew": kept.renew,
            "skew": kept.skew,
            "proof_key": kept.proof_key,
        }
        plain = json.dumps(fields).encode()
        return _MAGIC + salt + nonce + self._key(salt).encrypt(nonce, plain, self._sealed_for)

    def _opened(self, sealed: bytes) -> Kept | None:
        if not sealed.startswith(_MAGIC):
            return None
        rest = sealed.removeprefix(_MAGIC)
        salt, nonce, text = rest[:_SALT], rest[_SALT : _SALT + _NONCE], rest[_SALT + _NONCE :]
        try:
            return Kept(**json.loads(self._key(salt).decrypt(nonce, text, self._sealed_for)))
        except (InvalidTag, ValueError, TypeError):
            return None

    def _key(self, salt: bytes) -> AESGCM:
        made = HKDF(SHA256(), length=32, salt=salt, info=b"sealgate profile token")
        return AESGCM(made.derive(self._credential))


def _credential(profile: Profile) -> bytes:
    if profile.session is not None:
        held: Any = profile.session.read()[1]  # the key: it stays while the refresh token changes
    else:
        held = profile.key if profile.key is not None else profile.secret
    return json.dumps(held, sort_keys=True).encode()
