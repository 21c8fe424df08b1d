"""Long work: started by a call, watched by the same tenant, forgotten after a while.

A tenant has at most half of the workers, so that it cannot keep the others waiting. Jobs live in
the memory of one process. What they change is in the stores, and begins as an intent
(`gateway.authorization.intents`): what a job left that died with its process
is settled at the next start.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, replace
from typing import Final, Literal

import structlog

from gateway.artifacts.errors import Interrupted
from gateway.errors import LimitReached, SealgateError

WORKERS: Final = 4
"""Jobs at once: each holds a plaintext model in memory and keeps a core busy."""
MAX_RUNNING: Final = WORKERS // 2
"""Jobs of one tenant, under way or waiting."""
MAX_KEPT: Final = 1_000
"""Finished jobs that can still be asked for, over all tenants; the oldest are forgotten first."""
LOOK_AGAIN_SECONDS: Final = 5.0
"""Nobody knows when a job ends; most take some seconds."""

JobState = Literal["running", "done", "failed"]


WAITING: Final = "queued"
"""Stage of a job that has not begun."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A job under way, of whatever kind, as those who watch count it.

    Attributes:
        waiting: It has not begun.
        age: Seconds since it was asked for.
    """

    kind: str
    waiting: bool
    age: float


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of long work as its caller sees it.

    Attributes:
        stage: What is being done, one word or two.
        done: Stages finished, out of `total`.
        result: Where the result is found, a path of this API.
        error: Stable code of the failure, and its public text in `message`.
        remedy: What can be done about the failure; empty where nothing general helps.
        change: Grows with each change; watchers compare it.
        begun: Monotonic seconds at which it was asked for.
    """

    id: str
    tenant: str
    kind: str
    state: JobState = "running"
    stage: str = WAITING
    done: int = 0
    total: int = 1
    result: str = ""
    error: str = ""
    reason: str = ""
    message: str = ""
    remedy: str = ""
    change: int = 0
    begun: float = 0.0


Progress = Callable[[str, int, int], None]
"""(stage, stages done, stages in all)."""
Work = Callable[[Progress], str]
"""Does the work and returns the path of the result."""


class Jobs:
    """Starts work on threads and remembers how it goes.

    Args:
        executor: Where the work runs, on `WORKERS` threads.
        new_id: Gives an unguessable id.
        monotonic: Seconds.

    Attributes:
        ended: How many ended, by kind and `done` or the code of the failure.
    """

    def __init__(
        self,
        executor: Executor,
        new_id: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._executor = executor
        self._new_id = new_id
        self._monotonic = monotonic
        self.ended: Counter[tuple[str, str]] = Counter()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._under_way: set[Future[None]] = set()
        self._stopping = threading.Event()

    def start(self, tenant: str, kind: str, work: Work) -> Job:
        """Start `work`.

        Raises:
            LimitReached: The tenant has `MAX_RUNNING` jobs under way.
        """
        with self._lock:
            if self._running(tenant) >= MAX_RUNNING:
                busy = LimitReached("too many jobs of this tenant are under way")
                raise busy.again_in(LOOK_AGAIN_SECONDS)
            job = Job(id=self._new_id(), tenant=tenant, kind=kind, begun=self._monotonic())
            self._jobs[job.id] = job
            self._forget_oldest()
        future = self._executor.submit(self._run, job.id, work)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return job

    def close(self, seconds: float) -> bool:
        """Begin no more work and stop what is under way at its next stage.

        Returns:
            Whether everything ended within `seconds`; it is not waited for any longer.
        """
        self._stopping.set()
        self._executor.shutdown(wait=False, cancel_futures=True)
        return not wait(tuple(self._under_way), seconds).not_done

    def running(self, tenant: str) -> int:
        """Return how many jobs of a tenant are under way; `MAX_RUNNING` leave no room."""
        with self._lock:
            return self._running(tenant)

    def unfinished(self) -> list[Unfinished]:
        """Return the jobs of all tenants that wait or run."""
        now = self._monotonic()
        with self._lock:
            going = [job for job in self._jobs.values() if job.state == "running"]
        return [Unfinished(job.kind, job.stage == WAITING, now - job.begun) for job in going]

    def get(self, tenant: str, job_id: str) -> Job | None:
        """Return the job of that tenant, or None when unknown or forgotten."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.tenant == tenant else None

    def _running(self, tenant: str) -> int:
        return sum(j.state == "running" for j in self._jobs.values() if j.tenant == tenant)

    def _run(self, job_id: str, work: Work) -> None:
        def progress(stage: str, done: int, total: int) -> None:
            if self._stopping.is_set():
                raise Interrupted
            self._change(job_id, stage=stage, done=done, total=total)

        try:
            result = work(progress)
        except Exception as fault:
            self._fail(job_id, fault)
        else:
            total = self._jobs[job_id].total
            self._change(job_id, state="done", stage="done", done=total, result=result)

    def _fail(self, job_id: str, fault: Exception) -> None:
        ours = isinstance(fault, SealgateError)
        if not ours:
            structlog.get_logger().error("job_fault", job=job_id, fault=type(fault).__name__)
        self._change(
            job_id,
            state="failed",
            error=fault.code if isinstance(fault, SealgateError) else SealgateError.code,
            message=fault.public if isinstance(fault, SealgateError) else SealgateError.message,
            reason=str(getattr(fault, "reason", "")) if ours else "",
            remedy=str(getattr(fault, "remedy", "")) if ours else "",
        )

    def _change(self, job_id: str, **changes: object) -> None:
        with self._lock:
            job = self._jobs[job_id]
            job = replace(job, change=job.change + 1, **changes)  # type: ignore[arg-type]
            self._jobs[job_id] = job
            if job.state != "running":
                self.ended[job.kind, job.error or job.state] += 1

    def _forget_oldest(self) -> None:
        finished = [job.id for job in self._jobs.values() if job.state != "running"]
        for job_id in finished[: max(0, len(finished) - MAX_KEPT)]:
            del self._jobs[job_id]
