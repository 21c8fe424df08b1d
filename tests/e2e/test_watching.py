"""What an operator sees of a gateway that runs: metrics, dashboards, and lines of requests."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.dashboards import ROLES, asked, expressions, queries
from tests.deploy.test_monitoring import MONITORING
from tests.e2e.conftest import MakeHouse
from tests.e2e.house import House, told, until
from tests.e2e.prometheus import Prometheus, scraping
from tests.tools import require_tool

SECRET = "Marta-Example-1971"


@pytest.fixture(scope="module")
def watched(house: House) -> House:
    """The shared house after each kind of thing has happened that is counted."""
    assert house.infer().status_code == 200
    assert house.infer(client="bank-app").status_code == 404
    http = house.cast.http
    http.post(f"{house.url}/v2/models/digits/infer", content=b"{}")
    http.post(f"{house.url}/oauth/token", data={"grant_type": "client_credentials"})
    house.get("/v1/audit/events", "clinic-officer")
    return house


@pytest.fixture(scope="module")
def prometheus(watched: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program = require_tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus") / "place"
    target = watched.place.operations_url
    with scraping(program, folder, target, MONITORING / "rules.yaml") as running:
        yield running


def metrics(house: House) -> dict[str, set[str]]:
    """Labels by the names of the samples that a gateway tells."""
    text = httpx.get(f"{house.place.operations_url}/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("role", ROLES)
def test_each_expression_of_a_dashboard_is_one(prometheus: Prometheus, role: str) -> None:
    for expression in expressions(role):
        prometheus.query(expression)


@pytest.mark.parametrize("role", [role for role in ROLES if role != "federation"])
def test_each_metric_of_a_dashboard_is_told_by_a_gateway(
    prometheus: Prometheus, watched: House, role: str
) -> None:
    del prometheus  # it has scraped for a while
    known = metrics(watched)
    silent = {
        # Nothing of the kind has happened to the shared house.
        *("sealgate_rate_limited_total", "sealgate_certificate_expiry_timestamp_seconds"),
        *("sealgate_grpc_calls_total", "sealgate_jobs_ended_total"),
    }
    for expression in (*expressions(role), *queries(role)):
        for metric in asked(expression):
            if metric.name.startswith("sealgate_") and metric.name not in silent:
                assert metric.labels <= known[metric.name] | {"instance", "job"}, expression


def test_every_rule_can_be_worked_out(prometheus: Prometheus) -> None:
    health = until(
        lambda: (found := prometheus.alerts()) and "unknown" not in found.values() and found
    )
    assert set(health.values()) == {"ok"}, health


def test_what_happened_is_seen(prometheus: Prometheus) -> None:
    def value(expression: str) -> float:
        return sum(float(series["value"][1]) for series in prometheus.query(expression))

    assert value('sealgate_requests_total{outcome="answered"}') >= 1
    assert value('sealgate_refused_before_tenant_total{code="token_missing"}') >= 1
    assert value('sealgate_tokens_total{outcome="issued"}') >= 1
    assert value('sealgate_tokens_total{outcome="refused",reason="invalid_client"}') >= 1
    assert value('sealgate_http_requests_total{route="/oauth/token",status="200"}') >= 1
    assert value('sealgate_http_requests_total{route="/v1/audit/events",status="200"}') >= 1
    until(lambda: prometheus.query('sealgate_jobs{kind="batch"}'))


def requests_of(house: House, since: int) -> list[dict[str, Any]]:
    return [line for line in told(house, since) if line["event"] == "request"]


def test_a_request_has_a_line_that_names_it_and_nothing_that_was_sent(fresh: MakeHouse) -> None:
    house = fresh(log_requests="all")
    since = house.log_path.stat().st_size
    answered = house.infer(subject=SECRET)
    url = f"{house.url}/v1/models/{SECRET}%0a%1b%5b31m?token={SECRET}"
    absent = house.cast.http.get(url, headers={**house.bearer("clinic-owner"), "x-n": SECRET})
    unknown = house.cast.http.get(f"{house.url}/%0d%0a{SECRET}")
    wanted = {one.headers["sealgate-request-id"] for one in (answered, absent, unknown)}
    until(lambda: wanted <= {line["request_id"] for line in requests_of(house, since)})
    by_id = {line["request_id"]: line for line in requests_of(house, since)}
    first, second, third = (
        by_id[one.headers["sealgate-request-id"]] for one in (answered, absent, unknown)
    )
    assert (first["status"], first["tenant"]) == (200, "clinic")
    assert first["audit"] == answered.headers["sealgate-audit"]
    assert first["route"] == "/v2/models/{model}/infer"
    assert first["bytes"] == len(answered.content)
    assert first["duration_ms"] > 0
    assert (second["status"], second["route"]) == (404, "/v1/models/{model}")
    assert (second["problem"], second["tenant"]) == ("not_found", "clinic")
    assert (third["status"], third["route"]) == (404, None)
    assert SECRET not in house.log_path.read_text()


def test_by_default_what_is_refused_has_a_line(house: House) -> None:
    since = house.log_path.stat().st_size
    refused = house.cast.http.get(f"{house.url}/v1/models")
    name = refused.headers["sealgate-request-id"]
    (line,) = until(lambda: [x for x in requests_of(house, since) if x["request_id"] == name])
    assert (line["status"], line["problem"]) == (401, "token_missing")


def test_ten_thousand_malformed_requests_do_not_flood_the_log(fresh: MakeHouse) -> None:
    house = fresh()
    before = house.log_path.stat().st_size
    one = b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: g\r\ncontent-length: 2\r\n\r\n{}"
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", house.place.port), 60) as caller:
            for _ in range(100):
                caller.sendall(one)
                answer = b""
                while not answer.endswith(b"}"):
                    part = caller.recv(1 << 16)
                    assert part, answer
                    answer += part
                assert answer.startswith(b"HTTP/1.1 401")
    for head in (b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /\n\x1b[31m HTTP/9\r\n\r\n"):
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", house.place.port), 60) as caller:
                caller.sendall(head)
                caller.recv(1 << 16)
    until(lambda: "request_lines_left_out" in house.log_path.read_text())
    assert house.infer().status_code == 200
    house.stop()
    lines = told(house, before)
    left_out = sum(line["count"] for line in lines if line["event"] == "request_lines_left_out")
    seen = [line for line in lines if line["event"] == "request" and line["status"] == 401]
    assert len(seen) + left_out == 10_000
    assert house.log_path.stat().st_size - before < 2 << 20


def test_a_log_file_is_rotated_under_load_and_loses_no_line(fresh: MakeHouse) -> None:
    """By the ways that logrotate knows: moved away and told, and copied and cut short."""
    house = fresh(started=False)
    folder = house.place.folder / "logs"
    folder.mkdir()
    path = folder / "gateway.jsonl"
    toml = house.place.data / "sealgate.toml"
    toml.write_text(
        toml.read_text() + f'log_file = {json.dumps(str(path))}\nlog_requests = "all"\n'
    )
    house.start()
    names: list[str] = []

    def ask() -> None:
        for _ in range(20):
            names.append(house.infer().headers["sealgate-request-id"])

    ask()
    path.rename(folder / "gateway.jsonl.1")
    ask()
    os.kill(house.pid, signal.SIGHUP)
    until(lambda: path.exists() and '"reloaded"' in path.read_text())
    ask()
    until(lambda: names[-1] in path.read_text())
    shutil.copy(path, folder / "gateway.jsonl.2")
    os.truncate(path, 0)
    ask()
    house.stop()
    rotated = [folder / "gateway.jsonl.1", folder / "gateway.jsonl.2", path]
    found = [json.loads(line) for part in rotated for line in part.read_text().splitlines()]
    inference = [line for line in found if line.get("route") == "/v2/models/{model}/infer"]
    assert [line["request_id"] for line in inference] == names
    assert path.stat().st_mode & 0o777 == 0o640
    assert house.log_path.read_text() == ""


def test_metrics_of_many_models_are_bounded(watched: House) -> None:
    """The bound itself is tested in `tests/gateway/test_telemetry.py`."""
    text = httpx.get(f"{watched.place.operations_url}/metrics").text
    assert SECRET not in text
    assert not re.search(r'route="[^"]*(?:digits|clinic)', text), "templates, not paths"
    assert len(text.splitlines()) < 2_000
