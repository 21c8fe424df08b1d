"""Decrypted models in memory: loaded once, run under a time limit, dropped on demand.

Safety argument.
1. A model is opened only from a version whose link signature and payload digests were verified by
   the loader; the plaintext is wiped once onnxruntime has made its own copy.
2. Every run has a deadline: a watchdog sets `RunOptions.terminate`, which stops onnxruntime within
   its next node, so that a hostile graph cannot hold the gateway. One that was quick when it was
   timed, and is not for an input made for it, holds the event loop once and for an instant only.
   A run whose caller is gone is stopped in the same way.
3. The memory of all runs together is bounded, and each tenant has its share of threads
   (`gateway.inference.fair_executor`).
4. What onnxruntime says about an input is never passed on: a failed run is `RunFailed`.
5. A version that may no longer be called is never handed out, as it is resolved anew for each
   request (`gateway.inference.routing`); `sweep` gives its memory back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias

import onnxruntime as ort

from gateway.artifacts.manifest import TensorSpec
from gateway.inference.codec import Array
from gateway.inference.errors import RunFailed, RunTimeout
from gateway.inference.fair_executor import FairExecutor
from gateway.registry.records import ModelVersion
from gateway.screening.contract import Contract
from gateway.screening.verdict import Judge

Key: TypeAlias = tuple[str, str, str]

# How often the watchdog looks: a run is stopped at most this long after its deadline.
WATCH_SECONDS: Final = 0.05
# A run that took less than this while warming up is cheaper than handing it to a thread and back.
INLINE_SECONDS: Final = 0.001
# An inline run that takes longer is stopped and begun again in a thread, as all later ones are.
INLINE_LIMIT_SECONDS: Final = 0.05
# An inline run must stay short when the batch is larger than the one that was timed.
INLINE_ELEMENTS: Final = 1 << 14


class Watchdog:
    """Stops runs that are over their deadline.

    Args:
        timeout: Seconds that one run may take.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._running: dict[int, tuple[float, Any]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="run-watchdog", daemon=True)

    def start(self) -> None:
        """Start watching (after any fork)."""
        self._thread.start()

    def close(self) -> None:
        """Stop what runs, and stop watching."""
        for _, options in list(self._running.values()):
            options.terminate = True
        self._stop.set()
        self._thread.join()

    def run(
        self,
        session: Any,
        names: Sequence[str],
        inputs: Mapping[str, Array],
        limit: float | None = None,
        options: Any = None,
    ) -> list[Array]:
        """Run a session within the timeout, or within `limit` seconds.

        Args:
            session: What to run.
            names: Outputs that are wanted.
            inputs: Arrays by input name.
            limit: Seconds, when fewer than the timeout.
            options: The run's options, when the caller wants to stop it too.

        Raises:
            RunTimeout: When it was stopped.
            RunFailed: When onnxruntime refused the input or failed.
        """
        options = options or ort.RunOptions()
        key = id(options)
        deadline = time.monotonic() + min(self._timeout, limit or self._timeout)
        self._running[key] = (deadline, options)
        try:
            outputs: list[Array] = session.run(names, inputs, options)
        except Exception:  # onnxruntime's errors share no base and may quote the input
            if time.monotonic() >= deadline:
                raise RunTimeout from None
            raise RunFailed from None
        finally:
            del self._running[key]
        return outputs

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_SECONDS):
            now = time.monotonic()
            # A copy: runs begin and end in other threads while this one looks.
            for deadline, options in list(self._running.values()):
                if now >= deadline:
                    options.terminate = True


@dataclass(frozen=True, slots=True)
class ServableModel:
    """A model that is ready to answer.

    Attributes:
        session: The onnxruntime session of the fused graph (or of the plain one, unscreened).
        inputs, outputs: The model's own, from the signed manifest.
        wanted: Names of everything that one run computes, the screen's scores included.
        contract: What inputs must look like.
        judge: Turns screen scores into a verdict; `None` when unscreened.
        profile_digest: SHA-256 of the profile, for the record; empty when unscreened.
        size: Bytes of plaintext, for the cache's bound.
        expires: Unix seconds of the signed manifest, or `None`.
        inline: Whether a small run may stay on the event loop.
    """

    session: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    wanted: tuple[str, ...]
    contract: Contract
    judge: Judge | None
    profile_digest: str
    size: int
    inline: bool
    expires: int | None = None


