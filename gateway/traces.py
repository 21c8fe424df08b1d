"""Traces: W3C trace context in, a span for a request and one for each of its steps out.

Safety argument.
1. A span holds what this module names: steps of our own, a method of HTTP with the template of a
   route or a method of our own service, a status and the request's id. Nothing else that a caller
   sent gets in than the two ids of its `traceparent`; `tracestate` is not taken over.
2. A `traceparent` that is not exactly what the standard says is as none, and the standard's flag is
   obeyed: what the caller does not sample is not traced.
3. A request that is not traced pays a call of nothing for each step.

Only the API of OpenTelemetry is used here. Who exports is `gateway.composition.tracing`.

Source: W3C Trace Context (Recommendation, 23 November 2021), sections 3.2 and 4; for names of spans
and attributes OpenTelemetry's semantic conventions for HTTP and for gRPC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

MAX_TRACEPARENT: Final = 256
"""A later version may append to the 55 characters of this one; more than this is not read."""
METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
SERVER_FAULT: Final = 500
OTHER: Final = "_OTHER"
"""For what is none of the methods that are known."""
RPC_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""Statuses of gRPC that are errors of a server (semantic conventions, "Recording errors")."""
_RANDOM_DIGITS: Final = 8
"""At the end of a request's id (UUIDv7) that decide whether it is sampled."""

_TRACEPARENT = re.compile(
    rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
).fullmatch


class TraceParent(NamedTuple):
    """Which span called, and whether its trace is kept."""

    trace_id: int
    span_id: int
    sampled: bool


def parse_traceparent(value: bytes) -> TraceParent | None:
    """Read a `traceparent` header (sections 3.2.2 and 4.1); None for what is none."""
    found = _TRACEPARENT(value) if len(value) <= MAX_TRACEPARENT else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    parent = TraceParent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1))
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    return parent if parent.trace_id and parent.span_id else None


class Untraced:
    """A request that nobody traces."""

    __slots__ = ()
    trace_id = ""

    def step(self, name: str) -> None:
        """Do nothing."""

    def end(self, method: str, route: str, status: int) -> None:
        """Do nothing."""

    def end_rpc(self, method: str, status: str) -> None:
        """Do nothing."""

    def within(self, request_id: str) -> Untraced:  # noqa: ARG002  # a trace needs it
        """Return what nobody traces either."""
        return self


UNTRACED: Final = Untraced()


class Trace(Untraced):
    """One traced request: a span, and within it the steps one after another.

    Args:
        tracer: Takes the spans.
        context: Of the caller's span; empty for a trace that begins here.
        request_id: The request's id.
        now: Unix nanoseconds.
        kind: What the span stands for.

    Attributes:
        trace_id: 32 hexadecimal digits.
    """

    __slots__ = ("_inner", "_now", "_since", "_span", "_tracer", "trace_id")

    def __init__(
        self,
        tracer: Tracer,
        context: Context,
        request_id: str,
        now: Callable[[], int],
        kind: SpanKind = SpanKind.SERVER,
    ) -> None:
        self._tracer, self._now = tracer, now
        self._since = now()
        self._span = tracer.start_span(
            "request",
            context,
            kind,
            {"sealgate.request_id": request_id},
            start_time=self._since,
        )
        self._inner = set_span_in_context(self._span, Context())
        self.trace_id = f"{self._span.get_span_context().trace_id:032x}"

    def step(self, name: str) -> None:
        """Note that a step ended now; it began where the one before ended.

        Args:
            name: One of our own words.
        """
        ended = self._now()
        self._tracer.start_span(name, self._inner, start_time=self._since).end(ended)
        self._since = ended

    def end(self, method: str, route: str, status: int) -> None:
        """Note how the request ended.

        Args:
            method: Of the request.
            route: The template of its path, with no part of the path itself; may be empty.
            status: Of the answer; 0 when there was none.
        """
        known = method if method in METHODS else OTHER
        self._span.update_name(f"{known} {route}" if route else known)
        self._span.set_attribute("http.request.method", known)
        if route:
            self._span.set_attribute("http.route", route)
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if status >= SERVER_FAULT:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._now())

    def end_rpc(self, method: str, status: str) -> None:
        """Note how a call of gRPC, or one request of its stream, ended.

        Args:
            method: `service/method` of our own; empty for what is none.
            status: Name of the status that it ended with.
        """
        self._span.update_name(method or OTHER)
        self._span.set_attribute("rpc.system.name", "grpc")
        self._span.set_attribute("rpc.method", method or OTHER)
        self._span.set_attribute("rpc.response.status_code", status)
        if status in RPC_FAULTS:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._now())

    def within(self, request_id: str) -> Untraced:
        """Begin with one of the requests that this one holds, such as those of a stream.

        Args:
            request_id: Its id.
        """
        return Trace(self._tracer, self._inner, request_id, self._now, SpanKind.INTERNAL)


class Traces:
    """Begins the traces of a process; none, until it is told where spans go.

    Args:
        ratio: Share of the requests without a `traceparent` that begin a trace.
        now: Unix nanoseconds.
    """

    def __init__(self, ratio: float, now: Callable[[], int]) -> None:
        self._below = int(ratio * 16**_RANDOM_DIGITS)
        self._now = now
        self._tracer: Tracer | None = None

    def send_to(self, tracer: Tracer | None) -> None:
        """Let spans go to a tracer from now on, or nowhere."""
        self._tracer = tracer

    def begin(self, headers: Iterable[tuple[bytes, bytes]], request_id: str) -> Untraced:
        """Begin the trace of a request, if it is to be traced.

        Args:
            headers: Of the request, names in lower case.
            request_id: Its id.
        """
        tracer = self._tracer
        if tracer is None:
            return UNTRACED
        sent = [value for name, value in headers if name == b"traceparent"]
        parent = parse_traceparent(sent[0]) if len(sent) == 1 else None
        if parent is None:
            if int(request_id[-_RANDOM_DIGITS:], 16) >= self._below:
                return UNTRACED
            return Trace(tracer, Context(), request_id, self._now)
        if not parent.sampled:
            return UNTRACED
        flags = TraceFlags(TraceFlags.SAMPLED)
        span = NonRecordingSpan(SpanContext(parent.trace_id, parent.span_id, True, flags))
        return Trace(tracer, set_span_in_context(span, Context()), request_id, self._now)
