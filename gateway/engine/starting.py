"""Engines are started in threads of their own: a load that hangs holds up nothing but itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from gateway.engine.errors import EnginesDown
from gateway.engine.process import EngineProcess
from gateway.errors import SealgateError


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an engine is made from.

    Attributes:
        tenant, model, version: What it runs, for logs and shares.
        start: Starts an engine; blocks; raises what the caller should hear.
        rows: Rows that one shared run may have; 1 where rows may depend on each other.
    """

    tenant: str
    model: str
    version: str
    start: Callable[[], EngineProcess]
    rows: int = 1


Start: TypeAlias = Callable[[], EngineProcess]
Then: TypeAlias = Callable[[EngineProcess | None, SealgateError | None], None]


def start_aside(loop: asyncio.AbstractEventLoop, start: Start, then: Then) -> None:
    """Start an engine in a thread of its own.

    Args:
        loop: Where `then` is called; when it is closed by that time, the engine ends.
        start: Starts it; blocks.
        then: Takes the engine, which is its to close, or what kept it from starting.
    """

    def work() -> None:
        process = fault = None
        try:
            process = start()
        except SealgateError as refused:
            fault = refused
        except Exception:  # what waits must hear of it, whatever it is
            fault = EnginesDown()
        try:
            loop.call_soon_threadsafe(then, process, fault)
        except RuntimeError:
            if process is not None:
                process.close()

    try:
        threading.Thread(target=work, name="engine-start", daemon=True).start()
    except RuntimeError:  # there is no thread left
        loop.call_soon(then, None, EnginesDown())
