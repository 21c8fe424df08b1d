from __future__ import annotations

import threading
from collections import Counter
from itertools import count
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from audit.event import PLATFORM_TENANT
from gateway.composition.foundation import open_foundation
from gateway.composition.housekeeping import Duty, Housekeeping, Refusals
from gateway.errors import EvidenceUnavailable
from gateway.settings import load_settings
from tests.gateway.parts import house
from tests.gateway.place import ENVIRONMENT, served_place


def test_unauthenticated_callers_are_recorded_as_one_number_a_code_and_only_when_there_are_more() -> (
    None
):
    counted: Counter[str] = Counter()
    with house() as parts:
        refusals = Refusals(lambda: counted, parts.recorder)
        refusals.record()
        counted.update({"token_missing": 3, "invalid_token": 1})
        refusals.record()
        refusals.record()
        counted["token_missing"] += 2
        refusals.record()
        events = parts.events(PLATFORM_TENANT)
    said = [(e["action"], e["category"], e["outcome"], e["reason"], e["n_in"]) for e in events]
    assert said == [
        ("refuseUnauthenticated", "identity", "deny", "invalid_token", 1),
        ("refuseUnauthenticated", "identity", "deny", "token_missing", 3),
        ("refuseUnauthenticated", "identity", "deny", "token_missing", 2),
    ]


def test_what_cannot_be_recorded_is_added_to_the_next_number() -> None:
    counted = Counter({"token_missing": 3})
    with house() as parts:
        refusals = Refusals(lambda: counted, parts.recorder)
        parts.log.close()
        with pytest.raises(EvidenceUnavailable):
            refusals.record()
    counted["token_missing"] += 1
    with house() as parts:
        refusals._recorder = parts.recorder
        refusals.record()
        assert [event["n_in"] for event in parts.events(PLATFORM_TENANT)] == [4]


class Diary:
    """A clock to set, and duties that write down when they were done."""

    def __init__(self) -> None:
        self.now = 100.0
        self.done: list[tuple[str, float]] = []
        self.broken = False

    def duty(self, name: str, every: float) -> Duty:
        return Duty(name, lambda: self.note(name), every)

    def note(self, name: str) -> None:
        self.done.append((name, self.now))
        if self.broken:
            raise OSError("/home/somebody is full")

    def housekeeping(self, *duties: Duty) -> Housekeeping:
        return Housekeeping(
            lambda: self.note("first"),
            duties,
            lambda: self.note("last"),
            monotonic=lambda: self.now,
        )


def test_each_duty_is_done_when_its_period_is_over() -> None:
    diary = Diary()
    keeping = diary.housekeeping(diary.duty("minute", 60), diary.duty("ten", 600))
    keeping.start()
    keeping.close()  # the thread has ended; from here on the test is the clock
    diary.done.clear()
    assert keeping.catch_up() == 60
    for diary.now in (159.0, 160.0, 161.0, 700.0, 701.0):
        keeping.catch_up()
    assert diary.done == [("minute", 160.0), ("minute", 700.0), ("ten", 700.0)]
    assert keeping.catch_up() == 59


def test_first_and_last_are_done_once() -> None:
    diary = Diary()
    keeping = diary.housekeeping(diary.duty("minute", 60))
    keeping.start()
    assert diary.done == [("first", 100.0)]
    keeping.close()
    assert diary.done == [("first", 100.0), ("last", 100.0)]


def test_a_fault_is_told_by_its_kind_and_ends_nothing() -> None:
    diary = Diary()
    diary.broken = True
    keeping = diary.housekeeping(diary.duty("minute", 60), diary.duty("also", 60))
    with capture_logs() as told:
        keeping.start()
        keeping.close()
        for diary.now in (160.0, 220.0):
            keeping.catch_up()
    assert [name for name, _ in diary.done] == [
        *("first", "last"),
        *("minute", "also", "minute", "also"),
    ]
    assert {(line["event"], line["fault"]) for line in told} == {("duty_failed", "OSError")}
    assert "somebody" not in str(told)


def test_the_thread_goes_on_after_a_fault() -> None:
    times = count()
    thrice = threading.Event()
    seen: list[int] = []

    def act() -> None:
        seen.append(1)
        if len(seen) == 3:
            thrice.set()
        raise RuntimeError

    keeping = Housekeeping(
        lambda: None, [Duty("broken", act, 1)], lambda: None, monotonic=lambda: float(next(times))
    )
    with capture_logs():
        keeping.start()
        assert thrice.wait(30)
        keeping.close()


def test_a_gateway_records_unauthenticated_callers_at_its_end_and_empties_its_staging_area(
    tmp_path: Path,
) -> None:
    with served_place(tmp_path) as place:
        httpx.get(f"{place.url}/v1/models")
        httpx.get(f"{place.url}/v1/models", headers={"authorization": "Bearer x"})
        for _ in range(2):
            form = {"grant_type": "client_credentials"}
            httpx.post(f"{place.url}/oauth/token", data=form, auth=("nobody", "x"))
    (staging,) = (tmp_path / "data" / "artifacts").glob("staging*")
    left = staging / "of-a-dead-process"
    left.write_bytes(b"sealed")
    with open_foundation(load_settings(tmp_path / "data"), ENVIRONMENT) as base:
        found = [entry.event for entry in base.reader.events(PLATFORM_TENANT)]
    told = {event.reason: event.n_in for event in found if event.action == "refuseUnauthenticated"}
    assert told == {"token_missing": 1, "invalid_token": 1, "invalid_client": 2}
    with served_place(tmp_path):
        assert not left.exists()
