from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from audit.ports import LogStore
from audit.stores.memory import MemoryLogStore
from audit.stores.sqlite import SqliteLogStore
from audit.stores.sqlite_journal import JournalTransaction
from tests.audit.exports import Archive, exported, log_of
from tests.audit.samples import event, ref


class Settling(SqliteLogStore):
    """A store that settles after every commit: all is in the tables, nothing in the journal."""

    @contextmanager
    def transaction(self) -> Iterator[JournalTransaction]:
        with super().transaction() as transaction:
            yield transaction
        self.settle()


@pytest.fixture(params=["memory", "sqlite", "settled"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    """An empty store, of each kind in turn."""
    made: LogStore
    match request.param:
        case "memory":
            made = MemoryLogStore()
        case "sqlite":
            made = SqliteLogStore(tmp_path / "audit.db")
        case _:
            made = Settling(tmp_path / "audit.db")
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