def bound_run_memory(max_bytes: int) -> None:
    """Bound the memory that all runs of this process take together; once a process.

    A run that asks for more fails (`RunFailed`); the process goes on.
    """
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    as_asked = 1  # grow by what is asked for, not by powers of two
    arena = ort.OrtArenaCfg({"max_mem": max_bytes, "arena_extend_strategy": as_asked})
    ort.create_and_register_allocator(memory, arena)


def open_session(model: bytes) -> Any:
    """Make an onnxruntime session from a plain graph in memory.

    Raises:
        RunFailed: When onnxruntime does not take the graph.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Runs take their memory from the arena of `bound_run_memory`; weights do not.
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:  # as in `Watchdog.run`
        raise RunFailed("the model could not be loaded") from None


class Sessions:
    """A bounded cache of loaded models with single flight.

    Args:
        load: Opens a version; runs in a thread; raises what the caller should see.
        watchdog: Runs models.
        executor: Threads for runs that do not stay on the event loop.
        max_bytes: Plaintext bytes kept at most; the least recently used model leaves first.
    """

    def __init__(
        self,
        load: Callable[[ModelVersion], ServableModel],
        watchdog: Watchdog,
        executor: FairExecutor,
        max_bytes: int,
    ) -> None:
        self._load = load
        self._watchdog = watchdog
        self._executor = executor
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Key, ServableModel] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[ServableModel]] = {}

    async def get(self, version: ModelVersion) -> ServableModel:
        """Return the loaded model, loading it once however many ask.

        Raises:
            SealgateError: Whatever kept the loader from opening it.
        """
        key = (version.tenant, version.model, version.version)
        with self._lock:
            model = self._loaded.get(key)
            if model is not None:
                self._loaded.move_to_end(key)
                return model
            task = self._loading.get(key)
            if task is None:
                task = asyncio.create_task(self._open(key, version))
                self._loading[key] = task
        return await asyncio.shield(task)

    async def _open(self, key: Key, version: ModelVersion) -> ServableModel:
        try:
            model = await asyncio.to_thread(self._load, version)
        finally:
            with self._lock:
                del self._loading[key]
        with self._lock:
            self._loaded[key] = model
            while len(self._loaded) > 1 and self._bytes() > self._max_bytes:
                self._loaded.popitem(last=False)
        return model

    def _bytes(self) -> int:
        return sum(model.size for model in self._loaded.values())

    def sweep(self, wanted: Callable[[Key, ServableModel], bool]) -> None:
        """Drop what is loaded and no longer wanted. `wanted` may block: call it from a thread."""
        with self._lock:
            loaded = list(self._loaded.items())
        for key, model in loaded:
            if not wanted(key, model):
                with self._lock:
                    self._loaded.pop(key, None)

    async def run(
        self, tenant: str, model: ServableModel, inputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Run the model for a tenant: outputs and screen scores by name, in one pass.

        Raises:
            RunTimeout: When it took too long.
            RunFailed: When it failed on this input.
            TooManyRequests: When too many runs of the tenant wait.
        """
        task = model.session, model.wanted, inputs
        in_thread = partial(self._run_in_thread, tenant, *task)
        if model.inline and sum(array.size for array in inputs.values()) <= INLINE_ELEMENTS:
            try:
                found = self._watchdog.run(*task, INLINE_LIMIT_SECONDS)
            except RunTimeout:
                self._move_to_threads(model)
                found = await in_thread()
        else:
            found = await in_thread()
        return dict(zip(model.wanted, found, strict=True))

    async def _run_in_thread(
        self, tenant: str, session: Any, names: Sequence[str], inputs: Mapping[str, Array]
    ) -> list[Array]:
        options = ort.RunOptions()
        work = partial(self._watchdog.run, session, names, inputs, options=options)
        try:
            return await self._executor.run(tenant, work)
        except asyncio.CancelledError:
            options.terminate = True  # nobody waits for the answer
            raise

    def _move_to_threads(self, slow: ServableModel) -> None:
        """Never again run a model inline for as long as it is kept."""
        with self._lock:
            for key, model in self._loaded.items():
                if model is slow:
                    self._loaded[key] = replace(slow, inline=False)
