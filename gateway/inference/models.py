"""Models that are ready to answer: opened and verified once, run in engines, given up on demand.

Safety argument.
1. A model is opened only from a version whose link signature and payload digests were verified by
   the loader, each time that an engine is started with it.
2. A version that may no longer be called is never handed out, as it is resolved anew for each
   request (`gateway.inference.routing`); `sweep` ends its engines.
3. Loads have threads of their own, and a tenant has a share of them (`gateway.inference.loaders`):
   one tenant's loads keep nobody else's from beginning, and no load anything else.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from gateway.artifacts.manifest import TensorSpec
from gateway.engine.errors import Gone
from gateway.engine.served import Served
from gateway.inference.codec import Array, InferRequest
from gateway.inference.errors import ModelUnavailable
from gateway.inference.loaders import Loaders
from gateway.registry.records import ModelVersion
from gateway.screening.contract import Contract
from gateway.screening.verdict import Judge

Key: TypeAlias = tuple[str, str, str]

# Engines of a version may be given up between the look and the run, again and again only where
# far too little room was set.
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class ServableModel:
    """A model that is ready to answer.

    Attributes:
        engine: Runs it (the fused graph, or the plain one, unscreened).
        inputs, outputs: The model's own, from the signed manifest.
        wanted: Names of everything that one run computes, the screen's scores included.
        contract: What inputs must look like.
        judge: Turns screen scores into a verdict; `None` when unscreened.
        profile_digest: SHA-256 of the profile, for the record; empty when unscreened.
        expires: Unix seconds of the signed manifest, or `None`.
    """

    engine: Served
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    wanted: tuple[str, ...]
    contract: Contract
    judge: Judge | None
    profile_digest: str
    expires: int | None = None


class Models:
    """The models that are ready, with single flight.

    Args:
        load: Opens a version and starts its engine; blocks; raises what the caller should hear.
        loaders: Threads for that.
    """

    def __init__(
        self, load: Callable[[ModelVersion], ServableModel], loaders: Loaders | None = None
    ) -> None:
        self._load = load
        self._loaders = loaders or Loaders()
        self._lock = threading.Lock()
        self._ready: OrderedDict[Key, ServableModel] = OrderedDict()
        self._past: Counter[Key] = Counter()
        self._loading: dict[Key, Future[ServableModel]] = {}

    async def get(self, version: ModelVersion) -> ServableModel:
        """Return the model, loading it once however many ask.

        Raises:
            SealgateError: Whatever kept the loader from opening it.
        """
        key = _key(version)
        found = self._ready.get(key)
        if found is not None and not found.engine.gone:
            return found
        return await asyncio.shield(asyncio.wrap_future(self._asked(key, version)))

    async def run(self, version: ModelVersion, request: InferRequest) -> dict[str, Array]:
        """Run the version on a request: outputs and screen scores by name, in one pass.

        Raises:
            EngineError: It took too long, failed, or was not to be had.
            SealgateError: Whatever kept the loader from opening it.
        """
        for _ in range(_TRIES):
            model = await self.get(version)
            try:
                found = await model.engine.run(request.inputs, request.rows)
            except Gone:
                continue
            return dict(zip(model.wanted, found, strict=True))
        raise ModelUnavailable().again_in(1)  # others took the room each time

    def runs(self, key: Key) -> int:
        """Return how many runs of a version came to their end in this process."""
        found = self._ready.get(key)
        return self._past[key] + (found.engine.runs if found is not None else 0)

    def is_ready(self, version: ModelVersion) -> bool:
        """Whether the version has an engine."""
        found = self._ready.get(_key(version))
        return found is not None and not found.engine.gone

    def waiting(self, key: Key) -> int:
        """How many requests wait for a run of a version; 0 when it has no engine."""
        found = self._ready.get(key)
        return 0 if found is None else found.engine.waiting

    def prepare(self, version: ModelVersion) -> None:
        """Make a version ready before anybody asks for it; blocks.

        Raises:
            SealgateError: Whatever kept the loader from opening it.
        """
        self._asked(_key(version), version).result()

    def warm(self, version: ModelVersion, wanted: Callable[[], bool]) -> Future[None]:
        """Make a version ready ahead of calls, behind what is asked for.

        Args:
            version: What to make ready.
            wanted: Asked when its turn comes; may block.

        Returns:
            Told its end, or what kept the loader from opening it.
        """
        work = partial(self._warm, _key(version), version, wanted)
        return self._loaders.submit(version.tenant, work, ahead=True)

    def _asked(self, key: Key, version: ModelVersion) -> Future[ServableModel]:
        """Return the load of a version that somebody waits for: one, however many ask."""
        loading: Future[ServableModel] = Future()
        with self._lock:
            found, known = self._ready.get(key), self._loading.get(key)
            if found is not None and not found.engine.gone:
                loading.set_result(found)
                return loading
            if known is not None:
                return known
            self._loading[key] = loading
        done = self._loaders.submit(version.tenant, partial(self._open, key, version))
        done.add_done_callback(partial(self._loaded, key, loading))
        return loading

    def _warm(self, key: Key, version: ModelVersion, wanted: Callable[[], bool]) -> None:
        if self.is_ready(version) or not wanted():
            return
        loading: Future[ServableModel] = Future()
        with self._lock:
            if key in self._loading:
                return  # somebody waits for it by now
            self._loading[key] = loading
        opened: Future[ServableModel] = Future()
        try:
            opened.set_result(self._open(key, version))
        except BaseException as fault:
            opened.set_exception(fault)
            raise
        finally:
            self._loaded(key, loading, opened)

    def _open(self, key: Key, version: ModelVersion) -> ServableModel:
        model = self._load(version)
        self._keep(key, model)
        return model

    def _loaded(
        self, key: Key, loading: Future[ServableModel], done: Future[ServableModel]
    ) -> None:
        with self._lock:
            del self._loading[key]
        fault = done.exception()
        if fault is not None:
            loading.set_exception(fault)
        else:
            loading.set_result(done.result())

    def _keep(self, key: Key, model: ServableModel) -> None:
        with self._lock:
            for gone in [known for known, each in self._ready.items() if each.engine.gone]:
                self._past[gone] += self._ready.pop(gone).engine.runs
            before, self._ready[key] = self._ready.get(key), model
            self._past[key] += before.engine.runs if before is not None else 0
        if before is not None:
            before.engine.close()

    def close(self) -> None:
        """Begin no more loads."""
        self._loaders.close()

    def sweep(self, wanted: Callable[[Key, ServableModel], bool]) -> None:
        """End the engines of what is no longer wanted; blocks where `wanted` does."""
        with self._lock:
            ready = list(self._ready.items())
        for key, model in ready:
            if not wanted(key, model):
                with self._lock:
                    swept = self._ready.pop(key, None)
                    self._past[key] += swept.engine.runs if swept is not None else 0
                model.engine.close()


def _key(version: ModelVersion) -> Key:
    return version.tenant, version.model, version.version
