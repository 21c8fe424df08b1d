"""Starting the audit log again: it goes on, or it refuses a log that went back."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.errors import LogRolledBack
from audit.log import Limits
from audit.pins import FilePins
from audit.ports import LogStore, TreeState
from audit.stores.memory import MemoryLogStore
from audit.stores.sqlite import SqliteLogStore
from tests.audit.samples import MemoryPins, event, new_log, signer, started, until

QUICK = Limits(idle_seconds=0.01)


def test_the_log_goes_on_after_a_restart(store: LogStore) -> None:
    pins = MemoryPins()
    for first in (0, 300, 600):
        with started(store, pins=pins) as log:
            assert log.append_blocking(event()).index == first
            for _ in range(299):
                log.append_blocking(event())
    assert signer("acme").verifier.open_checkpoint(pins.notes["log.example/acme"]).size == 900


def test_a_log_that_was_rolled_back_does_not_start(tmp_path: Path) -> None:
    path, copy, pins = tmp_path / "audit.db", tmp_path / "copy.db", FilePins(tmp_path / "pins")
    for number in range(2):
        store = SqliteLogStore(path)
        with started(store, pins=pins) as log:
            log.append_blocking(event())
        store.close()
        if number == 0:
            copy.write_bytes(path.read_bytes())
    path.write_bytes(copy.read_bytes())
    store = SqliteLogStore(path)
    with pytest.raises(LogRolledBack):
        new_log(store, pins=pins).start()
    store.close()


def test_a_log_with_another_past_does_not_start() -> None:
    pins, store, other = MemoryPins(), MemoryLogStore(), MemoryLogStore()
    with started(store, pins=pins) as log:
        log.append_blocking(event())
    with started(other) as log:
        log.append_blocking(event())
        log.append_blocking(event())
    with pytest.raises(LogRolledBack):
        new_log(other, pins=pins).start()
    with pytest.raises(LogRolledBack):
        new_log(MemoryLogStore(), pins=pins).start()


@pytest.mark.parametrize("change", ["size", "frontier", "note"])
def test_a_head_that_contradicts_itself_does_not_start(change: str) -> None:
    store = MemoryLogStore()
    with started(store) as log:
        for _ in range(4):
            log.append_blocking(event())
    state = store._trees["acme"].state
    forged = {
        "size": TreeState(8, state.frontier, state.note),
        "frontier": TreeState(4, bytes(32), state.note),
        "note": TreeState(4, state.frontier, signer("globex").checkpoint(4, state.frontier)),
    }
    store._trees["acme"].state = forged[change]
    with pytest.raises(LogRolledBack):
        new_log(store).start()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"log.example/acme": "x"}', b"\xff"])
def test_pins_that_cannot_be_understood_do_not_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pins").write_bytes(content)
    store = MemoryLogStore()
    with started(store) as log:
        log.append_blocking(event())
    with pytest.raises(LogRolledBack):
        new_log(store, pins=FilePins(tmp_path / "pins")).start()


def test_heads_are_pinned_while_the_log_runs() -> None:
    pins = MemoryPins()
    with started(MemoryLogStore(), limits=QUICK, pins=pins) as log:
        log.append_blocking(event())
        until(lambda: "log.example/acme" in pins.notes)
