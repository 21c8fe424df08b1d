"""Spans, ids and log lines of calls: what of a call they tell, and of which one."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from gateway.grpc.http2 import frames
from gateway.grpc.status import Status
from gateway.traces import Traces
from tests.audit.samples import until
from tests.gateway.grpc.door import Door, opened, request
from tests.gateway.grpc.peer import INFER, STREAM, Heard, message
from tests.gateway.grpc.test_stream import told
from tests.gateway.inference.works import STRANGE, Works, works

pytest.importorskip("opentelemetry.sdk.trace", reason="the SDK comes with the `otel` extra")
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = ("traceparent", f"00-{TRACE}-{SPAN}-01")
MARKER = "MARKER-5d41"
STEPS = ["authenticate", "route", "read", "decide", "load", "run", "decide", "render", "record"]


@dataclass
class Spans:
    """Takes the spans of a door."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def traces(self, ratio: float = 0.0) -> Traces:
        provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        times = itertools.count(1)
        traces = Traces(ratio, lambda: next(times))
        traces.send_to(provider.get_tracer("test"))
        return traces

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def of(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.all() if span.kind is kind and span.attributes]

    def steps(self, span: ReadableSpan) -> list[str]:
        return [one.name for one in self.all() if not one.attributes and within(one, span)]


