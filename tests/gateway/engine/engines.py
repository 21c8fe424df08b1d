"""Pools of real engines for tests, and what they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import onnx

from gateway.engine.forking import ForkServer
from gateway.engine.memory_files import seal
from gateway.engine.pool import Engines, Graph, Room
from gateway.engine.ports import PLAIN
from gateway.engine.process import Border, Bounds, EngineProcess
from gateway.engine.served import Served
from tests.gateway.engine import dangers

BOUNDS = Bounds(memory_bytes=1 << 30, input_bytes=64 << 20, output_bytes=64 << 20)
TIMEOUT = 0.5
X = {"x": np.ones((1, 3), np.float32)}


def pool(server: ForkServer, aside: list[str], seconds: float) -> Iterator[Engines]:
    room = Room(engines=6, memory_bytes=4 << 30, each=BOUNDS, run_seconds=seconds)
    made = Engines({PLAIN: server}, room, lambda recipe, reason: aside.append(reason))
    yield made
    for served in made._served:
        served.close()


def graph(
    model: onnx.ModelProto | bytes,
    *outputs: str,
    tenant: str = "acme",
    name: str = "m",
    **more: Any,
) -> Graph:
    data = model if isinstance(model, bytes) else dangers.plain(model)
    inputs = more.pop("inputs", {"x": "FP32"})
    return Graph(
        tenant=tenant,
        model=name,
        version="1",
        border=Border(inputs, outputs or ("y",)),
        size=len(data),
        open=lambda: seal(data),
        **more,
    )


def process_of(served: Served) -> EngineProcess:
    return served._places[0].process


def on_a_loop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())
