"""The rounds of a run: who is asked, who is waited for, when it ends.

The rules, in the order in which the code applies them:
1. only sites of the plan's allow-list are addressed, and only their answers are looked at;
2. a site that is not connected a moment after the round began is an error of that site;
3. answers are taken until all addressed sites have answered or the deadline is over; no answer by
   then is an error of that site, and a late answer is not looked at;
4. an answer that does not pass `aggregation.check` is an error of that site and stays out of the
   mean;
5. a site with `MAX_ERRORS_IN_A_ROW` errors is not asked again in this run;
6. a round with fewer contributions than the quorum ends the run;
7. the run has succeeded only when every round was aggregated from a quorum.

Nothing here knows of Flower: a `Mailbox` carries the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from federated.aggregation import Contribution, Vector, check, digest, weighted_mean
from federated.errors import ContributionRefused, QuorumLost
from federated.plan import Event, Plan, initial_parameters
from federated.task import Standardisation, TrainingSettings, pooled

MAX_ERRORS_IN_A_ROW = 2
"""One lost round may be a restart of the site; a second one is waited for no more."""

SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
"""Between two looks into the mailbox: short at first, longer the longer a round takes."""

JOIN_WAIT_S = 5.0
"""How long a round waits for sites that are not connected (at most half of its deadline)."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a site is asked to do.

    Attributes:
        operation: `sums` for the agreement on standardisation, `train` for a round.
        vector: `train`: `[mean, scale, w, b]`, shape (3d + 1,); `sums`: empty.
    """

    operation: str
    round: int
    features: int
    vector: Vector
    training: TrainingSettings


@dataclass(frozen=True, slots=True)
class SiteFailure:
    """An answer without a contribution: the site's name and the stable code of the reason."""

    site: str
    code: str


Answer = Contribution | SiteFailure


class Mailbox(Protocol):
    """Carries instructions to sites and their answers back."""

    def online(self, sites: Collection[str]) -> frozenset[str]:
        """Which of `sites` are connected now."""

    def send(self, instruction: Instruction, sites: Collection[str], seconds: float) -> None:
        """Send `instruction` to each of `sites`; it expires after `seconds`."""

    def receive(self) -> Iterable[Answer]:
        """Answers to the last `send` that have come in since the last call; never waits."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The global model after the last round."""

    parameters: Vector
    standardisation: Standardisation


class Rounds:
    """Carries out one plan."""

    def __init__(
        self,
        plan: Plan,
        mailbox: Mailbox,
        report: Callable[[Event], None],
        *,
        clock: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        self._plan = plan
        self._mailbox = mailbox
        self._report = report
        self._clock = clock
        self._pause = pause
        self._errors = dict.fromkeys((site.name for site in plan.sites), 0)

    def run(self) -> Outcome:
        """Agree on the standardisation if asked to, then train round after round.

        Raises:
            QuorumLost: A round had too few contributions.
            ContributionRefused: The aggregate of a round is not finite.
        """
        self._report(Event(type="run_started"))
        config = self._plan.config
        standardisation = config.fixed or self._agree()
        parameters = initial_parameters(self._plan)
        for number in range(1, self._plan.rounds + 1):
            state = np.concatenate([standardisation.mean, standardisation.scale, parameters])
            instruction = Instruction("train", number, config.features, state, config.training)
            parts = self._exchange(instruction, config.features + 1)
            parameters = weighted_mean(parts, config.features + 1)
            self._aggregated(number, parts, parameters)
        return Outcome(parameters, standardisation)

    def _agree(self) -> Standardisation:
        """Round 0: pool each site's sums into one mean and scale."""
        config = self._plan.config
        instruction = Instruction(
            "sums", 0, config.features, np.zeros(0, dtype=np.float64), config.training
        )
        parts = self._exchange(instruction, 2 * config.features)
        rows = sum(part.rows for part in parts)
        # Σ over sites = Σ rows · (the site's sums / its rows): sums add up, they are not averaged.
        totals = np.sum([part.vector for part in sorted(parts, key=lambda p: p.site)], axis=0)
        standardisation = pooled(totals, rows)
        self._aggregated(0, parts, totals)
        return standardisation

    def _exchange(self, instruction: Instruction, length: int) -> list[Contribution]:
        """Send one instruction and return the contributions that pass the checks."""
        number, seconds = instruction.round, self._plan.deadline_s
        self._report(Event(type="round_started", round=number))
        started = self._clock()
        cohort = [name for name, errors in self._errors.items() if errors < MAX_ERRORS_IN_A_ROW]
        pending = set(self._connected(cohort, started))
        for name in sorted(set(cohort) - pending):
            self._failed(number, SiteFailure(name, "offline"))
        if pending:
            self._mailbox.send(instruction, sorted(pending), seconds)
        parts: list[Contribution] = []
        rest = SHORTEST_PAUSE_S
        while pending and self._clock() - started < seconds:
            for answer in self._mailbox.receive():
                if answer.site not in pending:
                    continue
                pending.discard(answer.site)
                part = self._judged(number, answer, length)
                if part is not None:
                    parts.append(part)
            if pending:
                self._pause(rest)
                elapsed = self._clock() - started
                rest = min(max(SHORTEST_PAUSE_S, elapsed / 20), LONGEST_PAUSE_S)
        for name in sorted(pending):
            self._failed(number, SiteFailure(name, "deadline"))
        if len(parts) < self._plan.quorum:
            raise QuorumLost
        return parts

    def _connected(self, cohort: Collection[str], started: float) -> frozenset[str]:
        """Wait a moment until all of `cohort` are connected; return those that are."""
        patience = min(JOIN_WAIT_S, self._plan.deadline_s / 2)
        online = self._mailbox.online(cohort)
        while len(online) < len(cohort) and self._clock() - started < patience:
            self._pause(SHORTEST_PAUSE_S * 4)
            online = self._mailbox.online(cohort)
        return online

    def _judged(self, number: int, answer: Answer, length: int) -> Contribution | None:
        """Report an answer; return it when it may enter the mean."""
        if isinstance(answer, SiteFailure):
            self._failed(number, answer)
            return None
        try:
            check(answer, length)
        except ContributionRefused as refusal:
            self._failed(number, SiteFailure(answer.site, refusal.code))
            return None
        self._errors[answer.site] = 0
        self._report(
            Event(
                type="site_result",
                round=number,
                site=answer.site,
                n_examples=answer.rows,
                metrics=finite(answer.metrics),
                digest=digest(answer.vector),
            )
        )
        return answer

    def _failed(self, number: int, failure: SiteFailure) -> None:
        self._errors[failure.site] += 1
        self._report(Event(type="site_error", round=number, site=failure.site, code=failure.code))

    def _aggregated(self, number: int, parts: Collection[Contribution], vector: Vector) -> None:
        """Report a round's aggregate with the sites' metrics, weighted by rows."""
        # By name, so that the same parts give the same bits in whatever order they came.
        parts = sorted(parts, key=lambda part: part.site)
        rows = sum(part.rows for part in parts)
        shared = set.intersection(*(set(finite(part.metrics)) for part in parts))
        metrics = {
            name: sum(part.metrics[name] * part.rows for part in parts) / rows
            for name in sorted(shared)
        }
        self._report(
            Event(
                type="round_aggregated",
                round=number,
                n_examples=rows,
                metrics=metrics,
                digest=digest(vector),
            )
        )


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are finite numbers; a NaN is no number in JSON."""
    return {name: value for name, value in metrics.items() if np.isfinite(value)}
