"""The gRPC door of works, served on an event loop of a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvloop

from gateway.composition.inference import make_directory
from gateway.grpc.ended import CallsEnded
from gateway.grpc.http2.connection import Unclaimed
from gateway.grpc.incoming import Bounds
from gateway.grpc.infer_codec import parameter
from gateway.grpc.server import GrpcServer
from gateway.grpc.service import Service
from gateway.grpc.wire import write_bytes, write_varint
from gateway.inference.body_budget import BodyBudget
from gateway.traces import Traces
from tests.audit.samples import until
from tests.gateway.grpc.peer import Peer
from tests.gateway.inference.works import CLEAN, Works
from tests.gateway.serving import listening


@dataclass
class Door:
    """The door, and what it stands on."""

    shop: Works
    port: int
    server: GrpcServer
    budget: BodyBudget
    loop: asyncio.AbstractEventLoop
    stopping: asyncio.Event
    faults: list[dict[str, Any]] = field(default_factory=list)

    def peer(self, **options: Any) -> Peer:
        return Peer(self.port, **options)

    def bearer(self, *who: str) -> tuple[str, str]:
        return "authorization", f"Bearer {self.shop.bearer(*who)}"

    @property
    def unclaimed(self) -> Unclaimed:
        return self.server._shared.unclaimed

    def idle(self) -> bool:
        return not self.server.works and self.budget.held == self.unclaimed.held == 0

    def recorded(self) -> list[tuple[str, str]]:
        return [(event["outcome"], event.get("reason", "")) for event in self.shop.events()]

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # it may have stopped before
            self.loop.call_soon_threadsafe(self.stopping.set)


@contextmanager
def opened(
    shop: Works,
    *,
    max_bytes: int = 1 << 20,
    timeout: float = 30.0,
    grace: float = 10.0,
    tls: ssl.SSLContext | None = None,
    traces: Traces | None = None,
    ended: CallsEnded | None = None,
) -> Iterator[Door]:
    """Serve until the block ends; nothing may be left behind then."""
    directory = make_directory(shop.house.base, shop.pipeline)
    new_id = shop.house.new_id
    service = Service(shop.pipeline, directory, "9.9", lambda: True, new_id)
    budget = BodyBudget()
    traces = traces or Traces(0.0, lambda: 0)
    bounds = Bounds(max_bytes, timeout, budget)
    server = GrpcServer(service.methods(), bounds, new_id, traces, ended)
    listener = listening()
    ready: list[Door] = []
    stands = threading.Event()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        door = Door(shop, listener.getsockname()[1], server, budget, loop, asyncio.Event())
        loop.set_exception_handler(lambda _, context: door.faults.append(context))
        made = await loop.create_server(server.protocol, sock=listener, ssl=tls)
        ready.append(door)
        stands.set()
        await door.stopping.wait()
        made.close()
        await server.close(grace)

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert stands.wait(30)
    (door,) = ready
    try:
        yield door
        until(door.idle)
    finally:
        door.stop()
        thread.join()
    assert door.faults == []


def request(
    x: Any = CLEAN[:1],
    *,
    model: str = "m",
    version: str = "",
    id: str = "",
    raw: bool = True,
    **parameters: str | bool,
) -> bytes:
    """A `ModelInferRequest` about some rows of the classifier, written by hand."""
    x = np.asarray(x, np.float32)
    tensor = write_bytes(1, b"in") + write_bytes(2, b"FP32")
    tensor += write_bytes(3, b"".join(write_varint(size) for size in x.shape))
    if not raw:
        tensor += write_bytes(5, write_bytes(6, x.tobytes()))
    found = write_bytes(1, model.encode()) + write_bytes(2, version.encode())
    found += write_bytes(3, id.encode()) if id else b""
    found += b"".join(write_bytes(4, parameter(*item)) for item in parameters.items())
    return found + write_bytes(5, tensor) + (write_bytes(7, x.tobytes()) if raw else b"")
