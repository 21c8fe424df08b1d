"""Decrypted models in memory: loaded once, run under a time limit, dropped on demand.

Safety argument.
1. A model is opened only from a version whose link signature and payload digests were verified by
   the loader; the plaintext is wiped once onnxruntime has made its own copy.
2. Every run has a deadline: a watchdog sets `RunOptions.terminate`, which stops onnxruntime within
   its next node, so that a hostile graph cannot hold the gateway. One that was quick when it was
   timed, and is not for an input made for it, holds the event loop once and for an instant only.
3. What onnxruntime says about an input is never passed on: a failed run is `RunFailed`.
4. `forget` returns when the model can no longer be handed out; a version that is no longer wanted
   is not kept alive by the cache.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import onnxruntime as ort
from numpy.typing import NDArray

from gateway.artifacts.manifest import TensorSpec
from gateway.lifecycle.records import ModelVersion
from gateway.screening.contract import Contract
from gateway.screening.verdict import Judge
from gateway.serving.errors import RunFailed, RunTimeout

Array: TypeAlias = NDArray[Any]
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
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def run(
        self,
        session: Any,
        names: Sequence[str],
        inputs: Mapping[str, Array],
        limit: float | None = None,
    ) -> list[Array]:
        """Run a session within the timeout, or within `limit` seconds.

        Raises:
            RunTimeout: When it was stopped.
            RunFailed: When onnxruntime refused the input or failed.
        """
        options = ort.RunOptions()
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
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:  # as in `Watchdog.run`
        raise RunFailed("the model could not be loaded") from None


class Sessions:
    """A bounded cache of loaded models with single flight.

    Args:
        load: Opens a version; runs in a thread; raises what the caller should see.
        watchdog: Runs models.
        max_bytes: Plaintext bytes kept at most; the least recently used model leaves first.
    """

    def __init__(
        self,
        load: Callable[[ModelVersion], ServableModel],
        watchdog: Watchdog,
        max_bytes: int,
    ) -> None:
        self._load = load
        self._watchdog = watchdog
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
        except BaseException:
            self._settle(key, None)
            raise
        self._settle(key, model)
        return model

    def _settle(self, key: Key, model: ServableModel | None) -> None:
        """Keep what was loaded, unless it was forgotten meanwhile."""
        with self._lock:
            if self._loading.get(key) is not asyncio.current_task():
                return
            del self._loading[key]
            if model is not None:
                self._loaded[key] = model
                while len(self._loaded) > 1 and self._bytes() > self._max_bytes:
                    self._loaded.popitem(last=False)

    def _bytes(self) -> int:
        return sum(model.size for model in self._loaded.values())

    def forget(self, tenant: str, model: str | None = None) -> None:
        """Drop the tenant's models, or one model's versions, loaded or being loaded."""
        with self._lock:
            for kept in (self._loaded, self._loading):
                for key in [key for key in kept if key[0] == tenant and model in (None, key[1])]:
                    kept.pop(key)

    async def run(self, model: ServableModel, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model: outputs and screen scores by name, in one pass.

        Raises:
            RunTimeout: When it took too long.
            RunFailed: When it failed on this input.
        """
        task = model.session, model.wanted, inputs
        if model.inline and sum(array.size for array in inputs.values()) <= INLINE_ELEMENTS:
            try:
                found = self._watchdog.run(*task, INLINE_LIMIT_SECONDS)
            except RunTimeout:
                self._move_to_threads(model)
                found = await asyncio.to_thread(self._watchdog.run, *task)
        else:
            found = await asyncio.to_thread(self._watchdog.run, *task)
        return dict(zip(model.wanted, found, strict=True))

    def _move_to_threads(self, slow: ServableModel) -> None:
        """Never again run a model inline for as long as it is kept."""
        with self._lock:
            for key, model in self._loaded.items():
                if model is slow:
                    self._loaded[key] = replace(slow, inline=False)
