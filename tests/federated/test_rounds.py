from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from federated.errors import QuorumLost
from federated.plan import Event
from federated.rounds import Instruction, Outcome, Rounds, SiteFailure
from tests.federated.examples import SITES, Clock, ScriptedMailbox, part, plan

Script = Callable[[Instruction, str], Any]


def go(mailbox: ScriptedMailbox, **changes: Any) -> tuple[Outcome | None, list[Event], Clock]:
    events: list[Event] = []
    clock = Clock()
    rounds = Rounds(plan(**changes), mailbox, events.append, clock=clock, pause=clock.pause)
    try:
        return rounds.run(), events, clock
    except QuorumLost:
        return None, events, clock


def everyone(instruction: Instruction, site: str) -> Any:
    return part(site, 1.0, 2.0, 3.0, loss=0.5)


def errors(events: list[Event]) -> list[tuple[int | None, str | None, str | None]]:
    return [(e.round, e.site, e.code) for e in events if e.type == "site_error"]


def test_every_round_is_told() -> None:
    outcome, events, clock = go(ScriptedMailbox(everyone))
    assert outcome is not None
    np.testing.assert_allclose(outcome.parameters, [1.0, 2.0, 3.0])
    one_round = ["round_started", *["site_result"] * 3, "round_aggregated"]
    assert [event.type for event in events] == ["run_started", *one_round, *one_round]
    assert events[-1].n_examples == 30
    assert events[-1].metrics == {"loss": pytest.approx(0.5)}
    assert clock.now == 0.0


def test_sites_get_standardisation_and_the_last_mean() -> None:
    seen: list[np.ndarray] = []

    def script(instruction: Instruction, site: str) -> Any:
        seen.append(instruction.vector)
        return everyone(instruction, site)

    go(ScriptedMailbox(script))
    np.testing.assert_array_equal(seen[0], [0, 0, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(seen[-1], [0, 0, 1, 1, 1, 2, 3])


def test_standardisation_can_be_agreed() -> None:
    tables = {name: np.random.default_rng(i).normal(i, 2, (9, 2)) for i, name in enumerate(SITES)}

    def script(instruction: Instruction, site: str) -> Any:
        if instruction.operation == "sums":
            table = tables[site]
            return part(site, *table.sum(axis=0), *(table**2).sum(axis=0), rows=9)
        return everyone(instruction, site)

    outcome, events, _ = go(ScriptedMailbox(script), config={"features": 2})
    assert outcome is not None
    together = np.concatenate(list(tables.values()))
    np.testing.assert_allclose(outcome.standardisation.mean, together.mean(axis=0))
    np.testing.assert_allclose(outcome.standardisation.scale, together.std(axis=0))
    assert [e.round for e in events if e.type == "round_aggregated"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (part("b", 1.0, math.nan, 0.0), "not_finite"),
        (part("b", 1.0, math.inf, 0.0), "not_finite"),
        (part("b", 1.0), "wrong_shape"),
        (part("b", 1.0, 1.0, 1.0, rows=0), "contribution_refused"),
        (SiteFailure("b", "too_few_rows"), "too_few_rows"),
    ],
)
def test_bad_part_is_an_error_of_its_site_and_stays_out(bad: Any, code: str) -> None:
    def script(instruction: Instruction, site: str) -> Any:
        return bad if site == "b" else everyone(instruction, site)

    mailbox = ScriptedMailbox(script)
    outcome, events, _ = go(mailbox, rounds=3)
    assert outcome is not None
    np.testing.assert_allclose(outcome.parameters, [1.0, 2.0, 3.0])
    assert errors(events) == [(1, "b", code), (2, "b", code)]
    assert mailbox.asked[-1] == (3, ("a", "c"))


def test_silent_site_costs_one_deadline_a_round() -> None:
    def script(instruction: Instruction, site: str) -> Any:
        return None if site == "c" else everyone(instruction, site)

    outcome, events, clock = go(ScriptedMailbox(script), rounds=4)
    assert outcome is not None
    assert errors(events) == [(1, "c", "deadline"), (2, "c", "deadline")]
    assert 20 <= clock.now < 23


def test_site_that_recovers_stays() -> None:
    def script(instruction: Instruction, site: str) -> Any:
        lost = site == "c" and instruction.round % 2
        return SiteFailure(site, "site_fault") if lost else everyone(instruction, site)

    mailbox = ScriptedMailbox(script)
    _, events, _ = go(mailbox, rounds=5)
    assert [number for number, _, _ in errors(events)] == [1, 3, 5]
    assert mailbox.asked[-1] == (5, SITES)


def test_site_that_is_not_connected_is_not_asked() -> None:
    mailbox = ScriptedMailbox(everyone, online=("a", "b"))
    outcome, events, _ = go(mailbox)
    assert outcome is not None
    assert errors(events) == [(1, "c", "offline"), (2, "c", "offline")]
    assert all(sites == ("a", "b") for _, sites in mailbox.asked)


def test_answers_of_others_and_second_answers_are_not_looked_at() -> None:
    def script(instruction: Instruction, site: str) -> Any:
        return everyone(instruction, site)

    class Noisy(ScriptedMailbox):
        def receive(self) -> Any:
            noise = [part("stranger", 9.0, 9.0, 9.0), part("a", 9.0, 9.0, 9.0)]
            return [*super().receive(), *noise]

    outcome, events, _ = go(Noisy(script))
    assert outcome is not None
    np.testing.assert_allclose(outcome.parameters, [1.0, 2.0, 3.0])
    assert {event.site for event in events if event.site} == set(SITES)


def test_quorum_lost_ends_the_run() -> None:
    def script(instruction: Instruction, site: str) -> Any:
        return everyone(instruction, site) if site == "a" else SiteFailure(site, "site_fault")

    mailbox = ScriptedMailbox(script)
    outcome, events, _ = go(mailbox)
    assert outcome is None
    assert [event.type for event in events][-1] == "site_error"
    assert len(mailbox.asked) == 1


def test_metrics_that_are_no_numbers_are_left_out() -> None:
    def script(instruction: Instruction, site: str) -> Any:
        return part(site, 1.0, 2.0, 3.0, loss=math.nan if site == "b" else 0.5, accuracy=1.0)

    _, events, _ = go(ScriptedMailbox(script))
    assert events[-1].metrics == {"accuracy": pytest.approx(1.0)}
    assert all(math.isfinite(v) for event in events for v in event.metrics.values())
