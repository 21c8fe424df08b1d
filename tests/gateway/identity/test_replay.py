from __future__ import annotations

from gateway.identity.replay import ReplayCache

from .fakes import NOW, Clock


def test_an_identifier_is_new_once() -> None:
    cache = ReplayCache(60, Clock())
    assert cache.first("a", "1")
    assert not cache.first("a", "1")
    assert cache.first("b", "1")


def test_owner_and_identifier_cannot_be_shifted_into_each_other() -> None:
    cache = ReplayCache(60, Clock())
    assert cache.first("ab", "c")
    assert cache.first("a", "bc")


def test_it_is_remembered_for_exactly_as_long_as_it_could_be_used() -> None:
    clock = Clock()
    cache = ReplayCache(60, clock)
    assert cache.first("a", "1")
    clock.now = NOW + 60
    assert not cache.first("a", "1")
    clock.now = NOW + 60.5
    assert cache.first("a", "1")
    assert len(cache) == 1


def test_a_full_cache_refuses_what_is_new_and_forgets_nothing() -> None:
    cache = ReplayCache(60, Clock(), capacity=8)
    assert all(cache.first(owner, str(n)) for owner in "abcd" for n in range(2))
    assert not cache.first("e", "new")
    assert not cache.first("a", "0")


def test_one_owner_gets_a_quarter() -> None:
    clock = Clock()
    cache = ReplayCache(60, clock, capacity=8)
    assert [cache.first("greedy", str(n)) for n in range(4)] == [True, True, False, False]
    assert cache.first("other", "1")
    clock.now = NOW + 61
    assert cache.first("greedy", "5")


def test_a_clock_that_is_set_back_forgets_nothing() -> None:
    clock = Clock()
    cache = ReplayCache(60, clock)
    assert cache.first("a", "1")
    clock.now = NOW - 1000
    assert cache.first("a", "2")
    clock.now = NOW + 1
    assert not cache.first("a", "1")
