"""Engines in threads of this process: the runtime for real, without confinement and process.

What only a process can do (be ended in the middle of a node, crash, be bounded in memory) is tested
with real engines. Here a killed run is asked to stop, and its engine is over at once.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import onnxruntime as ort

from gateway.engine import wire
from gateway.engine.orders import Order
from gateway.engine.ports import EngineKind
from gateway.engine.runtime import Runtime


class Gate:
    """Holds runs in their middle until they are let go.

    Attributes:
        reached: Set when a run has come so far.
        runs: How many runs came so far.
    """

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go = threading.Event()
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        self.reached.set()
        assert self.go.wait(30)


class _Stoppable:
    """A session whose runs can be stopped between nodes."""

    def __init__(self, session: Any, gate: Callable[[], None]) -> None:
        self._session = session
        self._gate = gate
        self.options = ort.RunOptions()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Sequence[str], inputs: Any) -> Any:
        self._gate()
        return self._session.run(names, inputs, self.options)


class _Held(Runtime):
    gate: Callable[[], None] = staticmethod(lambda: None)

    def _load(self, model: mmap.mmap) -> int:
        state = super()._load(model)
        if self._session is not None:
            self._session = _Stoppable(self._session, self.gate)
        return state


class ThreadServer:
    """`gateway.engine.ports.Server` with threads.

    Args:
        gate: Called before each run.
    """

    def __init__(self, gate: Callable[[], None] = lambda: None) -> None:
        self.kind = EngineKind()
        self.runtime = ort.__version__
        self.gate = gate
        self.forked = 0
        self.runs = 0
        self.killed = 0
        self._runtimes: dict[int, _Held] = {}
        self._numbers = itertools.count(1 << 22)  # beyond every process id

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def end_of(self, engine: int) -> int | None:
        return -9

    def fork(self, order: Order, descriptors: Sequence[int]) -> tuple[int, int]:
        self.forked += 1
        model_file, region_file, bell_in, bell_out = descriptors
        model = mmap.mmap(model_file, order.model_bytes, prot=mmap.PROT_READ)
        region = mmap.mmap(region_file, order.region_bytes)
        end = wire.DATA_AT + order.specification_bytes
        specification = json.loads(region[wire.DATA_AT : end])
        bells = os.dup(bell_in), os.dup(bell_out)
        exited = os.eventfd(0, os.EFD_CLOEXEC)
        runtime = _Held(region, order.output_at, specification, bells)
        runtime.gate = self._counted
        self._runtimes[exited] = runtime
        threading.Thread(target=self._serve, args=(runtime, model, bells), daemon=True).start()
        return next(self._numbers), exited

    def _counted(self) -> None:
        self.runs += 1
        self.gate()

    def kill(self, process: int) -> None:
        self.killed += 1
        os.eventfd_write(process, 1)
        runtime = self._runtimes.pop(process, None)
        if runtime is None:
            return
        if isinstance(runtime._session, _Stoppable):
            runtime._session.options.terminate = True
            runtime._session._gate = sys.exit  # ends the thread, and nothing is said of it

    @staticmethod
    def _serve(runtime: _Held, model: mmap.mmap, bells: tuple[int, int]) -> None:
        try:
            with suppress(SystemExit, OSError):  # its bells are closed
                runtime.serve(model)
        finally:
            for bell in bells:
                os.close(bell)
