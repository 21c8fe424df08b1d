from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any

import pytest

from gateway.errors import LimitReached
from gateway.registry.errors import PublishRefused
from gateway.work import jobs as jobs_module
from gateway.work.jobs import Jobs, Progress


class Later(Executor):
    """Runs what was submitted when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def _jobs() -> tuple[Jobs, Later]:
    later, numbers = Later(), iter(range(10_000))
    return Jobs(later, lambda: f"job{next(numbers)}"), later


def test_a_job_tells_its_stages_and_its_result() -> None:
    jobs, later = _jobs()
    seen = []

    def work(progress: Progress) -> str:
        progress("admission", 1, 4)
        seen.append(jobs.get("acme", job.id))
        return "/v1/models/m/versions/1"

    job = jobs.start("acme", "publish", work)
    assert jobs.get("acme", job.id) == job
    later.run()
    before = seen[0]
    assert before is not None
    assert (before.stage, before.done, before.total) == ("admission", 1, 4)
    done = jobs.get("acme", job.id)
    assert done is not None
    assert (done.state, done.done, done.result) == ("done", 4, "/v1/models/m/versions/1")
    assert done.change > before.change


def test_a_failure_is_told_by_code_and_public_text_only() -> None:
    jobs, later = _jobs()

    def refused(_: Progress) -> str:
        raise PublishRefused("owner_signature", "the owner signed other files")

    def broken(_: Progress) -> str:
        raise RuntimeError("secret detail")

    first, second = jobs.start("acme", "publish", refused), jobs.start("acme", "publish", broken)
    later.run()
    told = jobs.get("acme", first.id)
    assert told is not None
    assert (told.state, told.error, told.reason) == ("failed", "publish_refused", "owner_signature")
    hidden = jobs.get("acme", second.id)
    assert hidden is not None
    assert (hidden.state, hidden.error) == ("failed", "internal")
    assert "secret" not in hidden.message


def test_a_tenant_cannot_keep_all_workers() -> None:
    hold = Event()

    def held(_: Progress) -> str:
        hold.wait()
        return ""

    def short(_: Progress) -> str:
        ended.set()
        return ""

    with ThreadPoolExecutor(jobs_module.WORKERS) as executor:
        numbers = iter(range(10_000))
        jobs = Jobs(executor, lambda: f"job{next(numbers)}")
        try:
            with suppress(LimitReached):
                while True:
                    jobs.start("acme", "publish", held)
            ended = Event()
            jobs.start("other", "publish", short)
            assert ended.wait(20)
        finally:
            hold.set()


def test_when_it_stops_work_ends_at_its_next_stage_and_none_begins() -> None:
    at, go = Event(), Event()
    begun: list[int] = []

    def staged(progress: Progress) -> str:
        at.set()
        go.wait()
        progress("sealing", 1, 2)
        raise AssertionError

    def next_one(_: Progress) -> str:
        begun.append(1)
        return ""

    executor = ThreadPoolExecutor(1)
    numbers = iter(range(10_000))
    jobs = Jobs(executor, lambda: f"job{next(numbers)}")
    job = jobs.start("acme", "publish", staged)
    jobs.start("acme", "publish", next_one)
    assert at.wait(20)
    assert not jobs.close(0.01), "it does not wait for what does not end"
    go.set()
    assert jobs.close(20)
    executor.shutdown()
    told = jobs.get("acme", job.id)
    assert told is not None
    assert (told.state, told.error, begun) == ("failed", "interrupted", [])


def test_another_tenant_does_not_see_it() -> None:
    jobs, _ = _jobs()
    assert jobs.get("other", jobs.start("acme", "publish", lambda _: "").id) is None


def test_jobs_of_a_tenant_are_bounded_and_old_ones_forgotten() -> None:
    jobs, later = _jobs()
    first = jobs.start("acme", "publish", lambda _: "")
    for _ in range(jobs_module.MAX_RUNNING - 1):
        jobs.start("acme", "publish", lambda _: "")
    with pytest.raises(LimitReached) as refused:
        jobs.start("acme", "publish", lambda _: "")
    assert refused.value.retry_after == "5"
    jobs.start("other", "publish", lambda _: "")
    later.run()
    for _ in range(jobs_module.MAX_KEPT + 1):
        jobs.start("acme", "publish", lambda _: "")
        later.run()
    assert jobs.get("acme", first.id) is None


def test_who_asks_is_told_how_many_jobs_are_under_way() -> None:
    jobs, later = _jobs()
    assert jobs.running("acme") == 0
    jobs.start("acme", "publish", lambda _: "")
    jobs.start("rival", "publish", lambda _: "")
    assert jobs.running("acme") == 1
    later.run()
    assert jobs.running("acme") == 0


def test_what_is_under_way_is_told_with_its_age_and_what_ended_by_its_outcome() -> None:
    later, now, numbers = Later(), [100.0], iter(range(9))
    jobs = Jobs(later, lambda: f"job{next(numbers)}", lambda: now[0])

    def refused(progress: Progress) -> str:
        progress("admission", 1, 4)
        now[0] += 7.0
        assert [(one.waiting, one.age) for one in jobs.unfinished()] == [(False, 12.0), (True, 9.5)]
        raise PublishRefused("no")

    jobs.start("acme", "publish", refused)
    now[0] += 2.5
    jobs.start("rival", "publish", lambda _: "")
    assert [one.waiting for one in jobs.unfinished()] == [True, True]
    now[0] += 2.5
    later.run()
    assert jobs.unfinished() == []
    assert jobs.ended == {("publish", "publish_refused"): 1, ("publish", "done"): 1}
