"""Engines that do what a test says, in place of processes: what an engine could do, and worse."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from gateway.engine import wire
from gateway.engine.memory_files import seal
from gateway.engine.orders import Order
from gateway.engine.ports import EngineKind
from gateway.engine.process import Border, Bounds, EngineProcess
from gateway.engine.served import Served
from gateway.engine.starting import Recipe

X = {"x": np.ones((1, 3), np.float32)}
BOUNDS = Bounds(input_bytes=8 << 20, output_bytes=64 << 20)
Act = Callable[["Taken"], None]


class Taken:
    """The inside of an engine: a region and two bells, and whatever the test does with them."""

    def __init__(self, order: Order, descriptors: Sequence[int]) -> None:
        _, region, bell_in, bell_out = descriptors
        self.region = mmap.mmap(region, order.region_bytes)
        self.output_at = order.output_at
        self.asked, self.bell = os.dup(bell_in), os.dup(bell_out)
        self.dead = threading.Event()

    def say(self, state: int, *tensors: tuple[int, tuple[int, ...], int]) -> None:
        sized = [(number, *tensor) for number, tensor in enumerate(tensors)]
        placed = wire.place(sized, self.output_at, len(self.region))
        assert placed is not None
        head = wire.encode_head(state, placed)
        self.region[wire.ANSWER_AT : wire.ANSWER_AT + len(head)] = head

    def ring(self, times: int = 1) -> None:
        os.write(self.bell, b"\1" * times)

    def answer(self, value: float = 1.0) -> None:
        self.region[self.output_at : self.output_at + 4] = np.float32(value).tobytes()
        self.say(wire.DONE, (wire.DATATYPES.index("FP32"), (1,), 4))
        self.ring()

    def await_run(self) -> bool:
        return bool(os.read(self.asked, 1)) and not self.dead.is_set()


class HostileServer:
    """Starts engines that do what a test says. `gateway.engine.ports.Server`."""

    def __init__(self, *acts: Act) -> None:
        self.kind = EngineKind()
        self.runtime = "hostile"
        self.acts = list(acts)
        self.forked = 0
        self.open: dict[int, Taken] = {}

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def end_of(self, engine: int) -> int | None:
        return None

    def fork(self, order: Order, descriptors: Sequence[int]) -> tuple[int, int]:
        taken = Taken(order, descriptors)
        act = self.acts[min(self.forked, len(self.acts) - 1)]
        self.forked += 1
        exited = os.eventfd(0, os.EFD_CLOEXEC)
        self.open[exited] = taken
        threading.Thread(target=self._live, args=(taken, act), daemon=True).start()
        return 1 << 22, exited

    def _live(self, taken: Taken, act: Act) -> None:
        taken.say(wire.READY)
        taken.ring()
        with suppress(OSError):
            act(taken)
            while taken.await_run():
                pass
        os.close(taken.asked)
        os.close(taken.bell)

    def kill(self, process: int) -> None:
        taken = self.open.pop(process, None)
        if taken is not None:
            taken.dead.set()
        os.eventfd_write(process, 1)


def honest(taken: Taken) -> None:
    while taken.await_run():
        taken.answer()


def engine(server: Any, *datatypes: str) -> EngineProcess:
    model = seal(b"model")
    border = Border({"x": "FP32"}, ("y",), datatypes)
    try:
        return EngineProcess(server, border, model, BOUNDS, 10.0)
    finally:
        os.close(model)


def served(server: Any, *, timeout: float = 30.0, aside: list[str] | None = None) -> Served:
    told: list[str] = [] if aside is None else aside
    recipe = Recipe("acme", "m", "1", lambda: engine(server), rows=8)
    return Served(recipe, engine(server), timeout, lambda _, reason: told.append(reason))