def within(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    context = outer.get_span_context()
    assert context is not None
    return inner.parent is not None and inner.parent.span_id == context.span_id


def status(span: ReadableSpan) -> tuple[object, StatusCode]:
    return (span.attributes or {})["rpc.response.status_code"], span.status.status_code


@pytest.fixture
def shop() -> Iterator[Works]:
    with works() as made:
        made.publish()
        yield made


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def door(shop: Works, spans: Spans) -> Iterator[Door]:
    with opened(shop, traces=spans.traces()) as served:
        yield served


def test_a_call_is_a_span_of_its_callers_trace_with_its_steps(door: Door, spans: Spans) -> None:
    with door.peer() as peer:
        heard = peer.call(request(), door.bearer(), SAMPLED)
    until(lambda: bool(spans.of(SpanKind.SERVER)))
    (whole,) = spans.of(SpanKind.SERVER)
    assert whole.parent is not None
    assert f"{whole.parent.trace_id:032x}-{whole.parent.span_id:016x}" == f"{TRACE}-{SPAN}"
    assert whole.name == INFER[1:]
    assert dict(whole.attributes or {}) == {
        "sealgate.request_id": heard.told["sealgate-request-id"],
        "rpc.system.name": "grpc",
        "rpc.method": INFER[1:],
        "rpc.response.status_code": "OK",
    }
    assert spans.steps(whole) == STEPS
    (event,) = door.shop.events()
    assert event["trace_id"] == TRACE
    assert event["request_id"] == heard.told["sealgate-request-id"]


@pytest.mark.parametrize(
    "sent",
    [
        [("traceparent", SAMPLED[1][:-2] + "00")],
        [("traceparent", MARKER)],
        [("traceparent", "")],
        [("traceparent", SAMPLED[1] + "-x")],
        [("traceparent", SAMPLED[1].upper())],
        [("traceparent", "00-" + "f" * 20_000)],
        [SAMPLED, SAMPLED],
        [("traceparent-bin", SAMPLED[1]), ("tracestate", "a=b")],
    ],
)
def test_what_is_not_sampled_or_no_traceparent_is_answered_and_not_traced(
    door: Door, spans: Spans, sent: list[tuple[str, str]]
) -> None:
    with door.peer() as peer:
        assert peer.call(request(), door.bearer(), *sent).status == Status.OK
    until(lambda: not door.server.works)
    assert spans.all() == []
    assert "trace_id" not in door.shop.events()[0]


def test_a_share_of_the_calls_without_one_begins_a_trace(shop: Works, spans: Spans) -> None:
    with opened(shop, traces=spans.traces(1.0)) as door, door.peer() as peer:
        assert peer.call(b"", path="/grpc.health.v1.Health/Check").status == Status.OK
        assert peer.call(b"", path=f"/{MARKER}").status == Status.UNIMPLEMENTED
    assert [span.name for span in spans.all()] == ["grpc.health.v1.Health/Check", "_OTHER"]
    assert all(span.parent is None for span in spans.all())
    assert [status(span) for span in spans.all()] == [
        ("OK", StatusCode.UNSET),
        ("UNIMPLEMENTED", StatusCode.ERROR),
    ]


def test_what_is_no_call_of_grpc_is_a_request_of_http(door: Door, spans: Spans) -> None:
    with door.peer() as peer:
        pairs = [(":method", "POST"), (":scheme", "http"), (":path", INFER), SAMPLED]
        block = peer.encoder.encode([*pairs, ("content-type", "application/json")])
        flags = frames.END_HEADERS | frames.END_STREAM
        peer.send(frames.frame(frames.HEADERS, flags, 1, block))
        heard = peer.answer(1)
    until(lambda: bool(spans.all()))
    (span,) = spans.all()
    assert (span.name, (span.attributes or {})["http.response.status_code"]) == ("POST", 415)
    assert (span.attributes or {})["sealgate.request_id"] == heard.told["sealgate-request-id"]


def test_each_request_of_a_stream_is_a_span_within_the_streams(door: Door, spans: Spans) -> None:
    count, wide = 1_000, 1 << 24
    with door.peer(settings=((frames.INITIAL_WINDOW_SIZE, wide),)) as peer:
        peer.send(frames.window_update(0, wide))
        number = peer.begin(STREAM, door.bearer(), SAMPLED)
        for at in range(count):
            content = request(STRANGE) if at == 3 else request()
            peer.data(number, message(content), end=at == count - 1)
            while at % 100 == 99 and len(peer.heard.setdefault(number, Heard()).messages) <= at:
                assert peer.more()  # no more than the window of the stream lets in
        heard = peer.answer(number)
    assert (heard.status, len(heard.messages)) == (Status.OK, count)
    until(lambda: bool(spans.of(SpanKind.SERVER)))
    (stream,) = spans.of(SpanKind.SERVER)
    assert (stream.name, status(stream)) == (STREAM[1:], ("OK", StatusCode.UNSET))
    assert spans.steps(stream) == []
    inner = [span for span in spans.of(SpanKind.INTERNAL) if within(span, stream)]
    assert Counter(status(span)[0] for span in inner) == {"OK": count - 1, "PERMISSION_DENIED": 1}
    ids = {(span.attributes or {})["sealgate.request_id"] for span in inner}
    assert ids == {event["request_id"] for event in door.shop.events()}
    assert len(ids) == count
    assert {event["trace_id"] for event in door.shop.events()} == {TRACE}
    parents = Counter(span.parent.span_id for span in spans.all() if span.parent is not None)
    assert set(parents.values()) == {1, count, len(STEPS), len(STEPS) - 1}
    assert max(len(str(span.to_json())) for span in spans.all()) < 2_000


def test_a_deadline_that_passes_ends_all_spans(shop: Works, spans: Spans) -> None:
    gate = shop.gate()
    with opened(shop, traces=spans.traces()) as door, door.peer() as peer:
        for path in (INFER, STREAM):
            number = peer.begin(path, door.bearer(), SAMPLED, ("grpc-timeout", "100m"))
            peer.data(number, message(request()), end=path == INFER)
            assert peer.answer(number).status == Status.DEADLINE_EXCEEDED
        until(lambda: len(spans.of(SpanKind.SERVER)) == 2)
        gate.go.set()
    late = ("DEADLINE_EXCEEDED", StatusCode.ERROR)
    assert [status(span) for span in spans.of(SpanKind.SERVER)] == [late, late]
    (inner,) = spans.of(SpanKind.INTERNAL)
    assert status(inner) == ("CANCELLED", StatusCode.UNSET)
    for span in (spans.of(SpanKind.SERVER)[0], inner):
        assert spans.steps(span)[-1] == "record"


def test_a_deadline_that_has_passed_ends_its_span(door: Door, spans: Spans) -> None:
    with door.peer() as peer:
        number = peer.begin(INFER, door.bearer(), SAMPLED, ("grpc-timeout", "0n"))
        assert peer.answer(number).status == Status.DEADLINE_EXCEEDED
    until(lambda: bool(spans.all()))
    assert [status(span)[0] for span in spans.of(SpanKind.SERVER)] == ["DEADLINE_EXCEEDED"]


def test_a_caller_who_cancels_ends_the_spans(shop: Works, spans: Spans) -> None:
    gate = shop.gate()
    with opened(shop, traces=spans.traces()) as door, door.peer() as peer:
        number = peer.begin(INFER, door.bearer(), SAMPLED)
        peer.data(number, message(request()))
        assert gate.reached.wait(10)
        peer.send(frames.reset(number, frames.CANCEL))
        until(lambda: bool(spans.of(SpanKind.SERVER)))
        gate.go.set()
    (whole,) = spans.of(SpanKind.SERVER)
    assert status(whole) == ("CANCELLED", StatusCode.UNSET)
    assert spans.steps(whole)[-1] == "record"


def test_nothing_that_was_sent_is_in_a_span(door: Door, spans: Spans) -> None:
    door.shop.publish(model="personal", personal=True)
    more = (SAMPLED, ("tracestate", f"a={MARKER}"), ("baggage", f"b={MARKER}"), ("x-a", MARKER))
    content = request(model="personal", id=MARKER, subject=MARKER, hint=MARKER)
    with door.peer() as peer:
        assert peer.call(content, door.bearer(), *more).status == Status.OK
        for wrong in (request(model=MARKER), MARKER.encode()):
            peer.call(wrong, door.bearer(), *more)
        peer.call(request(), ("authorization", f"Bearer {MARKER}"), *more)
        peer.call(b"", *more, path=f"{INFER}/{MARKER}?{MARKER}")
        number = peer.begin(STREAM, door.bearer(), *more)
        peer.data(number, message(request(model=MARKER, id=MARKER)))
        assert told(peer.answer(number))[0][0] == "no such model"
    until(lambda: len(spans.of(SpanKind.SERVER)) == 6)
    written = "".join(str(span.to_json()) for span in spans.all())
    token = door.bearer()[1].removeprefix("Bearer ")
    for text in (MARKER, token, "personal", "acme", "care"):
        assert text not in written, text


class Broken:
    def known(self, *_: object) -> None:
        raise ValueError(MARKER)


@pytest.mark.parametrize("path", [INFER, STREAM])
def test_a_fault_of_ours_is_logged_with_the_id_of_its_request(
    shop: Works, spans: Spans, path: str
) -> None:
    broken: Any = Broken()
    shop.routes = broken
    with (
        structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as got,
        opened(shop, traces=spans.traces()) as door,
        door.peer() as peer,
    ):
        heard = peer.call(request(), door.bearer(), SAMPLED, path=path)
    assert heard.status == Status.INTERNAL
    ids = [line.pop("request_id") for line in got]
    line = {"event": "request_failed", "fault": "ValueError", "log_level": "error"}
    assert got == [line] * (1 if path == INFER else 2)
    assert ids[0] == shop.events()[-1]["request_id"]
    assert ids[-1] == heard.told["sealgate-request-id"]
    assert {status(span)[0] for span in spans.all() if span.attributes} == {"INTERNAL"}


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (request(), []),
        (request(), [("authorization", "Bearer x")]),
        (b"\xff", [SAMPLED]),
        (request(model="absent"), [SAMPLED]),
    ],
    ids=["answered", "no token", "malformed", "absent"],
)
@pytest.mark.parametrize("path", [INFER, STREAM, f"/{MARKER}"])
def test_every_answer_names_its_request(
    door: Door, content: bytes, sent: list[tuple[str, str]], path: str
) -> None:
    with door.peer() as peer:
        who = [] if sent and sent[0][0] == "authorization" else [door.bearer()]
        heard: list[Heard] = [peer.call(content, *who, *sent, path=path) for _ in range(2)]
    ids = {one.told["sealgate-request-id"] for one in heard}
    assert len(ids) == 2
    assert all(len(found) == 36 for found in ids)
