"""`make kills` prints the whole table; here are the kills that tell one kind from another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.parts import house
from tests.kills.player import Player
from tests.kills.trials import SCENARIOS

ROOT = Path(__file__).parents[2]
NAMES = [scenario.name for scenario in SCENARIOS]
USUAL = [scenario.name for scenario in SCENARIOS if not scenario.way]
QUICK = [name for name in NAMES if name != "publish (with a screen)"]
"""That one calibrates in a process of its own, a second or more each time."""


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    """The process that plays; it ends when nobody asks any more."""
    command = [sys.executable, "-m", "tests.kills.player"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:  # type: ignore[call-overload]
        yield Player(process.stdin, process.stdout)
        process.stdin.close()


def test_every_kind_of_intent_has_a_scenario() -> None:
    with house() as home:
        registered = {kind.name for kind in home.intents.kinds}
    assert {scenario.kind for scenario in SCENARIOS} == registered == set(USUAL)


@pytest.mark.e2e
@pytest.mark.parametrize("name", QUICK)
def test_killed_amid_a_change_it_is_finished_or_undone(player: Player, name: str) -> None:
    assert player.wrong("telling", name) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_any_step_it_is_finished_or_undone(player: Player, name: str) -> None:
    assert player.wrong("kills", name) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_whatever_write_fails_it_is_finished_or_undone(player: Player, name: str) -> None:
    assert player.wrong("faults", name) == []
