"""Counts and log lines of calls over gRPC."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.grpc.ended import CallsEnded
from gateway.request_lines import RequestLines
from gateway.telemetry import Metrics
from tests.audit.samples import until
from tests.gateway.grpc.door import Door, opened, request
from tests.gateway.grpc.peer import INFER, STREAM, message
from tests.gateway.inference.works import CLEAN, STRANGE, works
from tests.gateway.parts import TENANT

SECRET = "Marta-Example-1971"
METHOD = INFER[1:]


@dataclass
class Noted:
    written: list[str] = field(default_factory=list)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        times = itertools.count()
        self.lines = RequestLines(
            self.written.append, clock=lambda: 0.0, monotonic=lambda: float(next(times))
        )
        self.lines.set("info", "all")

    def ended(self) -> CallsEnded:
        def count(method: str, status: str) -> None:
            self.calls[method, status] += 1

        return CallsEnded(count, self.lines)

    def told(self) -> list[dict[str, Any]]:
        self.lines.flush()
        return [json.loads(line) for text in self.written for line in text.splitlines()]


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def door(noted: Noted) -> Iterator[Door]:
    with works() as shop:
        shop.publish()
        with opened(shop, ended=noted.ended()) as served:
            yield served


def test_a_call_is_counted_and_has_a_line(door: Door, noted: Noted) -> None:
    with door.peer() as peer:
        heard = peer.call(request(id=SECRET), door.bearer(), ("x-note", SECRET))
    until(lambda: noted.calls.total() > 0)
    assert noted.calls == {(METHOD, "OK"): 1}
    (line,) = noted.told()
    assert line["route"] == METHOD
    assert (line["door"], line["grpc_status"], line["tenant"]) == ("grpc", "OK", TENANT)
    assert line["request_id"] == heard.told["sealgate-request-id"]
    assert line["audit"] == heard.told["sealgate-audit"]
    assert line["bytes"] == len(heard.messages[0])
    assert line["duration_ms"] > 0
    assert SECRET not in str(line)


def test_what_is_refused_is_told_with_its_reason(door: Door, noted: Noted) -> None:
    with door.peer() as peer:
        peer.call(request(), ("authorization", f"Bearer {SECRET}"))
        peer.call(request(STRANGE), door.bearer())
        number = peer.begin(f"/{SECRET}/{SECRET}", door.bearer())
        peer.data(number, message(b""))
        peer.answer(number)
    until(lambda: noted.calls.total() == 3)
    told = noted.told()
    assert [(line["route"], line["grpc_status"], line["problem"]) for line in told] == [
        (METHOD, "UNAUTHENTICATED", "invalid_token"),
        (METHOD, "PERMISSION_DENIED", "output_refused"),
        (None, "UNIMPLEMENTED", "unknown_method"),
    ]
    assert told[1]["tenant"] == TENANT
    assert SECRET not in str(told)
    assert ("", "UNIMPLEMENTED") in noted.calls


def test_each_request_of_a_stream_has_a_line_and_the_stream_is_one_call(
    door: Door, noted: Noted
) -> None:
    with door.peer() as peer:
        number = peer.begin(STREAM, door.bearer())
        for x in (CLEAN[:1], STRANGE, CLEAN[:1]):
            peer.data(number, message(request(x)), end=False)
        peer.data(number, b"")
        peer.answer(number)
    until(lambda: noted.calls.total() > 0)
    assert noted.calls == {(STREAM[1:], "OK"): 1}
    told = noted.told()
    assert len({line["request_id"] for line in told}) == 4
    assert Counter(line["grpc_status"] for line in told) == {"OK": 3, "PERMISSION_DENIED": 1}


def test_methods_and_statuses_are_the_labels() -> None:
    metrics = Metrics()
    metrics.count_call(METHOD, "OK")
    metrics.count_call(METHOD, "OK")
    metrics.count_call("", "UNIMPLEMENTED")
    value = metrics.registry.get_sample_value
    assert value("sealgate_grpc_calls_total", {"method": METHOD, "status": "OK"}) == 2
    none = {"method": "none", "status": "UNIMPLEMENTED"}
    assert value("sealgate_grpc_calls_total", none) == 1
