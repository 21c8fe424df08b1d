from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from gateway.tenancy.limits import KEPT, Throttle
from tests.gateway.parts import call

CALLER = call("caller").principal


def test_a_client_has_its_rate_and_no_more() -> None:
    throttle = Throttle("3/day")
    assert [not throttle.spend(CALLER) for _ in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize("field", ["client_id", "tenant"])
def test_one_clients_rate_is_not_anothers(field: str) -> None:
    throttle = Throttle("1/day")
    changes: dict[str, Any] = {field: "another"}
    other = replace(CALLER, **changes)
    assert not throttle.spend(CALLER)
    assert not throttle.spend(other)
    assert throttle.spend(CALLER)
    assert throttle.spend(other)


def test_a_rate_belongs_to_the_client_not_to_its_token() -> None:
    throttle = Throttle("1/day")
    assert not throttle.spend(CALLER)
    assert throttle.spend(replace(CALLER, token_id="fresh", scopes=frozenset({"infer"})))


def test_a_window_ends_and_the_next_one_begins_with_the_next_request() -> None:
    now = [1000.0]
    throttle = Throttle("2/minute", lambda: now[0])
    assert [not throttle.spend(CALLER) for _ in range(3)] == [True, True, False]
    now[0] += 59.5
    assert throttle.spend(CALLER) == 0.5, "so long until it is well again"
    now[0] += 0.5
    assert [not throttle.spend(CALLER) for _ in range(3)] == [True, True, False]


def test_what_is_counted_is_kept_for_open_windows_only_and_starts_no_thread() -> None:
    now, before = [0.0], set(threading.enumerate())
    throttle = Throttle("1/minute", lambda: now[0])
    for number in range(KEPT + 1):
        assert not throttle.spend(replace(CALLER, client_id=str(number)))
    assert throttle.spend(replace(CALLER, client_id="7"))
    assert len(throttle) == KEPT + 1
    now[0] = 61.0
    assert not throttle.spend(replace(CALLER, client_id="late"))
    assert len(throttle) == 1
    assert not throttle.spend(replace(CALLER, client_id="7"))
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("rate", ["", "often", "6000", "6000/fortnight", "-1/minute", "x/minute"])
def test_a_rate_that_cannot_be_read_refuses_the_start(rate: str) -> None:
    with pytest.raises(ConfigurationError, match="6000/minute"):
        Throttle(rate)


def test_a_rate_of_nothing_lets_nobody_in() -> None:
    assert Throttle("0/minute").spend(CALLER)
