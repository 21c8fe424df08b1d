"""Following a run: every step of the coordinator becomes one audit event, the result a candidate.

Safety argument:
1. The cursor moves past a step only after the step's event is durable, so none is lost.
2. The event's id is derived from run and step, so a step that is seen twice, also after a crash
   between event and cursor, is in the log once.
3. The result is published by the same use case as an upload: admission, calibration, signatures and
   a candidate that somebody must still promote.
4. A run that the coordinator did not end, because it is gone or its result was refused, is ended
   here, and that is recorded before it is stored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from audit.errors import EventConflict
from audit.event import Event, FederatedPart
from gateway.authorization.event_ids import derived_id
from gateway.authorization.recorder import Recorder
from gateway.errors import EvidenceUnavailable, NotFound
from gateway.federation.coordinator import Coordinator, RunEvent
from gateway.federation.errors import CoordinatorUnavailable
from gateway.federation.facts import federation_resource
from gateway.federation.ports import FederationStore
from gateway.federation.records import Federation, Run

WAIT_S: Final = 20.0
"""How long the coordinator may hold an empty answer."""
PATIENCE: Final = 30
"""Unanswered questions in a row, a second apart, after which a run counts as failed."""
PAUSE_S: Final = 1.0
MAX_WATCHED: Final = 64
"""Runs whose steps are kept for watching; a step is some hundred bytes."""

PublishResult = Callable[[Federation, Run, bytes], None]
"""Publishes a trained model as the run's version, or raises one of our errors."""

_ACTIONS: Final = {
    "run_started": "runStarted",
    "round_started": "roundStarted",
    "site_result": "siteResult",
    "site_error": "siteError",
    "round_aggregated": "roundAggregated",
    "run_finished": "runFinished",
    "run_failed": "runFailed",
}
_FAILURES: Final = frozenset({"site_error", "run_failed"})


class RunFollower:
    """Follows runs, one thread each.

    Args:
        store: Where runs are kept.
        coordinator: Whom to ask.
        recorder: Makes each step durable.
        publish: What happens to a result.
        note: Told each step once it is recorded.
    """

    def __init__(
        self,
        store: FederationStore,
        coordinator: Coordinator,
        recorder: Recorder,
        publish: PublishResult,
        note: Callable[[Run, RunEvent], None] = lambda _run, _step: None,
    ) -> None:
        self._store = store
        self._coordinator = coordinator
        self._recorder = recorder
        self._publish = publish
        self._note = note
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._followed: set[str] = set()
        self._seen: dict[str, list[RunEvent]] = {}

    def start(self, run: Run) -> None:
        """Follow `run` on a thread of its own until it ends or `stop` is called.

        Nothing happens when it is followed already.
        """
        with self._lock:
            if run.id in self._followed:
                return
            self._followed.add(run.id)
        name = f"run-{run.id[:8]}"
        threading.Thread(target=self._follow_safely, args=(run,), name=name, daemon=True).start()

    def stop(self) -> None:
        """Stop following; a later start goes on from the stored cursors."""
        self._stopped.set()

    def steps(self, run_id: str, after: int) -> list[RunEvent]:
        """Return the recorded steps with `seq > after` that this process saw, in order.

        They are a convenience for watching; the log has them all.
        """
        return [step for step in self._seen.get(run_id, []) if step.seq > after]

    def follow(self, run: Run) -> Run:
        """Follow `run` to its end and return it as it was stored last.

        Raises:
            EvidenceUnavailable: A step could not be recorded; the cursor stays before it.
        """
        failures = 0
        while not self._stopped.is_set() and run.state in {"starting", "running"}:
            try:
                page = self._coordinator.events(run.id, run.cursor, WAIT_S)
            except NotFound:
                return self._fail(run, "coordinator_lost")
            except CoordinatorUnavailable:
                # It may only be starting again; a run that is gone then answers `NotFound`.
                failures += 1
                if failures >= PATIENCE:
                    return self._fail(run, "coordinator_lost")
                self._stopped.wait(PAUSE_S)
                continue
            failures = 0
            # The cursor is stored after each step, so a crash repeats at most one of them.
            for step in page.events:
                run = self._take(run, step)
        return self._finish(run) if run.state == "publishing" else run

    def _take(self, run: Run, step: RunEvent) -> Run:
        self._record(run, step)
        self._remember(run.id, step)
        state = {"run_finished": "publishing", "run_failed": "failed"}.get(step.type, "running")
        reason = (step.code or "failed") if state == "failed" else run.reason
        return self._store.replace_run(
            replace(run, cursor=step.seq, state=state, reason=reason)  # type: ignore[arg-type]
        )

    def _finish(self, run: Run) -> Run:
        federation = self._store.get_federation(run.tenant, run.federation)
        if federation is None:
            return self._fail(run, "federation_gone")
        try:
            self._publish(federation, run, self._coordinator.result(run.id))
        except EvidenceUnavailable:
            raise  # the run goes on from here at the next start
        except Exception as fault:
            return self._fail(run, str(getattr(fault, "code", "fault")))
        self._coordinator.forget(run.id)
        return self._store.replace_run(replace(run, state="finished"))

    def _remember(self, run_id: str, step: RunEvent) -> None:
        if run_id not in self._seen and len(self._seen) >= MAX_WATCHED:
            del self._seen[next(iter(self._seen))]
        self._seen.setdefault(run_id, []).append(step)

    def _record(self, run: Run, step: RunEvent) -> None:
        try:
            self._recorder.write(self._event(run, step))
        except EventConflict:
            # The step is in the log already: the process died before its cursor was stored.
            structlog.get_logger().info("run_step_known", run=run.id, seq=step.seq)
        self._note(run, step)

    def _fail(self, run: Run, reason: str) -> Run:
        # The coordinator counts its steps from 1, so 0 is free for the gateway's own.
        self._record(run, RunEvent(0, "run_failed", code=reason))
        return self._store.replace_run(replace(run, state="failed", reason=reason))

    def _event(self, run: Run, step: RunEvent) -> Event:
        return self._recorder.event_for(
            None,
            _ACTIONS[step.type],
            "error" if step.type in _FAILURES else "done",
            id=step_id(run.id, step.seq),
            tenant=run.tenant,
            resource=federation_resource(run.tenant, run.federation),
            request_id=run.id,
            purpose=run.purpose,
            reason=step.code or "",
            model_version=run.version,
            fl=FederatedPart(
                federation=run.federation,
                round=step.round or 0,
                site=step.site or "",
                n_examples=step.n_examples or 0,
                digest=step.digest or "",
            ),
        )

    def _follow_safely(self, run: Run) -> None:
        try:
            self.follow(run)
        except Exception as fault:
            structlog.get_logger().error("run_follower_fault", fault=type(fault).__name__)
        finally:
            with self._lock:
                self._followed.discard(run.id)


def step_id(run_id: str, seq: int) -> str:
    """Return the event id of a step."""
    return derived_id(f"sealgate run step\n{run_id}\n{seq}")
