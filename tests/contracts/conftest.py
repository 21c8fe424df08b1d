from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.storage.stores import ControlStores
from tests.contracts.backends import (
    KINDS,
    Backend,
    memory_backend,
    postgresql_server,
    sql_backend,
)


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql_server(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "memory":
        made = memory_backend()
    elif request.param == "sqlite":
        made = sql_backend(f"sqlite:///{tmp_path}/control.db")
    else:
        made = sql_backend(request.getfixturevalue("postgresql_url"))
    yield made
    made.close()


@pytest.fixture
def stores(backend: Backend) -> ControlStores:
    return backend.stores
