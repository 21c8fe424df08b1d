"""Gateways that were backed up, and what is done with their backups."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from audit.note import LogSigner
from audit.verify_folder import verify_folder
from gateway.artifacts.keystore import LocalKeyStore
from gateway.artifacts.unlock import KeyFile
from gateway.backup.archive import members
from gateway.composition.backup import back_up
from gateway.composition.restore import Checked, Evidence, restore
from gateway.settings import load_settings
from tests.gateway.place import ENVIRONMENT, Place, served_place

HOUSE = "house"


@dataclass(frozen=True)
class Past:
    """A gateway that was backed up twice; between the backups A was erased.

    Attributes:
        secret: What opens its keystore.
        early, late: Backups.
        before, after: Checkpoints of the house, of the time of each.
        export: The house's log at the later one.
        erased, kept: References of A and B.
    """

    folder: Path
    secret: Path
    early: Path
    late: Path
    before: Path
    after: Path
    export: Path
    erased: str
    kept: str
    payload: str


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


def copied(place: Place, to: Path) -> Path:
    return back_up(load_settings(place.folder / "data"), to, ENVIRONMENT, silent).path


def fetched(place: Place, path: str, to: Path) -> Path:
    with place.client(HOUSE, "officer") as officer:
        to.write_bytes(officer.send("GET", path).content)
    return to


def content_of(backup: Path) -> dict[str, bytes]:
    with backup.open("rb") as source:
        return {one.name: b"".join(one.chunks()) for one in members(source)}


@contextmanager
def living(folder: Path, past: Past) -> Iterator[Place]:
    """Start a restored gateway, with the profiles of the old one."""
    for path in past.folder.glob(f"{HOUSE}-*"):
        shutil.copy2(path, folder)
    with served_place(folder) as place:
        yield place


def put_back(past: Past, backup: Path, folder: Path, **how: object) -> Checked:
    evidence = Evidence(
        secret=past.secret,
        checkpoints=how.pop("checkpoints", ()),  # type: ignore[arg-type]
        exports=how.pop("exports", ()),  # type: ignore[arg-type]
    )
    return restore(backup, folder / "data", evidence, ENVIRONMENT, silent, **how)  # type: ignore[arg-type]


def events(place: Place, action: str, tenant: str = HOUSE) -> list[dict[str, object]]:
    found = place.foundation.reader.events(tenant, limit=200)
    return [
        {"index": entry.index, **msgspec.to_builtins(entry.event)}
        for entry in found
        if entry.event.action == action
    ]


def verified(data: Path) -> str:
    keys = LocalKeyStore.open(data / "keystore", KeyFile(data / "keystore/unlock.key"))
    origins = [f"test/{tenant}" for tenant in ("platform", HOUSE)]
    signers = [LogSigner(origin, keys.signing_key(f"log/{origin}")) for origin in origins]
    return verify_folder(data, [signer.verifier_key for signer in signers]).status
