"""Plans, tables and a scripted mailbox for the unit tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import msgspec
import numpy as np

from federated.aggregation import Contribution
from federated.plan import Plan, parse_plan
from federated.rounds import Answer, Instruction

SITES = ("a", "b", "c")


def plan_fields(**changes: Any) -> dict[str, Any]:
    """A valid plan as JSON-able fields."""
    fields = {
        "tenant": "north",
        "federation": "trial",
        "run_id": "run-1",
        "sites": [{"name": name, "node_id": f"node-{name}"} for name in SITES],
        "rounds": 2,
        "quorum": 2,
        "deadline_s": 10,
        "task": "logistic-regression",
        "config": {
            "features": 2,
            "standardisation": {"mean": [0, 0], "scale": [1, 1]},
        },
    }
    return {**fields, **changes}


def plan(**changes: Any) -> Plan:
    return parse_plan(msgspec.json.encode(plan_fields(**changes)))


class Clock:
    """A clock that only moves when somebody pauses."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


class ScriptedMailbox:
    """Answers each instruction by `script(instruction, site)`, which gives an answer or None."""

    def __init__(self, script: Any, online: Collection[str] = SITES) -> None:
        self.script = script
        self.connected = frozenset(online)
        self.asked: list[tuple[int, tuple[str, ...]]] = []
        self._answers: list[Answer] = []

    def online(self, sites: Collection[str]) -> frozenset[str]:
        return frozenset(sites) & self.connected

    def send(self, instruction: Instruction, sites: Collection[str], seconds: float) -> None:
        self.asked.append((instruction.round, tuple(sites)))
        given = [self.script(instruction, site) for site in sites]
        self._answers = [answer for answer in given if answer is not None]

    def receive(self) -> Iterable[Answer]:
        answers, self._answers = self._answers, []
        return answers


def part(site: str, *values: float, rows: int = 10, **metrics: float) -> Contribution:
    return Contribution(site, rows, np.array(values, dtype=np.float64), metrics)
