"""Spans of a served gateway, as a collector receives them."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.composition.tracing import Tracing
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from tests.gateway.identity.fakes import URL
from tests.gateway.place import Place, served_place
from tests.gateway.serving import HTTPTOOLS
from tests.gateway.web.wire import Wire, request

pytest.importorskip("opentelemetry.sdk.trace", reason="the SDK comes with the `otel` extra")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE = 60.0
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
MARKER = "MARKER-5d41"


class Collector:
    """Takes spans over OTLP/HTTP."""

    def __init__(self) -> None:
        self.bodies: queue.Queue[tuple[str, bytes]] = queue.Queue()
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                bodies.put((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def spans(self) -> tuple[list[Any], dict[str, str], bytes]:
        """Spans of the next export, what they are from, and its bytes."""
        path, body = self.bodies.get(timeout=PATIENCE)
        assert path == "/v1/traces"
        (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
        (scope,) = resource.scope_spans
        told = {one.key: one.value.string_value for one in resource.resource.attributes}
        return list(scope.spans), told, body


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        thread.join()
        collector.server.server_close()


def ask(place: Place, target: str, token: str, *headers: str, body: bytes = b"") -> Any:
    with Wire(place.served.ports[HTTPTOOLS]) as wire:
        method = "POST" if body else "GET"
        length = (f"content-length: {len(body)}",) if body else ()
        wire.send(request(method, target, token, *length, *headers) + body)
        return wire.answer()


def test_a_collector_receives_the_steps_and_nothing_of_anybody(tmp_path: Path) -> None:
    with (
        collecting() as collector,
        served_place(tmp_path, traces_endpoint=collector.endpoint, traces_ratio=0.0) as place,
    ):
        tenant = place.tenant("clinic")
        with place.client(tenant, "caller") as caller:
            token = caller.headers("GET", "/")["authorization"]
        secret = str(token).removeprefix("Bearer ")
        parent = f"traceparent: 00-{TRACE}-{SPAN}-01"
        body = b'{"id": "%b", "inputs": []}' % MARKER.encode()
        answer = ask(
            place, f"/v2/models/{MARKER.lower()}/infer?q={MARKER}", secret, parent, body=body
        )
        assert answer.status == 404
        assert ask(place, f"/v1/models/{MARKER.lower()}", secret, parent).status == 404
        untraced = f"traceparent: 00-{TRACE}-{SPAN}-00"
        assert ask(place, "/v2/health/live", "", untraced).status == 200
        assert ask(place, "/v2/health/live", "").status == 200
        spans, told, _ = exported = collector.spans()
        while sum(span.kind == span.SPAN_KIND_SERVER for span in spans) < 2:
            more, _, sent = collector.spans()
            spans += more
            exported = (spans, told, exported[2] + sent)
        events = [
            entry.event for entry in place.foundation.reader.events(tenant, after=-1, limit=9)
        ]
    assert told == {"service.name": "sealgate", "service.version": told["service.version"]}
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    whole = {span.name: span for span in spans if span.kind == span.SPAN_KIND_SERVER}
    assert set(whole) == {"POST /v2/models/{model}/infer", "GET /v1/models/{model}"}
    inference = whole["POST /v2/models/{model}/infer"]
    steps = [span.name for span in spans if span.parent_span_id == inference.span_id]
    assert steps == ["authenticate", "record"], "a model that is absent has no more steps"
    attributes = {one.key: one.value for one in inference.attributes}
    request_id = answer.header(b"sealgate-request-id").decode()
    assert attributes["sealgate.request_id"].string_value == request_id
    assert attributes["http.response.status_code"].int_value == 404
    assert [event.trace_id for event in events if event.id == request_id] == [TRACE]
    for text in (MARKER, MARKER.lower(), secret, "clinic"):
        assert text.encode() not in exported[2]
    assert collector.bodies.empty()


def test_the_end_of_the_process_sends_what_is_left(tmp_path: Path) -> None:
    with collecting() as collector:
        with served_place(tmp_path, traces_endpoint=collector.endpoint, traces_ratio=1.0) as place:
            ask(place, "/v2", "")
        spans, _, _ = collector.spans()
    # The place looks at its own document as it ends.
    assert [span.name for span in spans if "openapi" not in span.name] == ["GET /v2"]


def settings(**changes: object) -> Settings:
    given = {"data_dir": Path("/d"), "public_url": URL, "audit_origin": "log", **changes}
    return Settings(**given)  # type: ignore[arg-type]


def test_a_collector_that_is_gone_holds_nobody_up() -> None:
    tracing = Tracing(
        settings(traces_endpoint="http://127.0.0.1:1/v1/traces", traces_ratio=1.0), lambda: 1.0
    )
    tracing.start()
    for _ in range(10_000):
        trace = tracing.traces.begin([], "0" * 8)
        trace.step("read")
        trace.end("GET", "", 200)
    tracing.close()


def test_without_the_extra_the_setting_refuses_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(ConfigurationError) as refused:
        Tracing(settings(traces_endpoint="http://127.0.0.1:4318/v1/traces"), lambda: 1.0)
    assert "sealgate[otel]" in refused.value.advice
    Tracing(settings(), lambda: 1.0)


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("http://collector:4318/v1/traces", "https"),
        ("http://10.0.0.7:4318/v1/traces", "https"),
        ("https://collector:4318", "path"),
        ("https://collector:4318/", "path"),
        ("https://user:secret@collector/v1/traces", "user"),
        ("grpc://127.0.0.1:4317/x", "http"),
        ("collector:4318/v1/traces", "http"),
    ],
)
def test_an_unsafe_collector_refuses_the_start(endpoint: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        settings(traces_endpoint=endpoint)
    settings(traces_endpoint="https://collector:4318/v1/traces")
