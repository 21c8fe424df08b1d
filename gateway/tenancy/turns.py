"""One rotation of a key at a time, and none of a key while an earlier one of it is not settled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from audit.event import PLATFORM_TENANT
from gateway.authorization.intents import Intents
from gateway.errors import StateConflict


class Turns:
    """Whose turn it is.

    Args:
        intents: Tell what is not settled.
    """

    def __init__(self, intents: Intents) -> None:
        self._intents = intents
        self._turn = threading.Lock()

    @contextmanager
    def one(self, tenant: str, *kinds: str) -> Iterator[None]:
        """Let the block replace a key.

        Args:
            tenant: Whose key.
            *kinds: Of intents that replace it.

        Raises:
            StateConflict: Another rotation is under way, or not settled yet.
        """
        if not self._turn.acquire(blocking=False):
            raise StateConflict("another key is being replaced: try again in a moment")
        try:
            for kind in kinds:
                left = self._intents.unfinished(kind, PLATFORM_TENANT)
                if any(pending.facts["tenant"] == tenant for pending in left):
                    raise StateConflict(
                        "an earlier rotation is being settled: try again in a minute"
                    )
            yield
        finally:
            self._turn.release()
