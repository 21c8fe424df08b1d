"""All connections of the door: how many there may be, and how they end together.

Safety argument.
1. There are at most `MAX_CONNECTIONS`. One more takes the place of the one that has been idle for
   longest; where none is idle it is not let in. So nobody shuts others out by holding connections
   open, and the door never takes the descriptors that the other doors need.
2. A stopping server takes no more calls, waits for those under way, and cancels those that take
   longer than the grace: they are recorded and answered as cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.grpc.call import Methods
from gateway.grpc.ended import CallsEnded
from gateway.grpc.http2.connection import Unclaimed
from gateway.grpc.incoming import Bounds
from gateway.grpc.protocol import GrpcProtocol, Shared, Work
from gateway.traces import Traces

MAX_CONNECTIONS: Final = 512
"""Half of the descriptors that a process has by default; a client needs one."""
CHECK_SECONDS: Final = 2.0
"""From one look at all connections to the next."""
CANCEL_SECONDS: Final = 5.0
"""For the records of what was cut off."""


class GrpcServer:
    """Makes the protocol of each connection, and closes all of them.

    Args:
        methods: Of the service.
        bounds: Of what arrives.
        new_id: Draws the id of a request.
        traces: Begins the traces of calls that are traced.
        ended: Notes how calls ended.
    """

    def __init__(
        self,
        methods: Methods,
        bounds: Bounds,
        new_id: Callable[[], str],
        traces: Traces,
        ended: CallsEnded | None = None,
    ) -> None:
        self._shared = Shared(methods, bounds, Unclaimed(), new_id, traces, ended)
        self._connections: set[GrpcProtocol] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    @property
    def works(self) -> set[Work]:
        """Calls under way."""
        return {work for one in list(self._connections) for work in list(one.works)}

    def protocol(self) -> GrpcProtocol:
        """Make the protocol of a connection, for `loop.create_server`."""
        return GrpcProtocol(self._shared, self._opened, self._lost)

    def _opened(self, protocol: GrpcProtocol) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            least = self._shared.idle.longest() or protocol
            least.give_up()
            self._lost(least)  # at once: the next newcomer takes another's place
            if least is protocol:
                return
        self._connections.add(protocol)
        self._shared.idle.note(protocol)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(CHECK_SECONDS, self._check)

    def _lost(self, protocol: GrpcProtocol) -> None:
        self._connections.discard(protocol)
        self._shared.idle.drop(protocol)

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        for protocol in list(self._connections):
            protocol.check(loop.time())
        more = self._connections
        self._timer = loop.call_later(CHECK_SECONDS, self._check) if more else None

    async def close(self, grace: float) -> None:
        """Finish what is under way, and close all connections: claim 2.

        Args:
            grace: Seconds for calls that are under way.
        """
        for protocol in list(self._connections):
            protocol.drain()
        await self._wait(grace)
        for work in self.works:
            work.stop()
        await self._wait(CANCEL_SECONDS)
        for protocol in list(self._connections):
            protocol.close()
        if self._timer is not None:
            self._timer.cancel()

    async def _wait(self, seconds: float) -> None:
        if tasks := [work.task for work in self.works if work.task is not None]:
            await asyncio.wait(tasks, timeout=seconds)
            await asyncio.sleep(0)  # what they wrote leaves in the next turn
