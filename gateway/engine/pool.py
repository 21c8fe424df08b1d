"""All engines of this process: started within bounds, and given up when others need the room.

Safety argument.
1. Engines are bounded in number, each in memory by the kernel, and all together by what they
   really hold (resident memory, not the length of a plaintext).
2. Room is made by giving up what is idle, of the tenant that holds most (the newcomer counts as
   its tenant's), the least recently used first: a tenant that asks for model after model, or for
   large ones, gives up its own and nobody else's.
3. What runs is never given up for another; when nothing is idle the newcomer is refused.
4. Engines that a version is tried out with before it is published count like others.
5. What is known of a version's ends outlives its engines: it is not loaded while it rests, and a
   load that fails counts as an end.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from gateway.engine.errors import (
    EngineBusy,
    EngineError,
    EngineFailed,
    EnginesDown,
    RunTimeout,
    Unconfined,
)
from gateway.engine.health import REST_SECONDS, Health, Healths
from gateway.engine.idling import IdleWatch
from gateway.engine.memory_files import seal
from gateway.engine.ports import PLAIN, Server
from gateway.engine.process import LOAD_SECONDS, Border, Bounds, EngineProcess
from gateway.engine.served import Served
from gateway.engine.starting import Recipe
from gateway.errors import ConfigurationError
from gateway.privileges import closed_to_nobody

# Weights as the runtime keeps them, packed copies and the graph: a model of 137 MB took 392 MB.
_COPIES: Final = 3
_SMALLEST_BYTES: Final = 16 << 20
_USUAL_BYTES: Final = 64 << 20
ONE_NODE: Final = bytes.fromhex(
    "080812003a350a0c0a0178120179220452656c751201675a100a0178120b0a09080112050a0312016e62100a0179"
    "120b0a09080112050a0312016e42040a00100d"
)
"""An ONNX model that takes `x` and gives its positive part, `y`."""


@dataclass(frozen=True, slots=True)
class Room:
    """What all engines together may take.

    Attributes:
        engines: How many at most.
        memory_bytes: Resident memory at most, looked at when an engine is started.
        each: Bounds of one engine.
        run_seconds: Of one run.
        load_seconds: Of the load of one engine.
    """

    engines: int
    memory_bytes: int
    each: Bounds
    run_seconds: float
    load_seconds: float = LOAD_SECONDS


@dataclass(frozen=True, slots=True)
class Graph:
    """A model to be run.

    Attributes:
        tenant, model, version: What it is.
        border: What it takes and gives.
        size: Bytes of plaintext.
        open: Returns a sealed memory file with the plaintext, which the caller closes; blocks.
        kind: Of its engine.
        rows: Rows that a shared run may have.
    """

    tenant: str
    model: str
    version: str
    border: Border
    size: int
    open: Callable[[], int]
    kind: str = PLAIN
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Gauge:
    """What a pool holds.

    Attributes:
        engines: How many there are.
        resident: Bytes of memory that they hold.
        waiting: Requests that wait for their turn.
        resting: Versions that are set aside.
    """

    engines: int
    resident: int
    waiting: int
    resting: int


class Engines:
    """The engines of a gateway process. For any thread.

    Args:
        servers: By the name of their kind; `PLAIN` is among them.
        room: What all may take.
        set_aside: Told of a model that is set aside, and why.
    """

    def __init__(
        self,
        servers: Mapping[str, Server],
        room: Room,
        set_aside: Callable[[Recipe, str], None],
    ) -> None:
        self._servers = servers
        self._room = room
        self._set_aside = set_aside
        self._lock = threading.Lock()
        self._served: list[Served] = []
        self._trials: list[tuple[str, EngineProcess]] = []
        self._healths = Healths()
        self._idle = IdleWatch()
        self._starting: Counter[str] = Counter()
        self._reserved: Counter[str] = Counter()
        self._closed = False

    def start(self) -> None:
        """Start the fork servers, and try each kind with a model of one node.

        Raises:
            ConfigurationError: A kind cannot be had; it says what is missing.
        """
        for name, server in self._servers.items():
            try:
                server.start()
                self._try(server)
            except Unconfined:
                raise ConfigurationError(
                    "models cannot be confined on this machine: its kernel gives this user "
                    "neither a namespace without network nor a filter of system calls",
                    "allow user namespaces (`user.max_user_namespaces`, the profile of the "
                    "container) or seccomp filters",
                ) from None
            except EnginesDown:
                raise ConfigurationError(
                    f"engines of the kind `{name}` cannot be started",
                    f"check that `{server.kind.python}` runs and imports onnxruntime and numpy",
                ) from None
            except EngineError:
                wanted = server.kind.providers[0]
                raise ConfigurationError(
                    f"engines of the kind `{name}` cannot use `{wanted}` on this machine: its "
                    f"runtime is {server.runtime}",
                    _remedy(server.kind.python),
                ) from None

    def _try(self, server: Server) -> None:
        model = seal(ONE_NODE)
        try:
            border = Border({"x": "FP32"}, ("y",))
            process = EngineProcess(server, border, model, self._room.each, LOAD_SECONDS)
        finally:
            os.close(model)
        try:
            process.run({"x": np.zeros(1, np.float32)}, LOAD_SECONDS)
        finally:
            process.close()

    def close(self) -> None:
        """End every engine. Call it after the doors have closed."""
        with self._lock:
            self._closed = True
            served, self._served = self._served, []
        for each in served:
            each.close()
        for server in self._servers.values():
            server.close()

    @property
    def kinds(self) -> Mapping[str, Server]:
        """The fork servers by kind."""
        return self._servers

    def serve(self, graph: Graph) -> Served:
        """Start an engine for a version; blocks.

        Raises:
            EngineBusy: There is no room.
            EnginesDown: It could not be started.
            RunFailed: The runtime does not take the graph.
            EngineFailed, RunTimeout: Its engine ended, or hung, while it was loaded.
            SetAside: That, or an end of its engines, happened again and again.
            SealgateError: The plaintext could not be had.
        """
        with self._lock:
            health = self._healths.of(graph.tenant, graph.model, graph.version)
        health.check(time.monotonic())
        recipe = Recipe(
            graph.tenant,
            graph.model,
            graph.version,
            lambda: self._start(graph, health, recipe),
            graph.rows,
        )
        served = Served(recipe, recipe.start(), self._room.run_seconds, self._set_aside, health)
        with self._lock:
            if self._closed:
                served.close()
                raise EnginesDown
            self._forget()
            self._served.append(served)
        return served

    def trial(self, graph: Graph) -> EngineProcess:
        """Start one engine that the caller closes; blocks. Raises what `serve` does."""
        return self._started(graph, trial=True)

    def limit(self, room: Room) -> None:
        """Take over other bounds: of memory for engines to come, of time for runs to come.

        Nothing is ended for it: where less memory is allowed than is held, the next engine that is
        started makes room.
        """
        with self._lock:
            self._room = room
            served = list(self._served)
        for each in served:
            each.allow(room.run_seconds)

    def end_burning(self) -> None:
        """End engines that compute although nothing runs; called again and again by one thread."""
        with self._lock:
            served = [each for each in self._served if not each.gone]
        for each in served:
            each.end_burning(self._idle.burns)

    def _start(self, graph: Graph, health: Health, recipe: Recipe) -> EngineProcess:
        """Start an engine; a version that ends or hangs while it is loaded comes to rest."""
        try:
            return self._started(graph)
        except (EngineFailed, RunTimeout) as fault:
            hung = isinstance(fault, RunTimeout)
            if health.ended(time.monotonic(), grave=hung) >= REST_SECONDS:
                self._set_aside(recipe, "load")
            raise

    def _started(self, graph: Graph, *, trial: bool = False) -> EngineProcess:
        server = self._servers.get(graph.kind)
        if server is None:
            raise EnginesDown(f"the kind of engine `{graph.kind}` is not set up here").for_good()
        need = max(_SMALLEST_BYTES, _COPIES * graph.size)
        self._make_room(graph.tenant, need)
        try:
            model = graph.open()
            try:
                made = EngineProcess(
                    server, graph.border, model, self._room.each, self._room.load_seconds
                )
            finally:
                os.close(model)
            if trial:
                with self._lock:
                    self._trials.append((graph.tenant, made))
            return made
        finally:
            with self._lock:
                self._starting[graph.tenant] -= 1
                self._reserved[graph.tenant] -= need

    def has_room(self, ahead: int = 0) -> bool:
        """Whether one more engine of a usual size fits without giving another up.

        Args:
            ahead: How many are on their way, those that are being started included.
        """
        with self._lock:
            self._forget()
            ahead = max(0, ahead - self._starting.total())
            return self._fits(_USUAL_BYTES * (1 + ahead), 1 + ahead)

    def gauge(self) -> Gauge:
        """Return what there is now."""
        with self._lock:
            self._forget()
            served, trials = list(self._served), [process for _, process in self._trials]
            resting = self._healths.resting(time.monotonic())
        return Gauge(
            engines=sum(each.engines for each in served) + len(trials),
            resident=sum(each.resident() for each in served)
            + sum(process.resident() for process in trials),
            waiting=sum(each.waiting for each in served),
            resting=resting,
        )

    def _make_room(self, tenant: str, need: int) -> None:
        """Count one engine more, giving others up for it where that is needed."""
        with self._lock:
            self._forget()
            while not self._fits(need):
                victim = self._least_wanted(tenant, need)
                if victim is None:
                    raise EngineBusy("there is no room for one more engine; try again shortly")
                self._served.remove(victim)
                victim.close()
            self._starting[tenant] += 1
            self._reserved[tenant] += need

    def _forget(self) -> None:
        """Forget what is gone."""
        self._served = [each for each in self._served if not each.gone]
        self._trials = [each for each in self._trials if not each[1].closed]

    def _fits(self, need: int, more: int = 1) -> bool:
        count = sum(each.engines for each in self._served) + self._starting.total()
        count += len(self._trials)
        if count == 0 and more == 1:
            return True  # one that is larger than all the room still runs, alone
        held = sum(each.resident() for each in self._served) + self._reserved.total()
        held += sum(process.resident() for _, process in self._trials)
        return count + more <= self._room.engines and held + need <= self._room.memory_bytes

    def _least_wanted(self, tenant: str, need: int) -> Served | None:
        idle = [each for each in self._served if each.idle and each.engines]
        if not idle:
            return None
        engines = self._starting + Counter({tenant: 1})
        memory = self._reserved + Counter({tenant: need})
        for each in self._served:
            engines[each.recipe.tenant] += each.engines
            memory[each.recipe.tenant] += each.resident()
        for owner, process in self._trials:
            engines[owner] += 1
            memory[owner] += process.resident()
        most, all_memory = self._room.engines, self._room.memory_bytes

        def share(tenant: str) -> float:
            return max(engines[tenant] / most, memory[tenant] / all_memory)

        return max(idle, key=lambda each: (share(each.recipe.tenant), -each.used))


def bounded(each: Bounds, *, memory_bytes: int, body_bytes: int) -> Bounds:
    """Return the bounds of an engine for a gateway that takes bodies of that size.

    A value of two bytes of JSON (`1,`) becomes a tensor's element of eight.
    """
    most = 4 * body_bytes
    return replace(
        each,
        memory_bytes=memory_bytes,
        input_bytes=max(each.input_bytes, most),
        output_bytes=max(each.output_bytes, most),
    )


def _remedy(python: Path) -> str:
    remedy = "install the runtime that has it, and the device and driver that it needs"
    closed = closed_to_nobody(python)
    if closed is None:
        return remedy
    return f"let `nobody`, as whom engines run, enter `{closed}` (`chmod o+rx`), or {remedy}"
