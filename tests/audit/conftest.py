from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.ports import LogStore
from audit.stores.memory import MemoryLogStore
from audit.stores.sqlite import SqliteLogStore
from tests.audit.exports import Archive, exported, log_of
from tests.audit.samples import event, ref


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    """An empty store, of each kind in turn."""
    made: LogStore = (
        MemoryLogStore() if request.param == "memory" else SqliteLogStore(tmp_path / "audit.db")
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    fields: list[dict[str, Any]] = [
        {"subject_refs": (ref(n), ref(n + 1)), "reason": f"r{n}"} for n in range(300)
    ]
    content = exported(log_of(*(event(**one) for one in fields)))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def archive(tmp_path: Path, whole: dict[str, bytes]) -> Archive:
    return Archive(tmp_path / "export.zip", dict(whole))
