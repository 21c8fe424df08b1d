"""Released versions are made ready before anybody calls them: at the start and at promotion.

Safety argument.
1. A version that cannot be made ready does not hold the others up; it is told to operators until
   it answers. Tenants take turns, and one whose models load slowly delays nobody: not the others'
   models (`gateway.inference.loaders`), not housekeeping, which only begins loads, and the
   gateway's readiness by `READY_SECONDS` at most.
2. Room is not fought over: what does not fit beside the others is loaded when it is called.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import Final

import structlog

from gateway.errors import SealgateError
from gateway.inference.errors import ModelUnavailable
from gateway.inference.models import Key, Models
from gateway.pages import every
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion
from gateway.registry.states import CALLABLE

READY_SECONDS: Final = 60.0
"""The gateway takes requests after so long, whatever is still being loaded."""
_PAGE: Final = 10
"""Models of each tenant that are held at once."""


class Warming:
    """Makes released versions ready. For any thread, but `round` for one at a time.

    Args:
        models: Where they are made ready.
        registry: What is released.
        tenants: Returns the ids of all active tenants.
        has_room: Whether one more engine fits beside so many that are on their way, without giving
            another up.
        patience: Seconds that readiness waits for the first round.

    Attributes:
        done: Whether the first round has ended: from then on the gateway is ready.
    """

    def __init__(
        self,
        models: Models,
        registry: Registry,
        tenants: Callable[[], Iterator[str]],
        has_room: Callable[[int], bool],
        patience: float = READY_SECONDS,
    ) -> None:
        self._models = models
        self._registry = registry
        self._tenants = tenants
        self._has_room = has_room
        self._patience = patience
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._under_way: set[Key] = set()
        self._loading: set[Key] = set()
        self._unavailable: dict[Key, str] = {}
        self._thread = threading.Thread(target=self._first_round, name="warming", daemon=True)
        self.done = False

    def start(self) -> None:
        """Begin the first round; `done` tells when it has ended."""
        self._thread.start()

    def close(self) -> None:
        """Begin no more loads."""
        self._stopping.set()

    def unavailable(self) -> dict[Key, str]:
        """Return the released versions that could not be made ready, each with an error's code."""
        with self._lock:
            return dict(self._unavailable)

    def promoted(self, version: ModelVersion) -> None:
        """Make a version ready that is about to be released; blocks.

        Raises:
            SealgateError: It cannot be served: it must not be released.
        """
        self._models.prepare(version)

    def round(self, patience: float = 0.0) -> None:
        """Begin to make ready what is released and not ready, as far as there is room.

        Args:
            patience: Seconds to wait for that, at most.
        """
        released: set[Key] = set()
        begun: list[Future[None]] = []
        for version in self._released():
            if self._stopping.is_set():
                return
            key = (version.tenant, version.model, version.version)
            released.add(key)
            if self._models.is_ready(version):
                self._tell(key, "")
            elif key not in self._under_way and self._has_room(len(self._under_way)):
                begun.append(self._begin(key, version))
        for gone in self.unavailable().keys() - released:
            self._tell(gone, "")
        wait(begun, patience)

    def _begin(self, key: Key, version: ModelVersion) -> Future[None]:
        with self._lock:
            self._under_way.add(key)
        warmed = self._models.warm(version, partial(self._wanted, key))
        # Whoever waits for a future may go on before its callbacks have run.
        noted: Future[None] = Future()
        warmed.add_done_callback(partial(self._ended, key))
        warmed.add_done_callback(lambda _: noted.set_result(None))
        return noted

    def _wanted(self, key: Key) -> bool:
        """Whether there is room yet, when the turn of a version has come."""
        with self._lock:
            if self._stopping.is_set() or not self._has_room(len(self._loading)):
                return False
            self._loading.add(key)
            return True

    def _ended(self, key: Key, warmed: Future[None]) -> None:
        fault = warmed.exception()
        code = ""
        if fault is not None and not self._stopping.is_set():
            ours = isinstance(fault, SealgateError)
            code = fault.code if isinstance(fault, SealgateError) else ModelUnavailable.code
            structlog.get_logger().warning(
                "model_not_ready", model=key, code=code, fault="" if ours else type(fault).__name__
            )
        self._tell(key, code)
        with self._lock:
            self._under_way.discard(key)
            self._loading.discard(key)

    def _tell(self, key: Key, code: str) -> None:
        """Note what keeps a version from being ready; nothing, where nothing does."""
        with self._lock:
            if code:
                self._unavailable[key] = code
            else:
                self._unavailable.pop(key, None)

    def _first_round(self) -> None:
        try:
            self.round(self._patience)
        except Exception as fault:  # the store is down: the next round tries again
            structlog.get_logger().warning("warming_failed", fault=type(fault).__name__)
        finally:
            self.done = True

    def _released(self) -> Iterator[ModelVersion]:
        """Yield what is released, one of each tenant in turn: what comes first finds room."""
        turns = deque(self._of(tenant) for tenant in self._tenants())
        while turns:
            mine = turns.popleft()
            version = next(mine, None)
            if version is not None:
                yield version
                turns.append(mine)

    def _of(self, tenant: str) -> Iterator[ModelVersion]:
        def page(after: str, limit: int) -> list[Model]:
            return self._registry.list_models(tenant, after=after, limit=limit)

        for model in every(page, lambda model: model.name, "", _PAGE):
            release = self._registry.current(tenant, model.name)
            if release is None:
                continue
            version = self._registry.get_version(tenant, model.name, release.version)
            if version is not None and version.state in CALLABLE:
                yield version
