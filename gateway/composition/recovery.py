"""What an earlier process left unfinished is settled at start, before requests come in.

INVARIANT: when `Recovery.run` returns, every durable intent has a durable result
(`gateway.authorization.intents`). The process is not ready before.
"""

from __future__ import annotations

import structlog

from gateway.authorization.intents import Intents
from gateway.federation.ports import FederationStore
from gateway.federation.records import Run
from gateway.federation.run_follower import RunFollower
from gateway.pages import every
from gateway.registry.uploads import Uploads


class Recovery:
    """Settles changes, removes what expired, goes on with runs.

    Args:
        intents: Every kind of change is registered with it.
        uploads: Expired ones are removed.
        federations: Where unfinished runs are.
        follower: Goes on following them; None when federation is off.
    """

    def __init__(
        self,
        intents: Intents,
        uploads: Uploads,
        federations: FederationStore,
        follower: RunFollower | None,
    ) -> None:
        self._intents = intents
        self._uploads = uploads
        self._federations = federations
        self._follower = follower

    def run(self) -> int:
        """Settle everything; blocks. Returns how many changes were unfinished.

        Raises:
            SealgateError: One could not be settled: the process must not become ready.
        """
        count = self._intents.settle_all()
        self._uploads.sweep()
        if count:
            structlog.get_logger().info("unfinished_changes_settled", count=count)
        return count

    def follow_runs(self) -> None:
        """Go on with the runs that an earlier process followed; call it when ready to serve."""
        if self._follower is None:
            return

        def page(after: str, limit: int) -> list[Run]:
            return self._federations.unfinished_runs(after=after, limit=limit)

        # All are read first: a run that ends while they are walked must not be met again.
        for run in list(every(page, lambda run: run.id, "")):
            self._follower.start(run)
