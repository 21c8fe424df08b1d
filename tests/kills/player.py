"""Plays trials for the tests: one request a line, one answer a line, both JSON.

The tests' own process has threads and stores open, so it must not fork; this one may.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import IO

from tests.kills.trials import (
    SCENARIOS,
    Trial,
    every_kill,
    fault_trials,
    ground,
    kill_trials,
    telling_kills,
)


@dataclass(frozen=True)
class Player:
    """The process that plays, as the tests see it."""

    asks: IO[str]
    answers: IO[str]

    def wrong(self, what: str, name: str) -> list[str]:
        """Play `telling`, `kills` or `faults` of a scenario; returns what went wrong."""
        self.asks.write(json.dumps([what, name]) + "\n")
        self.asks.flush()
        told = json.loads(self.answers.readline())
        assert told["trials"], "nothing was played"
        return list(told["wrong"])


def serve() -> None:
    """Answer until nobody asks any more."""
    with ground() as data:
        for line in sys.stdin:
            what, name = json.loads(line)
            (scenario,) = (scenario for scenario in SCENARIOS if scenario.name == name)
            if what == "faults":
                trials = fault_trials(data, scenario)
            else:
                choose = telling_kills if what == "telling" else every_kill
                trials = kill_trials(data, scenario, choose)
            print(json.dumps({"trials": len(trials), "wrong": _wrong(trials)}), flush=True)


def _wrong(trials: list[Trial]) -> list[str]:
    return [
        f"{trial.label}, {trial.plan}: {'; '.join(trial.verdict.wrong)}"
        for trial in trials
        if trial.verdict.wrong
    ]


if __name__ == "__main__":
    serve()
