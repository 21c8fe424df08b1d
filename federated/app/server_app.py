"""The coordinator's side of the app: fetch the assignment, run the rounds, deliver the model."""

from __future__ import annotations

import time
from typing import Any

from flwr.serverapp import ServerApp

from federated.channel import Address, Channel
from federated.errors import FederatedError
from federated.mailbox import GridMailbox
from federated.plan import Event
from federated.rounds import Rounds


def build(address: Address) -> Any:
    """Return a ServerApp that reports to the coordinator at `address`."""
    app = ServerApp()

    @app.main()  # type: ignore[untyped-decorator]  # flwr ships no types
    def main(grid: Any, context: Any) -> None:
        with Channel(address, str(context.run_config["run"])) as channel:
            plan, nodes = channel.assignment()
            rounds = Rounds(
                plan,
                GridMailbox(grid, nodes),
                channel.report,
                clock=time.monotonic,
                pause=time.sleep,
            )
            try:
                channel.deliver(rounds.run())
            except FederatedError as failure:
                channel.report(Event(type="run_failed", code=failure.code))
                return
            channel.report(Event(type="run_finished"))

    return app


app = ServerApp()


@app.main()  # type: ignore[untyped-decorator]  # flwr ships no types
def refuse(_grid: Any, _context: Any) -> None:
    """Refuse to run: no coordinator has given its address (see `federated.executor`)."""
    raise FederatedError("this app runs under the coordinator only")
