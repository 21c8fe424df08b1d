"""Log lines of requests: which, how many, and that nothing of a caller's is in them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.request_lines import (
    BURST_SECONDS,
    FAILED_A_SECOND,
    MAX_WAITING,
    REFUSED_A_SECOND,
    TELL_SECONDS,
    Ended,
    RequestLines,
    Share,
    line_of,
)

ENDED = Ended("public", "GET", "/v1/models", 200, 0.0123456, 9, "id")
REFUSED = ENDED._replace(status=404, problem="not_found")
FAILED = ENDED._replace(status=500, problem="internal", failed=True)


class Desk:
    def __init__(self, share: Share = "all", level: str = "info") -> None:
        self.now = 1000.0
        self.written: list[str] = []
        self.lines = RequestLines(
            self.written.append, clock=lambda: self.now, monotonic=lambda: self.now
        )
        self.lines.set(level, share)

    def told(self) -> list[dict[str, Any]]:
        self.lines.flush()
        text = "".join(self.written)
        self.written.clear()
        return [json.loads(line) for line in text.splitlines()]


def test_a_line_is_one_object_with_what_was_asked_and_how_it_ended() -> None:
    ended = ENDED._replace(receipt="audit.example/eu/acme/7")
    assert json.loads(line_of(1.5, ended)) == {
        "event": "request",
        "level": "info",
        "timestamp": "1970-01-01T00:00:01.500000Z",
        "request_id": "id",
        "door": "public",
        "method": "GET",
        "route": "/v1/models",
        "status": 200,
        "duration_ms": 12.346,
        "bytes": 9,
        "tenant": "acme",
        "audit": "audit.example/eu/acme/7",
    }
    assert line_of(1.5, ended).count("\n") == 1


def test_of_what_is_not_known_nothing_is_told() -> None:
    line = json.loads(line_of(0, Ended("grpc", "", "", "UNAUTHENTICATED", 0, 0, "id")))
    assert (line["route"], line["grpc_status"]) == (None, "UNAUTHENTICATED")
    assert {"method", "status", "tenant", "audit", "problem"}.isdisjoint(line)


@given(st.text(), st.text(), st.text())
def test_whatever_is_in_a_line_it_is_one_line(route: str, receipt: str, tenant: str) -> None:
    text = line_of(0, ENDED._replace(route=route, receipt=receipt, tenant=tenant))
    assert text.splitlines(keepends=True) == [text] or "\n" not in text[:-1]
    assert json.loads(text)["route"] == (route or None)


def test_the_share_decides_by_the_id_and_errors_always_get_a_line() -> None:
    low, high = "0" * 8, "f" * 8
    asked: dict[Share, list[bool]] = {"all": [True, True], "errors": [False, False]}
    asked |= {0.5: [True, False], 0.0: [False, False], 1.0: [True, True]}
    for share, wanted in asked.items():
        lines = Desk(share).lines
        assert [lines.wanted(each, served=True) for each in (low, high)] == wanted, share
        assert lines.wanted(high, served=False)


def test_above_info_there_are_no_lines() -> None:
    assert not Desk("all", "warning").lines.wanted("0" * 8, served=False)


def test_a_flood_of_refusals_is_bounded_and_told_of() -> None:
    desk = Desk()
    for _ in range(10_000):
        desk.lines.add(REFUSED, served=False)
    told = desk.told()
    most = REFUSED_A_SECOND * BURST_SECONDS
    assert [line["event"] for line in told] == ["request"] * most + ["request_lines_left_out"]
    assert told[-1]["count"] == 10_000 - most
    desk.lines.add(REFUSED, served=False)
    assert desk.told() == [], "it is told once in a while"
    desk.now += TELL_SECONDS
    desk.lines.add(REFUSED, served=False)
    assert [line.get("count") for line in desk.told()] == [None, 1]


def test_a_flood_of_refusals_hides_neither_faults_nor_what_is_served() -> None:
    desk = Desk()
    for _ in range(10_000):
        desk.lines.add(REFUSED, served=False)
    desk.told()
    desk.lines.add(FAILED, served=False)
    desk.lines.add(ENDED, served=True)
    assert [line["status"] for line in desk.told()] == [500, 200]
    for _ in range(10_000):
        desk.lines.add(FAILED, served=False)
    assert len(desk.told()) == FAILED_A_SECOND * BURST_SECONDS - 1


def test_what_waits_for_a_log_that_nobody_reads_is_bounded() -> None:
    desk = Desk()
    for _ in range(MAX_WAITING + 5):
        desk.lines.add(ENDED, served=True)
    assert desk.lines.left_out == 5
    assert len(desk.told()) == MAX_WAITING + 1


def test_the_thread_writes_what_is_left_at_the_end() -> None:
    desk = Desk()
    desk.lines.start()
    desk.lines.add(ENDED, served=True)
    for _ in range(500):
        desk.lines.add(REFUSED, served=False)
    desk.lines.close()
    told = [json.loads(line) for text in desk.written for line in text.splitlines()]
    assert [told[0]["status"], told[-1]["count"]] == [200, 400]
