"""Room for sign-ins that have begun: nobody takes all of it.

1. What begins is counted by client where it proved who it is, else by where it comes from: anybody
   can begin in the name of a public client.
2. One of these has a small part of the room, and is told when there is more.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from gateway.identity.client_authentication import Connection
from gateway.identity.errors import OAuthRefusal
from gateway.identity.failure_bounds import ROOM, Allowance, Counts
from gateway.identity.records import Client


class Room:
    """Counts what begins, in this process. Safe for threads.

    Args:
        each: What one client or origin may begin.
        monotonic: Seconds of a clock that is never set back.
    """

    def __init__(self, each: Allowance, monotonic: Callable[[], float]) -> None:
        self._counts = Counts(each, ROOM)
        self._now = monotonic
        self._lock = threading.Lock()

    def take(self, client: Client, connection: Connection) -> None:
        """Count one that begins.

        Raises:
            OAuthRefusal: There are too many of this client or origin; with `retry_after`.
        """
        public = client.auth_method == "none"
        name = connection.origin if public else f"client {client.id}"
        if not name:
            return
        with self._lock:
            wait = self._counts.wait(name, self._now())
        if wait:
            raise OAuthRefusal(
                "temporarily_unavailable", "too many sign-ins begin from here: try again"
            ).again_in(math.ceil(wait))
