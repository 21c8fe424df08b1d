"""Trials: a change is begun in a copy of a prepared folder, and something comes between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from tests.deploy.nginx import certificate
from tests.kills import (
    approval_changes,
    batch_changes,
    federation_changes,
    key_changes,
    people_changes,
    privacy_changes,
    registry_changes,
    sharing_changes,
    signing_changes,
    tenancy_changes,
    upload_changes,
)
from tests.kills.children import ChildFailed, Killed, in_child, reported
from tests.kills.scenario import Notes, Scenario
from tests.kills.steps import Fault, Kill, Steps, When
from tests.kills.verdict import WRONG, Verdict, intents, judge, recovered
from tests.kills.world import make_ground, opened

SCENARIOS: tuple[Scenario, ...] = (
    *people_changes.SCENARIOS,
    *tenancy_changes.SCENARIOS,
    *registry_changes.SCENARIOS,
    *sharing_changes.SCENARIOS,
    *upload_changes.SCENARIOS,
    *privacy_changes.SCENARIOS,
    *key_changes.SCENARIOS,
    *approval_changes.SCENARIOS,
    *signing_changes.SCENARIOS,
    *federation_changes.SCENARIOS,
    *batch_changes.SCENARIOS,
)
WHENS: tuple[When, ...] = get_args(When)


@dataclass(frozen=True)
class Trial:
    """What came between at one write (its label), and what became of the change."""

    label: str
    plan: Kill | Fault | None
    verdict: Verdict


@dataclass(frozen=True)
class Prepared:
    """A folder in which a scenario can be played."""

    scenario: Scenario
    data: Path
    notes: Notes
    known: frozenset[str]


@contextmanager
def ground() -> Iterator[Path]:
    """Make a data folder that all trials begin with; it and all copies go with the block."""
    with TemporaryDirectory(prefix="kills-") as folder:
        data = Path(folder) / "ground"
        # Each gateway reads the authorities that it trusts: here, one instead of all.
        authority, _ = certificate(Path(folder), "authority")
        os.environ["SSL_CERT_FILE"] = str(authority)
        reported(lambda: make_ground(data))
        yield data


def kinds(ground: Path) -> frozenset[str]:
    """The names of all kinds of intents that a gateway registers."""

    def registered() -> frozenset[str]:
        with opened(ground, Steps()) as world:
            return frozenset(kind.name for kind in world.use.intents.kinds)

    return reported(registered)


def every_kill(labels: list[str]) -> list[Kill]:
    """Return a kill before and one after each write."""
    return [Kill(step, when) for step in range(len(labels)) for when in WHENS]


def telling_kills(labels: list[str]) -> list[Kill]:
    """Return the kills after the recorded intent and after each write of the change itself.

    The others are alike for all kinds: the row, who is told, the result, the removal of the row.
    And a kill before a write finds the disk as the kill after the write before it does.
    """
    intents = [step for step, label in enumerate(labels) if " intent " in label]
    results = [step for step, label in enumerate(labels) if " result " in label]
    if not intents:
        return []
    amid = range(intents[0] + 1, results[0])
    own = [s for s in amid if not labels[s].startswith(("log of ", "keys.ring"))]
    return [Kill(step, "after") for step in [intents[0], *own]]


def kill_trials(
    ground: Path, scenario: Scenario, choose: Callable[[list[str]], list[Kill]] = every_kill
) -> list[Trial]:
    """Play a scenario undisturbed, then killed at each of the chosen moments."""
    with _prepared(ground, scenario) as prepared:
        labels, undisturbed = _play(prepared, None)
        return [
            Trial("undisturbed", None, undisturbed),
            *(Trial(labels[k.step], k, _play(prepared, k)[1]) for k in choose(labels)),
        ]


def fault_trials(ground: Path, scenario: Scenario) -> list[Trial]:
    """Play a scenario with each write failing, having done nothing or all of it, once or on."""
    with _prepared(ground, scenario) as prepared:
        labels, undisturbed = _play(prepared, None)
        plans = [
            Fault(step, when, lasting)
            for step in range(len(labels))
            for when in WHENS
            for lasting in (False, True)
        ]
        return [
            Trial("undisturbed", None, undisturbed),
            *(Trial(labels[plan.step], plan, _play(prepared, plan)[1]) for plan in plans),
        ]


@contextmanager
def _prepared(ground: Path, scenario: Scenario) -> Iterator[Prepared]:
    data = ground.with_name("prepared")
    shutil.copytree(ground, data)

    def prepare() -> tuple[Notes, frozenset[str]]:
        with opened(data, Steps()) as world:
            return scenario.prepare(world), intents(world.base)

    try:
        notes, known = reported(prepare)
        yield Prepared(scenario, data, notes, known)
    finally:
        shutil.rmtree(data)


def _play(prepared: Prepared, plan: Kill | Fault | None) -> tuple[list[str], Verdict]:
    """Begin the change in a copy, and judge what becomes of it; returns the writes too."""
    scenario, notes, known = prepared.scenario, prepared.notes, prepared.known
    data = prepared.data.with_name("trial")
    shutil.copytree(prepared.data, data)
    try:
        ended = in_child(lambda: _begin(data, prepared, plan))
        if isinstance(ended, Killed) != isinstance(plan, Kill):
            return [], Verdict(WRONG, ("it was not killed",))
        labels, at_once = ([], Verdict("")) if isinstance(ended, Killed) else ended.value
        later = reported(lambda: recovered(data, scenario, notes, known))
        if at_once.wrong or (at_once.mark and at_once.mark != later.mark):
            told = f"{at_once.mark} at once, {later.mark} after a start"
            return labels, Verdict(WRONG, (*at_once.wrong, *later.wrong, told))
        return labels, later
    except ChildFailed as failed:
        return [], Verdict(WRONG, (str(failed),))
    finally:
        shutil.rmtree(data)


def _begin(data: Path, prepared: Prepared, plan: Kill | Fault | None) -> tuple[list[str], Verdict]:
    """Make the change; after a fault settle what is left, once everything works again."""
    steps, scenario, notes = Steps(plan), prepared.scenario, prepared.notes
    with opened(data, steps) as world:
        steps.begin()
        fault: Exception | None = None
        try:
            scenario.act(world, notes)
        except Exception as raised:
            fault = raised
        steps.end()
        expected = scenario.refused
        if plan is None and (type(fault) if fault else None) != expected:
            raise AssertionError("the use case ended otherwise") from fault
        world.use.intents.settle_left()
        verdict = judge(world.base, scenario, notes, prepared.known)
        if not scenario.lives(world):
            return steps.labels, Verdict(WRONG, (*verdict.wrong, "the process does not follow it"))
        if plan is None and (verdict.mark == "✓") != (expected is None):
            return steps.labels, Verdict(WRONG, (*verdict.wrong, "undisturbed, yet not so"))
        acknowledged = fault is None and expected is None
        if acknowledged and verdict.mark != "✓":
            return steps.labels, Verdict(WRONG, (*verdict.wrong, "acknowledged, yet not done"))
        return steps.labels, verdict
