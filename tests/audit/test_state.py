"""The table of the audit log's states, and what the log does in each of them."""

from __future__ import annotations

import itertools
import threading
from typing import get_args

import pytest

from audit.errors import AuditUnavailable, IllegalMove
from audit.log import AuditLog, Limits
from audit.state import APPENDABLE, FIRST, MOVES, READY, SIGNING, State, moved
from audit.stores.memory import MemoryLogStore
from tests.audit.samples import MemoryPins, event, new_log, signer, started, until
from tests.audit.stalling import StallingStore

SELDOM = Limits(idle_seconds=30)
"""Chores run with the first batch and when the log closes; not between."""

LEGAL = {
    ("closed", "open"),
    ("closed", "poisoned"),
    ("open", "faulty"),
    ("open", "poisoned"),
    ("open", "closed"),
    ("faulty", "open"),
    ("faulty", "poisoned"),
    ("faulty", "closed"),
}


def refused(log: AuditLog) -> None:
    with pytest.raises(AuditUnavailable):
        log.append_blocking(event())


@pytest.mark.parametrize(
    ("before", "after"), list(itertools.product(get_args(State), get_args(State)))
)
def test_only_the_moves_of_the_table_are_made(before: State, after: State) -> None:
    if (before, after) in LEGAL:
        assert moved(before, after) == after
    else:
        with pytest.raises(IllegalMove):
            moved(before, after)


def test_the_table_has_a_row_for_every_state_and_an_end() -> None:
    assert set(MOVES) == set(get_args(State))
    assert {state for state, following in MOVES.items() if not following} == {"poisoned"}
    assert FIRST == "closed"


def test_only_a_log_that_takes_events_is_ready_and_only_one_that_signs_takes_them() -> None:
    assert READY < APPENDABLE < SIGNING
    assert "poisoned" not in SIGNING


def test_a_log_that_is_not_started_is_closed() -> None:
    log = new_log(MemoryLogStore())
    assert (log.state, log.ready) == ("closed", False)
    refused(log)
    log.close()
    assert log.state == "closed"


def test_an_open_log_takes_events_signs_them_and_is_ready() -> None:
    store = MemoryLogStore()
    with started(store) as log:
        assert (log.state, log.ready) == ("open", True)
        log.append_blocking(event())
        assert signer("acme").verifier.open_checkpoint(log.checkpoint("acme")).size == 1
        assert (log.state, log.ready) == ("open", True)


def test_a_log_that_runs_cannot_be_started_again() -> None:
    with started(MemoryLogStore()) as log:
        with pytest.raises(IllegalMove):
            log.start()
        assert log.append_blocking(event()).index == 0


def test_a_faulty_log_tries_every_event_and_is_open_after_the_first_that_is_written() -> None:
    store = StallingStore()
    with started(store, limits=SELDOM) as log:
        log.append_blocking(event())
        store.fill_disk()
        for _ in range(2):
            refused(log)
            assert (log.state, log.ready) == ("faulty", False)
        store.make_room()
        assert log.append_blocking(event()).index == 1
        assert (log.state, log.ready) == ("open", True)


def test_a_faulty_log_is_open_after_a_probe_that_succeeds() -> None:
    store = StallingStore()
    with started(store, limits=Limits(idle_seconds=0.01)) as log:
        store.fill_disk()
        refused(log)
        assert log.state == "faulty"
        store.make_room()
        until(lambda: log.state == "open")


def test_a_faulty_log_can_be_poisoned() -> None:
    store = StallingStore()
    with started(store, limits=SELDOM) as log:
        store.fill_disk()
        refused(log)
        store.fault = ZeroDivisionError()
        refused(log)
        assert log.state == "poisoned"


def test_a_faulty_log_that_is_closed_records_what_it_refused_if_the_store_works_again() -> None:
    store = StallingStore()
    with started(store, limits=SELDOM) as log:
        store.fill_disk()
        refused(log)
        store.make_room()
    assert log.state == "closed"
    assert store.batches == [{"platform": 1}]


def test_a_poisoned_log_signs_and_pins_nothing_even_when_it_is_closed() -> None:
    store, pins = StallingStore(), MemoryPins()
    with started(store, limits=SELDOM, pins=pins) as log:
        log.append_blocking(event())
        until(lambda: "log.example/acme" in pins.notes)
        log.append_blocking(event())  # its head is not pinned yet
        pinned, signed = dict(pins.notes), log.checkpoint("acme")
        store.fault = ZeroDivisionError()
        refused(log)
        store.make_room()
        assert (log.state, log.ready) == ("poisoned", False)
        refused(log)
    assert log.state == "poisoned"
    assert pins.notes == pinned
    assert log.checkpoint("acme") == signed
    assert store.tenants() == ["acme"]  # the refusals are not recorded either
    with pytest.raises(IllegalMove):
        log.start()


def test_a_closed_log_refuses() -> None:
    store, pins = StallingStore(), MemoryPins()
    with started(store, limits=SELDOM, pins=pins) as log:
        log.append_blocking(event())
    assert (log.state, log.ready) == ("closed", False)
    refused(log)
    log.close()
    assert log.state == "closed"
    assert pins.notes == {"log.example/acme": log.checkpoint("acme")}
    assert store.batches == [{"acme": 1}]


@pytest.mark.parametrize(
    ("poison", "ends"), [(False, "closed"), (True, "poisoned")], ids=["store", "other"]
)
def test_a_fault_in_the_last_events_of_a_closed_log(poison: bool, ends: State) -> None:
    """A fault of the store leaves it closed; another one poisons it."""
    store, pins = StallingStore(), MemoryPins()
    log = new_log(store, limits=SELDOM, pins=pins)
    log.start()
    store.go.clear()
    caller = threading.Thread(target=refused, args=(log,))
    caller.start()
    assert store.reached.wait(30)
    closing = threading.Thread(target=log.close)
    closing.start()
    until(lambda: log.state == "closed")
    store.fill_disk()
    if poison:
        store.fault = ZeroDivisionError()
    store.go.set()
    caller.join()
    closing.join()
    assert (log.state, log.ready) == (ends, False)
    assert log.refused == 1
    assert store.batches == []
    assert pins.notes == {}
