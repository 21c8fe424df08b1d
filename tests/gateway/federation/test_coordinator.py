from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest, NotFound
from gateway.federation.coordinator import MAX_ANSWER, HttpCoordinator, RunOrder
from gateway.federation.errors import CoordinatorUnavailable
from gateway.federation.records import Federation, Run, Site

FEDERATION = Federation(
    "acme", "lungs", "m", ("a",), "logistic-regression", '{"features": 3}', 1, 60, 0, "c"
)
RUN = Run("run-1", "acme", "lungs", "2.0", 3, "starting", 0, "c", "care")


def _coordinator(
    answer: httpx.Response, seen: list[httpx.Request] | None = None
) -> HttpCoordinator:
    def handle(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return answer

    return HttpCoordinator(Path("x"), "secret", transport=httpx.MockTransport(handle))


def test_a_run_is_ordered_in_the_words_of_the_coordinator() -> None:
    seen: list[httpx.Request] = []
    coordinator = _coordinator(httpx.Response(202, json={}), seen)
    coordinator.start(RunOrder(RUN, FEDERATION, [Site("acme", "a", "key", "7", 0)]))
    body = json.loads(seen[0].content)
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert body["sites"] == [{"name": "a", "node_id": "7"}]
    assert body["config"] == {"features": 3}
    assert (body["run_id"], body["rounds"], body["quorum"]) == ("run-1", 3, 1)


def test_events_keep_what_is_known_and_leave_out_what_is_not() -> None:
    steps = [{"type": "site_error", "seq": 4, "site": "a", "code": "timeout", "round": None}]
    answer = httpx.Response(200, json={"events": steps, "state": "running"})
    page = _coordinator(answer).events("run-1", 3, 0.0)
    assert (page.events[0].code, page.events[0].round, page.state) == ("timeout", None, "running")


@given(st.binary(max_size=200))
def test_any_answer_is_a_value_or_our_error(body: bytes) -> None:
    with pytest.raises(CoordinatorUnavailable):
        _coordinator(httpx.Response(200, content=body)).events("run-1", 0, 0.0)


@pytest.mark.parametrize(
    ("status", "error"),
    [(422, InvalidRequest), (409, InvalidRequest), (401, CoordinatorUnavailable),
     (500, CoordinatorUnavailable), (404, CoordinatorUnavailable)],
)  # fmt: skip
def test_a_refusal_blames_the_request_only_when_the_coordinator_does(
    status: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        _coordinator(httpx.Response(status, json={})).result("run-1")


def test_what_is_absent_needs_no_removal() -> None:
    coordinator = _coordinator(httpx.Response(404))
    coordinator.forget("run-1")
    coordinator.remove_node("acme", "7")


def test_a_run_that_the_coordinator_does_not_know_is_told_from_no_answer() -> None:
    with pytest.raises(NotFound):
        _coordinator(httpx.Response(404, json={})).events("run-1", 0, 0.0)


def test_an_answer_is_bounded() -> None:
    with pytest.raises(CoordinatorUnavailable):
        _coordinator(httpx.Response(200, content=bytes(MAX_ANSWER + 1))).events("run-1", 0, 0.0)
