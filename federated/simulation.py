"""Rounds in one process: made-up sites with different data; no network and no Flower."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from federated.onnx_export import export
from federated.plan import Event, LogisticRegression, Plan, Site
from federated.rounds import Answer, Instruction, Outcome, Rounds
from federated.site.answer import answer
from federated.site.data import Table
from federated.task import evaluate

FEATURES = 8
ROWS = 200
"""Size of a made-up site."""


class LocalMailbox:
    """Answers instructions at once, from tables in this process.

    Args:
        tables: Site name → its rows.
        minimum_rows: What each site asks for.
    """

    def __init__(self, tables: Mapping[str, Table], *, minimum_rows: int = 1) -> None:
        self._tables = tables
        self._minimum_rows = minimum_rows
        self._answers: list[Answer] = []

    def online(self, sites: Collection[str]) -> frozenset[str]:
        """All sites that have a table."""
        return frozenset(sites) & frozenset(self._tables)

    def send(self, instruction: Instruction, sites: Collection[str], seconds: float) -> None:
        """Let each site answer."""
        del seconds
        self._answers = [self._ask(instruction, name) for name in sites]

    def receive(self) -> Iterable[Answer]:
        """All answers of the last `send`, once."""
        answers, self._answers = self._answers, []
        return answers

    def _ask(self, instruction: Instruction, name: str) -> Answer:
        table = self._tables[name]
        given = answer(instruction, lambda: table, site="", minimum_rows=self._minimum_rows)
        return replace(given, site=name)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation ends with: the ONNX model and its accuracy over all rows."""

    outcome: Outcome
    model: bytes
    accuracy: float


def simulate(sites: int, rounds: int, seed: int, report: Callable[[Event], None]) -> Simulated:
    """Train over `sites` made-up sites; the same seed gives the same model.

    Args:
        sites: How many.
        rounds: Rounds of training.
        seed: Of the rows.
        report: Gets each event as it happens.
    """
    tables = made_up_tables(sites, np.random.default_rng(seed))
    plan = Plan(
        tenant="local",
        federation="simulation",
        run_id="simulation",
        sites=tuple(Site(name, name) for name in tables),
        rounds=rounds,
        quorum=sites,
        deadline_s=60.0,
        task="logistic-regression",
        config=LogisticRegression(features=FEATURES),
    )
    seq = 0

    def numbered(event: Event) -> None:
        nonlocal seq
        seq += 1
        report(msgspec.structs.replace(event, seq=seq))

    outcome = Rounds(
        plan, LocalMailbox(tables), numbered, clock=time.monotonic, pause=time.sleep
    ).run()
    numbered(Event(type="run_finished"))
    features = np.concatenate([table.features for table in tables.values()])
    labels = np.concatenate([table.labels for table in tables.values()])
    quality = evaluate(outcome.parameters, outcome.standardisation.apply(features), labels)
    model = export(outcome.parameters, outcome.standardisation)
    return Simulated(outcome, model, quality["accuracy"])


def made_up_tables(sites: int, random: np.random.Generator) -> dict[str, Table]:
    """Return tables with one true model; each has its own offset, scale and share of ones."""
    truth = random.normal(size=FEATURES)
    tables = {}
    for number in range(1, sites + 1):
        offset, spread = random.normal(size=FEATURES), random.uniform(0.5, 2.0)
        features = offset + spread * random.normal(size=(ROWS, FEATURES))
        noise = random.logistic(size=ROWS)
        labels = (features @ truth + noise > 0).astype(np.float64)
        tables[f"site-{number}"] = Table(features, labels)
    return tables
