"""Passwords: hashed with Argon2id, one at a time.

1. Memory is what an attacker pays for each guess: 64 MiB, the second recommendation of RFC 9106
   (section 4). It is also what a flood of sign-ins would take from us: so one is hashed at a time,
   a few wait, and any more are told to come back. A flood costs 64 MiB, and no thread that others
   need.
2. An account that does not exist, or has no password, costs the same work as one that has.
3. A password is compared as it was meant (Unicode NFC), is bounded, and is in no error, log or
   record.
4. A hash of other parameters is replaced when its password is next seen.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gateway.errors import InvalidRequest
from gateway.identity.errors import SignInBusy


@dataclass(frozen=True, slots=True)
class Cost:
    """What one hash costs: passes, KiB of memory, lanes."""

    iterations: int
    memory_kib: int
    lanes: int

    @property
    def prefix(self) -> str:
        """How encoded hashes of this cost begin."""
        return f"$argon2id$v=19$m={self.memory_kib},t={self.iterations},p={self.lanes}$"


RECOMMENDED: Final = Cost(3, 64 * 1024, 4)
"""RFC 9106, section 4: the second recommended option."""
SALT_BYTES, HASH_BYTES = 16, 32
TURNS: Final = 1
"""Hashed at a time. INVARIANT: one. With several lanes two at once wait for each other's threads
for ever, in the OpenSSL of cryptography 50."""
WAITING: Final = 7
"""Threads that may wait for a turn, of the forty that serve everybody: about half a second."""
MIN_PASSWORD: Final = 15
"""Characters: where a password is the only factor (NIST SP 800-63B-4, section 3.1.1.2)."""
MAX_PASSWORD: Final = 1024
"""Bytes, UTF-8."""
_TURN: Final = threading.Lock()
"""Of the process: what waits for ever is shared by all of it."""
_DECOY: Final = "c2VhbGdhdGUgZGVjb3kgIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""Salt and hash that are compared with where there is none; no password has this one."""


class Passwords:
    """Hashes and compares passwords. Blocks; safe in any thread.

    Args:
        random_bytes: Source of salts.
        cost: Of each hash.
    """

    def __init__(self, random_bytes: Callable[[int], bytes], cost: Cost = RECOMMENDED) -> None:
        self._random_bytes = random_bytes
        self._cost = cost
        self._places = threading.BoundedSemaphore(TURNS + WAITING)

    def hash(self, password: str) -> str:
        """Return the encoded hash (PHC string) of a new password.

        Raises:
            InvalidRequest: It is too short or too long.
            SignInBusy: Too many are hashed at this moment.
        """
        if len(password) < MIN_PASSWORD or len(_bytes(password)) > MAX_PASSWORD:
            raise InvalidRequest(f"`password` must have {MIN_PASSWORD} characters or more")
        made = Argon2id(
            salt=self._random_bytes(SALT_BYTES),
            length=HASH_BYTES,
            iterations=self._cost.iterations,
            lanes=self._cost.lanes,
            memory_cost=self._cost.memory_kib,
        )
        with self._turn():
            return made.derive_phc_encoded(_bytes(password))

    def verify(self, encoded: str, password: str) -> bool:
        """Tell whether a password is the one of a hash; with an empty hash it never is.

        Raises:
            SignInBusy: As of `hash`.
        """
        given, held = _bytes(password), encoded or self._cost.prefix + _DECOY
        with self._turn():
            try:
                Argon2id.verify_phc_encoded(given[:MAX_PASSWORD], held)
            except (InvalidKey, ValueError):
                return False
            return bool(encoded) and len(given) <= MAX_PASSWORD

    def is_outdated(self, encoded: str) -> bool:
        """Tell whether a hash was made with other parameters than those of today."""
        return not encoded.startswith(self._cost.prefix)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise SignInBusy
        try:
            with _TURN:
                yield
        finally:
            self._places.release()


def _bytes(password: str) -> bytes:
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
