"""Print the table: `python -m tests.kills [--faults] [--kind NAME] [--labels]`."""

from __future__ import annotations

import argparse
import sys
import time
from itertools import groupby
from pathlib import Path

from tests.kills.steps import Fault
from tests.kills.trials import SCENARIOS, Trial, fault_trials, ground, kill_trials, kinds
from tests.kills.verdict import FINISHED, NOT_BEGUN, UNDONE, WRONG

LEGEND = f"{FINISHED} finished   {UNDONE} undone   {NOT_BEGUN} not begun   {WRONG} anything else"


def main() -> int:
    """Play all trials and print them; returns 1 if any went wrong."""
    asked = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    asked.add_argument("--faults", action="store_true", help="writes fail instead of kills")
    asked.add_argument("--kind", help="only this kind of intent")
    asked.add_argument("--labels", action="store_true", help="one line a write, with its label")
    given = asked.parse_args()
    began, wrong, played = time.monotonic(), 0, 0
    with ground() as data:
        missing = kinds(data) - {scenario.kind for scenario in SCENARIOS}
        if missing:
            print("no scenario for:", *sorted(missing))
            return 1
        print(_heading(faults=given.faults))
        for scenario in SCENARIOS:
            if given.kind in (None, scenario.kind):
                trials = _trials(data, scenario.name, faults=given.faults)
                print(_row(scenario.name, trials), flush=True)
                wrong += _tell(trials, labels=given.labels)
                played += len(trials)
    print(f"\n{LEGEND}\n{played} trials, {wrong} wrong, {time.monotonic() - began:.0f} s")
    return 1 if wrong or not played else 0


def _trials(data: Path, name: str, *, faults: bool) -> list[Trial]:
    (scenario,) = (scenario for scenario in SCENARIOS if scenario.name == name)
    return fault_trials(data, scenario) if faults else kill_trials(data, scenario)


def _heading(*, faults: bool) -> str:
    cells = (
        "undisturbed, then each fails: before it, it alone and all that follow; after it, likewise"
        if faults
        else "undisturbed, then killed before and after each write"
    )
    return f"{'kind of intent':40} writes  {cells}"


def _row(name: str, trials: list[Trial]) -> str:
    steps = [
        "".join(trial.verdict.mark for trial in some)
        for _, some in groupby(trials, lambda trial: trial.plan.step if trial.plan else -1)
    ]
    writes = len({trial.plan.step for trial in trials if trial.plan})
    return f"{name:40} {writes:6}  {' '.join(steps)}"


def _tell(trials: list[Trial], *, labels: bool) -> int:
    """Print what went wrong, or every trial; returns how many went wrong."""
    for trial in trials:
        if labels or trial.verdict.wrong:
            how: str = trial.plan.when if trial.plan else ""
            if isinstance(trial.plan, Fault) and trial.plan.lasting:
                how += ", lasting"
            print(f"    {trial.verdict.mark} {trial.label} {how}".rstrip())
            for line in trial.verdict.wrong:
                print("      " + line.replace("\n", "\n      "))
    return sum(bool(trial.verdict.wrong) for trial in trials)


if __name__ == "__main__":
    sys.exit(main())
