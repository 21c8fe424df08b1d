"""Exports for the tests of the verifier, whole ones and such as are tampered with."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from audit import verify
from audit.event import Event
from audit.export import export_log
from audit.reader import LogReader
from audit.stores.memory import MemoryLogStore
from tests.audit.samples import signer, started

KEY = signer("acme").verifier_key
FIRST = "log.example/acme/"


def reader_of(store: MemoryLogStore) -> LogReader:
    return LogReader(store, lambda tenant: signer(tenant).verifier)


def exported(store: MemoryLogStore, tenant: str = "acme") -> bytes:
    out = io.BytesIO()
    export_log(reader_of(store), tenant, out)
    return out.getvalue()


def log_of(*events: Event) -> MemoryLogStore:
    store = MemoryLogStore()
    with started(store) as log:
        for one in events:
            log.append_blocking(one)
    return store


@dataclass
class Archive:
    """An export to tamper with."""

    path: Path
    files: dict[str, bytes]

    def write(self) -> Path:
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files.items():
                archive.writestr(name, content)
        return self.path


def first_bad(path: Path, key: str | None = KEY) -> str | None:
    report = verify.verify_export(path, key)
    assert report.status == "FAILED"
    return report.first_bad
