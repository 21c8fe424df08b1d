from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from audit.errors import StoreFault
from audit.event import Event
from audit.log import AuditLog
from audit.note import LogSigner
from audit.reader import LogReader
from audit.stores.memory import MemoryLogStore
from gateway.authorization.intents import Intents, result_id
from gateway.authorization.kinds import FINISHED, TOLD, UNDONE, Attribution, Kind, Settled
from gateway.authorization.recorder import Recorder
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, ConfigurationError, EvidenceUnavailable
from gateway.storage.errors import StorageUnavailable
from gateway.storage.memory_pending import MemoryPendingStore
from policies.errors import EpochExists
from tests.gateway.parts import KEY, NOW
from tests.kills import watched
from tests.kills.steps import Fault, Steps, Watched

ROW, INTENT, RESULT, AWAY = (
    "pending.add_pending",
    "log of acme: administer intent allow",
    "log of acme: administer result done",
    "pending.remove_pending",
)
NOBODY = Attribution()


class Broken(Exception):
    """A fault that nobody foresaw."""


@dataclass
class Desk:
    """Intents on stores in memory; what is written is counted, and can be made to fail."""

    steps: Steps = field(default_factory=Steps)
    rows: MemoryPendingStore = field(default_factory=MemoryPendingStore)
    answer: Settled | Exception = FINISHED
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryLogStore()
        self.log = AuditLog(
            watched.log(self.store, self.steps),
            lambda tenant: LogSigner(f"log/{tenant}", KEY),
            clock=lambda: NOW,
            random_bytes=lambda length: bytes(length),
        )
        self.log.start()
        self.intents = self.restarted()
        self.steps.begin()

    def restarted(self) -> Intents:
        """What a process has that starts now on the same stores."""
        numbers = itertools.count(len(self.events()) + len(self.left()) + 1)
        recorder = Recorder(
            self.log,
            clock=lambda: NOW + next(numbers),  # no two events are alike
            random_bytes=lambda length: next(numbers).to_bytes(length, "big"),
            gateway_id="g",
            boot_id="b",
            region="eu",
        )
        rows: Any = Watched(self.rows, "pending", self.steps, StorageUnavailable)
        intents = Intents(rows, recorder, lambda: NOW)
        intents.register(Kind("paint", "administer", lambda _: {}, self._finish))
        return intents

    def fail(self, step: int, *, after: bool = False, lasting: bool = False) -> None:
        """Let one of the next writes fail; 0 is the first that was ever counted."""
        self.steps.plan = Fault(step, "after" if after else "before", lasting)

    def repair(self) -> None:
        """Let everything work again."""
        self.steps.plan = None

    def paint(self, fault: Exception | None = None, told: str = "") -> None:
        """Make the change, or fail in the middle of it."""
        with self.intents.changing("paint", "acme", {TOLD: told} if told else {}, NOBODY):
            self.steps.write("paint", lambda: None, StoreFault)
            if fault is not None:
                raise fault

    def begun(self, number: int) -> Pending:
        """A row as a dead process left it, with its recorded intent."""
        pending = Pending(_id(number), "acme", "paint", {}, number)
        self.rows.add_pending(pending)
        event = Event(
            id=pending.id, ts=1, tenant="acme", category="administration",
            action="administer", outcome="allow", phase="intent",
        )  # fmt: skip
        self.log.append_blocking(event)
        return pending

    def events(self, tenant: str = "acme") -> list[Event]:
        reader = LogReader(self.store, self.log.verifier)
        return [entry.event for entry in reader.events(tenant, limit=1_000)]

    def results(self) -> list[tuple[str, str]]:
        return [(e.outcome, e.reason) for e in self.events() if e.phase == "result"]

    def left(self) -> list[Pending]:
        return self.rows.list_pending(after=(-1, ""), limit=1_000)

    def _finish(self, pending: Pending) -> Settled:
        self.asked.append(pending.id)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.log.close()


def test_the_row_comes_first_and_goes_last(desk: Desk) -> None:
    desk.paint()
    assert desk.steps.labels == [ROW, INTENT, "paint", RESULT, AWAY]
    intent, result = desk.events()
    assert (result.intent_id, result.id == intent.id) == (intent.id, False)
    assert desk.asked == []


@pytest.mark.parametrize("refusal", [AlreadyExists(), EpochExists()])
def test_a_refusal_is_recorded_by_its_code(desk: Desk, refusal: Any) -> None:
    with pytest.raises(type(refusal)):
        desk.paint(refusal)
    assert (desk.results(), desk.left(), desk.asked) == ([("error", refusal.code)], [], [])


@pytest.mark.parametrize("answer", [FINISHED, UNDONE])
def test_after_any_other_fault_the_finisher_is_asked(desk: Desk, answer: Settled) -> None:
    desk.answer = answer
    with pytest.raises(Broken):
        desk.paint(Broken())
    assert len(desk.asked) == 1
    assert (desk.results(), desk.left()) == ([(answer.outcome, answer.reason)], [])


def test_a_finisher_that_cannot_tell_is_asked_again(desk: Desk) -> None:
    desk.answer = StorageUnavailable()
    with pytest.raises(Broken):
        desk.paint(Broken())
    with pytest.raises(StorageUnavailable):
        desk.intents.settle_left()
    assert (len(desk.asked), desk.results(), len(desk.left())) == (2, [], 1)
    desk.answer = UNDONE
    desk.intents.settle_left()
    desk.intents.settle_left()
    assert (len(desk.asked), desk.results(), desk.left()) == (3, [("error", "interrupted")], [])


