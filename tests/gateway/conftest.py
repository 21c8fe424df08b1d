from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.place import Place, served_place


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One gateway for the session; tests keep apart by tenants of their own."""
    folder: Path = tmp_path_factory.mktemp("place")
    with served_place(folder) as served:
        yield served
