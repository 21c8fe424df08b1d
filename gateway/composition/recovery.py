"""What an earlier process left unfinished is finished or ended at start, before requests come in.

INVARIANT: when `run` returns, every durable intent of a change has a durable result. The process is
not ready before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from gateway.authorization.ports import PendingStore
from gateway.authorization.records import Pending
from gateway.federation.ports import FederationStore
from gateway.federation.run_follower import RunFollower
from gateway.registry.uploads import Uploads

PAGE: Final = 100

Finish = Callable[[Pending], None]
"""Ends one piece of pending work and forgets it."""


class Reconciliation:
    """Finishes pending work.

    Args:
        pending: What is not known to be finished.
        finish: How each kind is finished.
        federations: Where unfinished runs are.
        follower: Goes on following them; None when federation is off.
        uploads: Expired ones are removed.
    """

    def __init__(
        self,
        pending: PendingStore,
        finish: Mapping[str, Finish],
        federations: FederationStore,
        follower: RunFollower | None,
        uploads: Uploads,
    ) -> None:
        self._pending = pending
        self._finish = finish
        self._federations = federations
        self._follower = follower
        self._uploads = uploads

    def run(self) -> int:
        """Finish everything; blocks. Returns how many pieces of work were pending.

        Raises:
            EvidenceUnavailable: A result could not be recorded: the process must not become ready.
        """
        count = 0
        while page := self._pending.list_pending(limit=PAGE):
            for item in page:
                self._finish[item.kind](item)
                count += 1
        self._uploads.sweep()
        if count:
            structlog.get_logger().info("pending_work_finished", count=count)
        return count

    def follow_runs(self) -> None:
        """Go on with the runs that an earlier process followed; call it when ready to serve."""
        if self._follower is None:
            return
        for run in self._federations.unfinished_runs(limit=PAGE):
            self._follower.start(run)
