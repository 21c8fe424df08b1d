"""Work that takes long, federations and the log itself, as metrics.

1. A scrape reads memory only: it is answered whatever the database does, in time that is bounded by
   the bounds of what is counted.
2. What is stored is looked at by housekeeping (`Unfinished.look`). Figures that are older than
   `FRESH_SECONDS` are not told: an absent series says that nobody knows, an old one would lie.
3. Labels are kinds and states of ours, codes, and names that administrators and convenors
   registered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.batch.ports import BatchStore
from gateway.federation.ports import FederationStore
from gateway.federation.records import Run
from gateway.federation.watching import Watching
from gateway.log_sink import LogSink
from gateway.pages import every
from gateway.request_lines import RequestLines
from gateway.work.jobs import Jobs, Unfinished

LOOK_SECONDS: Final = 15.0
"""From one look at the stores to the next: as often as Prometheus asks."""
FRESH_SECONDS: Final = 120.0
BATCH: Final = "batch"
_GOING: Final = ("starting", "running", "publishing")


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    batches: Sequence[Unfinished]
    runs: Sequence[Run]


class Stored:
    """Looks at what is under way in the stores; bounded by what each tenant may have at once.

    Args:
        batches, federations: The stores.
        clock: Unix seconds.
        monotonic: Seconds.
    """

    def __init__(
        self,
        batches: BatchStore,
        federations: FederationStore,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._batches, self._federations = batches, federations
        self._clock, self._monotonic = clock, monotonic
        self._seen: _Seen | None = None

    def look(self) -> None:
        """Look; blocks, and raises what the stores raise."""
        now = self._clock()
        batches = [
            Unfinished(BATCH, batch.state == "queued", now - batch.created)
            for batch in every(
                lambda after, limit: self._batches.unfinished_batches(after=after, limit=limit),
                lambda batch: batch.id,
                "",
            )
        ]
        runs = list(
            every(
                lambda after, limit: self._federations.unfinished_runs(after=after, limit=limit),
                lambda run: run.id,
                "",
            )
        )
        self._seen = _Seen(self._monotonic(), batches, runs)

    def batches(self) -> Sequence[Unfinished] | None:
        """Return the batches under way; `None` when that is not known."""
        return seen.batches if (seen := self._fresh()) else None

    def runs(self) -> Mapping[str, int] | None:
        """Return how many runs there are in each state of those under way, likewise."""
        seen = self._fresh()
        return None if seen is None else Counter(run.state for run in seen.runs)

    def oldest_runs(self) -> Mapping[tuple[str, str], float]:
        """Return the seconds since the oldest of each was asked for, by tenant and federation."""
        oldest: dict[tuple[str, str], float] = {}
        if seen := self._fresh():
            now = self._clock()
            for run in seen.runs:
                of = (run.tenant, run.federation)
                oldest[of] = max(oldest.get(of, 0.0), now - run.started)
        return oldest

    def _fresh(self) -> _Seen | None:
        seen = self._seen
        return seen if seen and self._monotonic() - seen.at < FRESH_SECONDS else None


class WorkMetrics(Collector):
    """Metrics of jobs, federations and the log.

    Args:
        jobs: Under way in this process.
        batches_ended: Returns how many batch jobs ended, by state.
        stored: What is under way in the stores.
        watching: What is known of federations.
        sink: Where the log goes.
        lines: Where lines of requests come from.
    """

    def __init__(
        self,
        jobs: Jobs,
        batches_ended: Callable[[], Mapping[str, int]],
        stored: Stored,
        watching: Watching,
        sink: LogSink,
        lines: RequestLines,
    ) -> None:
        self._jobs = jobs
        self._batches_ended = batches_ended
        self._stored = stored
        self._watching = watching
        self._sink, self._lines = sink, lines

    def collect(self) -> Iterable[Metric]:
        """Read them."""
        yield from self._work()
        yield from self._federations()
        lost = CounterMetricFamily(
            "sealgate_log_lines_lost", "Lines of the log that were not written", labels=["why"]
        )
        lost.add_metric(["write_failed"], self._sink.lost)
        lost.add_metric(["bound"], self._lines.left_out)
        yield lost

    def _work(self) -> Iterable[Metric]:
        under_way = GaugeMetricFamily("sealgate_jobs", "Jobs under way", labels=["kind", "state"])
        oldest = GaugeMetricFamily(
            "sealgate_job_oldest_seconds", "Since the oldest was asked for", labels=["kind"]
        )
        kinds: dict[str, Sequence[Unfinished] | None] = {
            "publish": self._jobs.unfinished(),
            BATCH: self._stored.batches(),
        }
        for kind, found in kinds.items():
            if found is not None:
                waiting = sum(each.waiting for each in found)
                under_way.add_metric([kind, "waiting"], waiting)
                under_way.add_metric([kind, "running"], len(found) - waiting)
                oldest.add_metric([kind], max((each.age for each in found), default=0.0))
        ended = CounterMetricFamily(
            "sealgate_jobs_ended", "Jobs that ended", labels=["kind", "outcome"]
        )
        for (kind, outcome), count in dict(self._jobs.ended).items():
            ended.add_metric([kind, outcome], count)
        for outcome, count in dict(self._batches_ended()).items():
            ended.add_metric([BATCH, outcome], count)
        yield from (under_way, oldest, ended)

    def _federations(self) -> Iterable[Metric]:
        runs = GaugeMetricFamily("sealgate_federation_runs", "Runs under way", labels=["state"])
        oldest = GaugeMetricFamily(
            "sealgate_federation_run_oldest_seconds",
            "Since the oldest run under way was asked for",
            labels=["tenant", "federation"],
        )
        if (found := self._stored.runs()) is not None:
            for state in _GOING:
                runs.add_metric([state], found.get(state, 0))
        for of, seconds in self._stored.oldest_runs().items():
            oldest.add_metric(list(of), seconds)
        steps = CounterMetricFamily(
            "sealgate_federation_steps", "Recorded steps of runs", labels=["type"]
        )
        for kind, count in dict(self._watching.steps).items():
            steps.add_metric([kind], count)
        contacts = GaugeMetricFamily(
            "sealgate_federation_site_contact_timestamp_seconds",
            "When a site called last",
            labels=["tenant", "site"],
        )
        for (tenant, site), at in self._watching.contacts.items():
            contacts.add_metric([tenant, site], at)
        rounds = GaugeMetricFamily(
            "sealgate_federation_round_timestamp_seconds",
            "When the last round was aggregated",
            labels=["tenant", "federation"],
        )
        for (tenant, federation), at in self._watching.rounds.items():
            rounds.add_metric([tenant, federation], at)
        connected = GaugeMetricFamily(
            "sealgate_federation_sites_connected",
            "Sites that called a short while ago",
            value=self._watching.connected(),
        )
        yield from (runs, oldest, steps, contacts, rounds, connected)
