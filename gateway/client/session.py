"""Where a person is signed in at a gateway: a refresh token and its key, in a file of the profile.

Safety argument.
1. The file is its owner's alone (0600), and is refused where others could read it.
2. A refresh token is good once, and who brings one twice is taken for a thief: so whoever asks
   holds a lock, over all processes, from before the token is read until its successor is on the
   disk. A process that ends in between has lost the sign-in; the next one says so.
3. The token is bound to the key: a copy of one without the other is of no use.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.client.errors import ProfileInvalid

MAX_FILE: Final = 16 << 10
"""A token has 43 characters, a key some hundred."""
SIGN_IN: Final = "sealgate login"
SUFFIX: Final = ".session"
"""Behind the name of the profile."""


class SessionFile:
    """The sign-in of a profile.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def sign_in(self) -> str:
        """The command that signs in here anew; plain `sealgate login` may mean another profile."""
        profile = self.path.with_name(self.path.name.removesuffix(SUFFIX))
        named = profile != self.path and profile.exists()
        return f"{SIGN_IN} --profile {shlex.quote(str(profile))}" if named else SIGN_IN

    def read(self) -> tuple[str, dict[str, Any]]:
        """Return the refresh token, and the private key (JWK) that it is bound to.

        Raises:
            ProfileInvalid: There is none, it is malformed, or others may read it.
        """
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as cause:
            raise ProfileInvalid("you are not signed in", self.sign_in) from cause
        with open(handle, "rb") as file:
            if os.fstat(handle).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ProfileInvalid("others may read your sign-in", f"chmod 600 {self.path}")
            text = file.read(MAX_FILE)
        try:
            held = json.loads(text)
            token, key = held["refresh_token"], held["proof_key"]
        except (ValueError, KeyError, TypeError) as cause:
            raise ProfileInvalid("your sign-in cannot be read", self.sign_in) from cause
        if not isinstance(token, str) or not isinstance(key, dict):
            raise ProfileInvalid("your sign-in cannot be read", self.sign_in)
        return token, key

    def write(self, token: str, key: Mapping[str, Any]) -> None:
        """Keep a refresh token and its key; durable when this returns.

        Raises:
            OSError: It cannot be written.
        """
        text = json.dumps({"refresh_token": token, "proof_key": dict(key)})
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with open(handle, "w") as file:  # `mkstemp` gives it mode 0600
                file.write(text)
                file.flush()
                os.fsync(handle)
            os.replace(name, self.path)
        finally:
            Path(name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget the sign-in."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock; waits for another process that holds it.

        Raises:
            OSError: The lock cannot be made.
        """
        lock = self.path.with_name(f".{self.path.name}.lock")
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
