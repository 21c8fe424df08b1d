from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.engine.forking import ForkServer
from gateway.engine.pool import Engines
from gateway.engine.ports import EngineKind
from tests.gateway.engine.engines import TIMEOUT, pool


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer(EngineKind())
    made.start()
    yield made
    made.close()


@pytest.fixture
def aside() -> list[str]:
    return []


@pytest.fixture
def engines(server: ForkServer, aside: list[str]) -> Iterator[Engines]:
    yield from pool(server, aside, TIMEOUT)


@pytest.fixture
def patient(server: ForkServer, aside: list[str]) -> Iterator[Engines]:
    """Engines whose runs may take as long as a loaded machine needs."""
    yield from pool(server, aside, 60.0)
