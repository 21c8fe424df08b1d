from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from federated.errors import IllegalMove, ResultGone, RunExists, TooBusy, UnknownRun
from federated.plan import Event
from federated.runs import MAX_ACTIVE, MAX_KNOWN, MOVES, RESULT_S, Run, RunBook, took_part
from tests.federated.examples import plan


def round_of(number: int, *sites: str) -> list[Event]:
    return [
        Event(type="round_started", round=number),
        *(Event(type="site_result", round=number, site=site) for site in sites),
        Event(type="round_aggregated", round=number),
    ]


WHOLE = [Event(type="run_started"), *round_of(1, "a", "b"), *round_of(2, "b", "c")]


def run_with(events: list[Event], result: bytes | None = b"model") -> Run:
    run = Run(plan())
    for event in events:
        run.take(event)
    if result is not None:
        run.keep(result)
    return run


def test_a_run_with_a_quorum_in_every_round_finishes() -> None:
    run = run_with(WHOLE)
    run.take(Event(type="run_finished"))
    assert run.state == "finished"
    assert [event.seq for event in run.events] == list(range(1, len(WHOLE) + 2))


@pytest.mark.parametrize(
    "events",
    [
        [Event(type="run_started")],
        [Event(type="run_started"), *round_of(1, "a", "b")],
        [Event(type="run_started"), *round_of(1, "a", "b"), *round_of(2, "a")],
        [Event(type="run_started"), *round_of(1, "a", "b"), *round_of(2, "a", "a")],
        [Event(type="run_started"), *round_of(1, "a", "b"), *round_of(2, "a", "stranger")],
        [Event(type="run_started"), *round_of(1, "a", "b"), *round_of(2, "a", "b")[:-1]],
    ],
)
def test_success_is_derived_from_participation(events: list[Event]) -> None:
    assert not took_part(plan(), events)
    run = run_with(events)
    run.take(Event(type="run_finished"))
    assert run.state == "failed"
    assert (run.events[-1].type, run.events[-1].code) == ("run_failed", "participation")
    with pytest.raises(ResultGone):
        run.fetch()


def test_success_needs_a_result() -> None:
    run = run_with(WHOLE, result=None)
    run.take(Event(type="run_finished"))
    assert run.state == "failed"


def test_the_result_is_handed_over_once_and_only_when_finished() -> None:
    run = run_with(WHOLE)
    with pytest.raises(ResultGone):
        run.fetch()
    run.take(Event(type="run_finished"))
    assert run.fetch() == b"model"
    with pytest.raises(ResultGone):
        run.fetch()


def test_final_states_have_no_moves() -> None:
    for state, following in MOVES.items():
        assert bool(following) == (state in {"starting", "running"})
    run = run_with(WHOLE)
    run.take(Event(type="run_failed", code="stopped"))
    for event in (Event(type="run_finished"), Event(type="run_failed"), *WHOLE):
        with pytest.raises(IllegalMove):
            run.take(event)
    with pytest.raises(IllegalMove):
        run.keep(b"late")


def test_a_run_begins_once_and_with_its_beginning() -> None:
    with pytest.raises(IllegalMove):
        Run(plan()).take(Event(type="round_started", round=1))
    with pytest.raises(IllegalMove):
        run_with([Event(type="run_started")]).take(Event(type="run_started"))


def test_a_run_can_fail_before_it_begins() -> None:
    run = Run(plan())
    run.take(Event(type="run_failed", code="server_app_failed"))
    assert run.state == "failed"


def test_the_cursor_and_the_long_poll() -> None:
    async def scenario() -> None:
        run = Run(plan())
        waiting = asyncio.ensure_future(run.after(0, 60))
        await asyncio.sleep(0)
        run.take(Event(type="run_started"))
        assert [event.seq for event in await waiting] == [1]
        assert await run.after(1, 0) == []
        run.take(Event(type="run_failed", code="stopped"))
        assert [event.seq for event in await run.after(1, 60)] == [2]
        assert await run.after(2, 60) == []

    asyncio.run(scenario())


class Timer:
    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, delay: float, call: Callable[[], None]) -> None:
        self.calls.append((delay, call))


def test_a_result_that_nobody_fetches_is_dropped() -> None:
    timer = Timer()
    book = RunBook(timer)
    run = run_with(WHOLE)
    run.take(Event(type="run_finished"))
    book.expire(run)
    ((delay, call),) = timer.calls
    assert delay == RESULT_S
    call()
    with pytest.raises(ResultGone):
        run.fetch()


def test_the_book_is_bounded_and_forgets_the_oldest_ended_run() -> None:
    book = RunBook(Timer())
    first = book.add(plan(run_id="first"))
    with pytest.raises(RunExists):
        book.add(plan(run_id="first"))
    first.take(Event(type="run_failed", code="stopped"))
    for number in range(MAX_KNOWN - 1):
        run = book.add(plan(run_id=f"run-{number}"))
        if number >= MAX_ACTIVE - 1:
            run.take(Event(type="run_failed", code="stopped"))
    with pytest.raises(UnknownRun):
        book.get("other")
    book.add(plan(run_id="one-more"))
    with pytest.raises(UnknownRun):
        book.get("first")
    with pytest.raises(TooBusy):
        book.add(plan(run_id="too-many"))
    assert len(book.active("north")) == MAX_ACTIVE
    assert book.active("south") == []
