from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.traces import MAX_TRACEPARENT, UNTRACED, TraceParent, Traces, parse_traceparent

pytest.importorskip("opentelemetry.sdk.trace", reason="the SDK comes with the `otel` extra")
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{SPAN}-01".encode()
LOW, HIGH = (f"00000000-0000-7000-8000-0000{tail}" for tail in ("00000000", "ffffffff"))


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"01-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what the future will be like", True),
    ],
)
def test_a_traceparent_is_read(value: str, sampled: bool) -> None:
    expected = TraceParent(int(TRACE, 16), int(SPAN, 16), sampled)
    assert parse_traceparent(value.encode()) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01 ",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more",
        f"0g-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01-" + "a" * MAX_TRACEPARENT,
    ],
)
def test_what_is_not_exactly_one_is_as_none(value: str) -> None:
    assert parse_traceparent(value.encode()) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_one_or_none(value: bytes) -> None:
    parsed = parse_traceparent(value)
    assert parsed is None or (parsed.trace_id > 0 and parsed.span_id > 0)


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 10
        return self.now


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traced(exporter: InMemorySpanExporter, ratio: float = 0.0) -> Traces:
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(ratio, Clock())
    traces.send_to(provider.get_tracer("test"))
    return traces


def seen(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return list(exporter.get_finished_spans())


def ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def test_the_steps_of_a_request_are_spans_within_its_own(exporter: InMemorySpanExporter) -> None:
    trace = traced(exporter).begin([(b"host", b"g"), (b"traceparent", SAMPLED)], HIGH)
    for name in ("read", "run"):
        trace.step(name)
    trace.end("POST", "/v2/models/{model}/infer", 503)
    read, run, whole = seen(exporter)
    assert ids(whole)[0] == ids(read)[0] == ids(run)[0] == trace.trace_id == TRACE
    assert whole.parent is not None
    assert whole.parent.span_id == int(SPAN, 16)
    assert whole.kind is SpanKind.SERVER
    assert whole.status.status_code is StatusCode.ERROR
    assert whole.name == "POST /v2/models/{model}/infer"
    assert dict(whole.attributes or {}) == {
        "sealgate.request_id": HIGH,
        "http.request.method": "POST",
        "http.route": "/v2/models/{model}/infer",
        "http.response.status_code": 503,
    }
    for step in (read, run):
        assert step.parent is not None
        assert f"{step.parent.span_id:016x}" == ids(whole)[1]
        assert dict(step.attributes or {}) == {}
    times = [(span.name, span.start_time, span.end_time) for span in (read, run)]
    assert times == [("read", 10, 20), ("run", 20, 30)]
    assert (whole.start_time, whole.end_time) == (10, 40)


def test_what_the_caller_does_not_sample_is_not_traced(exporter: InMemorySpanExporter) -> None:
    traces = traced(exporter, ratio=1.0)
    assert traces.begin([(b"traceparent", SAMPLED[:-2] + b"00")], LOW) is UNTRACED


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"traceparent", b"broken")],
        [(b"traceparent", SAMPLED), (b"traceparent", SAMPLED)],
        [(b"tracestate", b"a=MARKER")],
    ],
)
def test_without_a_parent_a_share_begins_a_trace_of_its_own(
    exporter: InMemorySpanExporter, headers: Any
) -> None:
    for ratio, request_id, begun in (
        (0.0, LOW, False),
        (0.5, LOW, True),
        (0.5, HIGH, False),
        (1.0, HIGH, True),
    ):
        trace = traced(exporter, ratio).begin(headers, request_id)
        assert (trace is not UNTRACED) == begun
        trace.end("GET", "", 200)
    assert all(span.parent is None for span in seen(exporter))
    assert TRACE not in {ids(span)[0] for span in seen(exporter)}


def test_nothing_that_was_sent_is_in_a_span(exporter: InMemorySpanExporter) -> None:
    headers = [(b"traceparent", SAMPLED), (b"tracestate", b"a=MARKER"), (b"baggage", b"b=MARKER")]
    trace = traced(exporter).begin(headers, HIGH)
    trace.end("MARKER", "", 0)
    (span,) = seen(exporter)
    assert span.name == "_OTHER"
    assert "MARKER" not in str(span.to_json())


def test_before_there_is_anywhere_to_send_them_there_are_no_traces() -> None:
    traces = Traces(1.0, Clock())
    assert traces.begin([(b"traceparent", SAMPLED)], LOW) is UNTRACED
    UNTRACED.step("read")
    UNTRACED.end("GET", "", 200)
    assert UNTRACED.trace_id == ""
