from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.ports import LogStore
from audit.stores.memory import MemoryLogStore
from audit.stores.sqlite import SqliteLogStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    """An empty store, of each kind in turn."""
    made: LogStore = (
        MemoryLogStore() if request.param == "memory" else SqliteLogStore(tmp_path / "audit.db")
    )
    yield made
    made.close()
