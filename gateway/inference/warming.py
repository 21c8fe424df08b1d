"""Released versions are made ready before anybody calls them: at the start and at promotion.

A version that cannot be made ready does not hold the others up; it is told to operators until it
answers. Room is not fought over: what does not fit beside the others is loaded when it is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import structlog

from gateway.errors import SealgateError
from gateway.inference.errors import ModelUnavailable
from gateway.inference.models import Key, Models
from gateway.pages import every
from gateway.registry.ports import Registry
from gateway.registry.records import Model, ModelVersion
from gateway.registry.states import CALLABLE


class Warming:
    """Makes released versions ready.

    Args:
        models: Where they are made ready.
        registry: What is released.
        tenants: Returns the ids of all active tenants.
        has_room: Whether one more engine fits without giving another up.

    Attributes:
        done: Whether the first round has ended: from then on the gateway is ready.
    """

    def __init__(
        self,
        models: Models,
        registry: Registry,
        tenants: Callable[[], Iterator[str]],
        has_room: Callable[[], bool],
    ) -> None:
        self._models = models
        self._registry = registry
        self._tenants = tenants
        self._has_room = has_room
        self._stopping = threading.Event()
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
        return dict(self._unavailable)

    def promoted(self, version: ModelVersion) -> None:
        """Make a version ready that is about to be released; blocks.

        Raises:
            SealgateError: It cannot be served: it must not be released.
        """
        self._models.prepare(version)

    def round(self) -> None:
        """Make ready what is released and not ready, as far as there is room; blocks."""
        found: dict[Key, str] = {}
        for version in self._released():
            if self._stopping.is_set():
                return
            key = (version.tenant, version.model, version.version)
            try:
                if self._models.is_ready(version):
                    continue
                if not self._has_room():
                    break
                self._models.prepare(version)
            except SealgateError as fault:
                found[key] = fault.code
                structlog.get_logger().warning("model_not_ready", model=key, code=fault.code)
            except Exception as fault:
                found[key] = ModelUnavailable.code
                structlog.get_logger().error(
                    "model_not_ready", model=key, fault=type(fault).__name__
                )
        self._unavailable = found

    def _first_round(self) -> None:
        try:
            self.round()
        except Exception as fault:  # the store is down: the next round tries again
            structlog.get_logger().warning("warming_failed", fault=type(fault).__name__)
        finally:
            self.done = True

    def _released(self) -> Iterator[ModelVersion]:
        for tenant in self._tenants():

            def page(after: str, limit: int, tenant: str = tenant) -> list[Model]:
                return self._registry.list_models(tenant, after=after, limit=limit)

            for model in every(page, lambda model: model.name, ""):
                release = self._registry.current(tenant, model.name)
                if release is None:
                    continue
                version = self._registry.get_version(tenant, model.name, release.version)
                if version is not None and version.state in CALLABLE:
                    yield version
