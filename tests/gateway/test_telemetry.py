from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import generate_latest

from gateway.telemetry import MAX_VERSIONS, Metrics, configure_logs

VERSION = ("acme", "m", "1")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    before = structlog.get_config()
    yield io.StringIO()
    structlog.configure(**before)


def test_a_log_line_is_one_object_with_a_time_and_a_level(stream: io.StringIO) -> None:
    configure_logs("info", stream)
    structlog.get_logger().info("door_open", door="public", port=1)
    structlog.get_logger().warning("line\nbreak")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["door"], first["port"], first["level"]) == (
        "door_open",
        "public",
        1,
        "info",
    )
    assert first["timestamp"].endswith("Z")
    assert second["event"] == "line\nbreak"


@pytest.mark.parametrize(
    ("level", "lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_what_is_below_the_level_is_left_out(stream: io.StringIO, level: str, lines: int) -> None:
    configure_logs(level, stream)
    log = structlog.get_logger()
    for write in (log.debug, log.info, log.warning, log.error):
        write("noun")
    assert len(stream.getvalue().splitlines()) == lines


def test_answers_are_counted_by_version_and_outcome() -> None:
    metrics = Metrics()
    for outcome, verdict in (
        ("answered", "pass"),
        ("answered", "flag"),
        ("output_refused", "block"),
        ("answered", "pass"),
    ):
        metrics.count_answer(VERSION, outcome, verdict, 0.003)
    of_version = dict(zip(("tenant", "model", "version"), VERSION, strict=True))
    sample = metrics.registry.get_sample_value
    assert sample("sealgate_requests_total", {**of_version, "outcome": "answered"}) == 3
    assert sample("sealgate_requests_total", {**of_version, "outcome": "output_refused"}) == 1
    assert sample("sealgate_screen_verdicts_total", {**of_version, "verdict": "pass"}) == 2
    assert sample("sealgate_screen_verdicts_total", {**of_version, "verdict": "block"}) == 1
    assert sample("sealgate_request_seconds_count", of_version) == 4
    assert sample("sealgate_request_seconds_bucket", {**of_version, "le": "0.005"}) == 4
    assert sample("sealgate_request_seconds_bucket", {**of_version, "le": "0.0025"}) == 0


def test_two_gateways_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.count_answer(VERSION, "answered", "pass", 0.1)
    assert b'model="m"' in generate_latest(one.registry)
    assert b'model="m"' not in generate_latest(other.registry)


def test_no_metric_has_a_label_for_a_person_or_a_caller() -> None:
    labels = {
        label
        for family in Metrics().registry._collector_to_names
        for label in family._labelnames  # type: ignore[attr-defined]
    }
    of_models = {"tenant", "model", "version", "outcome", "code", "verdict"}
    of_doors = {"door", "route", "status", "method"}
    assert labels == of_models | of_doors | {"memo", "reason"}


def test_metrics_of_many_models_are_bounded_and_those_asked_for_stay() -> None:
    """A process that had served every version of a year told of all of them."""
    metrics = Metrics()

    def told(number: int) -> float | None:
        labels = {"tenant": "acme", "model": f"m{number}", "version": "1", "outcome": "answered"}
        return metrics.registry.get_sample_value("sealgate_requests_total", labels)

    for number in range(3 * MAX_VERSIONS):
        metrics.count_answer(("acme", f"m{number}", "1"), "answered", "pass", 0.1)
        metrics.count_answer(("acme", f"m{number}", "1"), "output_refused", "block", 0.1)
        metrics.count_answer(("acme", "m0", "1"), "answered", "pass", 0.1)
    assert told(0) == 3 * MAX_VERSIONS + 1
    assert told(1) is None
    assert told(3 * MAX_VERSIONS - 1) == 1
    lines = generate_latest(metrics.registry).splitlines()
    assert len(lines) < 30 * MAX_VERSIONS
    assert len(metrics._answers) <= 2 * MAX_VERSIONS
    metrics.count_answer(("acme", "m1", "1"), "answered", "pass", 0.1)
    assert told(1) == 1, "it counts anew"


def test_error_codes_that_nobody_knows_are_one_series() -> None:
    metrics = Metrics()
    for reason in ("ok", "invalid_client", *(f"made up {n}" for n in range(50))):
        metrics.count_token("refused", reason)
    lines = [
        line
        for line in generate_latest(metrics.registry).decode().splitlines()
        if line.startswith("sealgate_tokens_total{")
    ]
    assert len(lines) == 3
    assert 'sealgate_tokens_total{outcome="refused",reason="other"} 50.0' in lines
