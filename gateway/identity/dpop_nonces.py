"""Nonces that proofs of possession must carry, where a setting says so (RFC 9449 sections 8 and 9).

1. A nonce is the MAC of its time window under a key of ours: nothing is stored, every replica that
   has the key hands out and takes the same ones, and nobody else can make one.
2. The window of now and the one before are accepted, so a nonce is good for one window at least and
   for two at most: a proof cannot be made long before it is used.
3. It is no secret, and says nothing of whom it was given to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 300
"""As long as one of our tokens: a client that asks for those learns a nonce with each."""
_LABEL: Final = b"sealgate dpop nonce 1 "
_BYTES: Final = 16


class Nonces:
    """Hands nonces out and knows them again. Safe for threads.

    Args:
        key: 32 bytes that every replica has and nobody else.
        clock: Unix seconds.
    """

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        self._key = key
        self._clock = clock

    def current(self) -> str:
        """Return the nonce of now."""
        return self._of(self._window())

    def holds(self, nonce: object) -> bool:
        """Tell whether a nonce is one of ours, of now or of the window before."""
        if not isinstance(nonce, str) or not nonce.isascii():
            return False
        window = self._window()
        known = self._of(window), self._of(window - 1)
        return any(hmac.compare_digest(nonce, one) for one in known)

    def _window(self) -> int:
        return int(self._clock()) // WINDOW_SECONDS

    def _of(self, window: int) -> str:
        made = hmac.digest(self._key, _LABEL + str(window).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made[:_BYTES]).rstrip(b"=").decode()