def test_where_the_row_cannot_be_written_nothing_begins(desk: Desk) -> None:
    for after in (False, True):
        desk.fail(len(desk.steps.labels), after=after)
        with pytest.raises(StorageUnavailable):
            desk.paint()
    assert len(desk.left()) == 1, "the second one was written nevertheless"
    desk.repair()
    desk.intents.settle_left()
    assert (desk.events(), desk.left(), desk.asked) == ([], [], [])


@pytest.mark.parametrize("written", [False, True])
def test_where_the_intent_cannot_be_recorded_nothing_is_changed(desk: Desk, written: bool) -> None:
    desk.fail(1, after=written)
    with pytest.raises(EvidenceUnavailable):
        desk.paint()
    assert "paint" not in desk.steps.labels
    assert (len(desk.events()), len(desk.left())) == (written, 1)
    desk.repair()
    desk.intents.settle_left()
    assert [event.phase for event in desk.events()] == ["intent", "result"]
    assert (desk.results(), desk.left(), desk.asked) == ([("error", "interrupted")], [], [])


@pytest.mark.parametrize("written", [False, True])
def test_a_result_that_cannot_be_recorded_is_recorded_later(desk: Desk, written: bool) -> None:
    desk.fail(3, after=written)
    with pytest.raises(EvidenceUnavailable):
        desk.paint()
    assert (len(desk.results()), len(desk.left())) == (written, 1)
    desk.repair()
    desk.answer = UNDONE  # for instance because somebody changed it back meanwhile
    desk.intents.settle_left()
    assert (desk.results(), desk.left(), desk.asked) == ([("done", "")], [], [])


def test_what_was_known_of_a_result_is_not_lost(desk: Desk) -> None:
    intent = desk.intents.begin("paint", "acme", {}, NOBODY)
    desk.fail(2)
    with pytest.raises(EvidenceUnavailable):
        intent.done(n_out=7)
    desk.repair()
    desk.intents.settle_left()
    assert desk.events()[-1].n_out == 7


def test_a_refusal_that_cannot_be_recorded_stays_a_refusal(desk: Desk) -> None:
    desk.fail(3)
    with pytest.raises(EvidenceUnavailable):
        desk.paint(AlreadyExists())
    desk.repair()
    desk.intents.settle_left()
    assert (desk.results(), desk.asked) == ([("error", "already_exists")], [])


def test_a_row_that_cannot_be_removed_takes_nothing_back(desk: Desk) -> None:
    desk.fail(4)
    desk.paint()
    assert (desk.results(), len(desk.left())) == ([("done", "")], 1)
    desk.repair()
    desk.intents.settle_left()
    assert (desk.results(), desk.left(), desk.asked) == ([("done", "")], [], [])


def test_one_that_cannot_be_settled_does_not_keep_the_others(desk: Desk) -> None:
    desk.answer = StorageUnavailable()
    with pytest.raises(Broken):
        desk.paint(Broken())
    desk.fail(len(desk.steps.labels) + 3)
    with pytest.raises(EvidenceUnavailable):
        desk.paint()
    desk.repair()
    with pytest.raises(StorageUnavailable):
        desk.intents.settle_left()
    assert [pending.id for pending in desk.left()] == desk.asked[:1]


def test_a_start_settles_each_row_by_what_the_log_says(desk: Desk) -> None:
    never = Pending(_id(1), "acme", "paint", {}, 1)
    desk.rows.add_pending(never)
    half, ended = desk.begun(2), desk.begun(3)
    event = Event(
        id=result_id(ended), ts=1, tenant="acme", category="administration",
        action="administer", outcome="error", reason="r", phase="result", intent_id=ended.id,
    )  # fmt: skip
    desk.log.append_blocking(event)
    assert desk.restarted().settle_all() == 3
    assert desk.asked == [half.id]
    assert (desk.results(), desk.left()) == ([("error", "r"), ("done", "reconciled")], [])
    assert desk.restarted().settle_all() == 0


def test_a_start_settles_more_than_one_page(desk: Desk) -> None:
    rows = [desk.begun(number) for number in range(1, 251)]
    assert desk.restarted().settle_all() == 250
    assert desk.asked == [row.id for row in rows]
    assert (len(desk.results()), desk.left()) == (250, [])


def test_a_start_refuses_what_it_does_not_know(desk: Desk) -> None:
    desk.rows.add_pending(Pending(_id(1), "acme", "sculpt", {}, 1))
    with pytest.raises(ConfigurationError):
        desk.restarted().settle_all()
    assert len(desk.left()) == 1


def test_a_start_does_not_go_on_without_an_answer(desk: Desk) -> None:
    desk.begun(1)
    desk.answer = StorageUnavailable()
    with pytest.raises(StorageUnavailable):
        desk.restarted().settle_all()
    assert (desk.results(), len(desk.left())) == ([], 1)


def test_a_result_is_in_the_log_once_however_often_it_is_written(desk: Desk) -> None:
    intent = desk.intents.begin("paint", "acme", {}, NOBODY)
    first = intent.done()
    assert desk.restarted().end(intent.pending, NOBODY, "error", reason="late") == first
    assert desk.results() == [("done", "")]


@pytest.mark.parametrize("step", [3, 4, 5])
@pytest.mark.parametrize("written", [False, True])
def test_whom_it_concerns_is_told_once(desk: Desk, step: int, written: bool) -> None:
    desk.fail(step, after=written, lasting=True)
    try:
        desk.paint(told="rival")
    except EvidenceUnavailable:
        assert step < 5
    desk.repair()
    desk.intents.settle_left()
    assert desk.results() == [("done", "")]
    assert [(e.outcome, e.phase) for e in desk.events("rival")] == [("done", "single")]


def test_nobody_is_told_of_what_was_not_done(desk: Desk) -> None:
    with pytest.raises(AlreadyExists):
        desk.paint(AlreadyExists(), told="rival")
    assert desk.events("rival") == []
