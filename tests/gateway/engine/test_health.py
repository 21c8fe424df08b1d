"""What is known of a version's ends, and that it outlives its engines."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.engine.errors import EngineFailed, RunTimeout, SetAside
from gateway.engine.health import (
    FORGIVEN_SECONDS,
    KEPT,
    MAX_ENDS,
    REST_SECONDS,
    Health,
    Healths,
)
from gateway.engine.memory_files import seal
from gateway.engine.pool import Engines, Graph, Room
from gateway.engine.ports import PLAIN
from gateway.engine.process import Border
from gateway.engine.starting import Recipe
from tests.gateway.engine.hostile import BOUNDS, HostileServer, Taken, honest


def graph(model: str = "m", tenant: str = "acme") -> Graph:
    border = Border({"x": "FP32"}, ("y",))
    return Graph(tenant, model, "1", border, 5, lambda: seal(b"model"))


def engines(server: Any, told: list[str] | None = None, **changes: Any) -> Engines:
    usual = Room(engines=4, memory_bytes=4 << 30, each=BOUNDS, run_seconds=30.0)
    room = replace(usual, **changes)

    def aside(recipe: Recipe, reason: str) -> None:
        if told is not None:
            told.append(f"{recipe.tenant}/{recipe.model} {reason}")

    return Engines({PLAIN: server}, room, aside)


def test_a_grave_end_is_followed_by_a_rest_at_once() -> None:
    health = Health()
    assert health.ended(10.0, grave=True) == REST_SECONDS
    assert health.rest(11.0)
    assert health.ended(100.0, grave=True) == 2 * REST_SECONDS


def test_rests_that_were_long_ago_are_forgiven_and_many_are_no_fault_of_ours() -> None:
    health, now = Health(), 0.0
    for _ in range(2000):  # the power of two was once too large for a number
        now += health.ended(now, grave=True)
    assert health.ended(now + FORGIVEN_SECONDS + 1, grave=True) == REST_SECONDS


def test_a_version_of_which_something_is_known_is_kept_and_others_make_way() -> None:
    healths = Healths()
    bad = healths.of("acme", "bad", "1")
    bad.ended(0.0)
    for number in range(2 * KEPT):
        healths.of("acme", f"m{number}", "1")
        healths.of("rival", f"m{number}", "1").ended(0.0)
    assert healths.of("acme", "bad", "1") is bad
    assert all(len(known) <= KEPT for known in healths._known.values())


def test_a_resting_model_gets_no_fresh_chances_by_being_loaded_anew() -> None:
    """Its ends were forgotten when its version was given up for room."""
    server = HostileServer(honest)
    made = engines(server)
    served = made.serve(graph())
    for _ in range(MAX_ENDS):
        served._health.ended(time.monotonic())
    served.close()
    forked = server.forked
    with pytest.raises(SetAside):
        made.serve(graph())
    assert server.forked == forked, "nothing is loaded for that"
    for other in (graph("other"), graph(tenant="rival")):
        made.serve(other).close()


class Unloadable(HostileServer):
    """Engines that say nothing after they were started, or end."""

    def __init__(self, *, hang: bool) -> None:
        super().__init__(honest)
        self.hang = hang

    def _live(self, taken: Taken, act: Callable[[Taken], None]) -> None:
        if self.hang:
            taken.dead.wait(30)
        os.close(taken.asked)
        os.close(taken.bell)


def test_a_load_that_hangs_ends_at_its_bound_and_its_version_rests() -> None:
    told: list[str] = []
    made = engines(Unloadable(hang=True), told, load_seconds=0.05)
    with pytest.raises(RunTimeout):
        made.serve(graph())
    with pytest.raises(SetAside):
        made.serve(graph())
    assert told == ["acme/m load"]


def test_a_model_that_ends_its_engine_while_it_is_loaded_comes_to_rest() -> None:
    told: list[str] = []
    made = engines(Unloadable(hang=False), told)
    for _ in range(MAX_ENDS):
        with pytest.raises(EngineFailed):
            made.serve(graph())
    with pytest.raises(SetAside):
        made.serve(graph())
    assert told == ["acme/m load"]


def test_engines_of_a_trial_count_in_the_room() -> None:
    """Those at publication were counted by nobody."""
    made = engines(HostileServer(honest), engines=3)
    trials = [made.trial(graph(f"t{number}")) for number in range(2)]
    assert made.has_room()
    kept = made.serve(graph("kept", "rival"))
    assert not made.has_room()
    made.serve(graph("new"))
    assert kept.gone, "room was made for it"
    assert made.gauge().engines == 3
    trials.pop().close()
    assert made.has_room()
    trials.pop().close()
    made.close()


def test_memory_of_trials_is_held_against_their_tenant() -> None:
    made = engines(HostileServer(honest), memory_bytes=200 << 20)
    theirs = made.serve(graph("m", "rival"))
    trials = [made.trial(graph(f"t{number}")) for number in range(2)]
    mine = made.serve(graph())
    for number in itertools.count():
        trials.append(made.trial(graph(f"more{number}")))
        if mine.gone or theirs.gone:
            break
    assert mine.gone
    assert not theirs.gone
    for trial in trials:
        trial.close()
    made.close()


def test_what_is_on_its_way_takes_room() -> None:
    made = engines(HostileServer(honest), engines=3)
    made.serve(graph())
    assert made.has_room(1)
    assert not made.has_room(2)
    made.close()


def test_a_model_that_rests_says_for_how_long() -> None:
    health = Health()
    rest = health.ended(100.0, grave=True)
    with pytest.raises(SetAside) as told:
        health.check(100.0 + rest - 12.5)
    assert told.value.retry_after == "13"
    health.check(100.0 + rest)


def test_versions_that_rest_are_counted_while_they_do() -> None:
    healths = Healths()
    rest = healths.of("acme", "m", "1").ended(100.0, grave=True)
    healths.of("rival", "m", "1").ended(100.0)
    assert healths.resting(100.0) == 1
    assert healths.resting(100.0 + rest) == 0
