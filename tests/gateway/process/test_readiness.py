"""Ready means now: what a gateway stands on is looked at each time, and named."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp

from gateway.backup import newest
from gateway.composition.foundation import Foundation, open_foundation
from gateway.composition.gateway import compose
from gateway.demo.place import _make_certificates
from gateway.process.doors import Door
from gateway.process.handshakes import Certificate
from gateway.process.readiness import KEPT_SECONDS, Readiness
from gateway.process.resources import Resources, watch
from gateway.settings import load_settings
from tests.audit.samples import until
from tests.gateway.place import ENVIRONMENT, found_folder
from tests.gateway.web.in_process import call

INFER = "/v2/models/m/infer"


def fail() -> None:
    raise OSError("gone")


def test_what_fails_is_named_and_the_rest_is_not() -> None:
    readiness = Readiness({"database": fail, "keystore": lambda: None, "artifact store": fail})
    assert asyncio.run(readiness.failing()) == ["database", "artifact store"]


def test_what_hangs_is_not_well_and_is_not_looked_at_twice() -> None:
    go, looks = threading.Event(), []

    def hang() -> None:
        looks.append(True)
        assert go.wait(30)

    async def scenario() -> None:
        readiness = Readiness({"database": hang, "keystore": lambda: None}, 0.5)
        for _ in range(2):
            assert await readiness.failing() == ["database"]
            await asyncio.sleep(KEPT_SECONDS)
        assert len(looks) == 1
        go.set()
        async with asyncio.timeout(20):
            while await readiness.failing():  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.1)

    asyncio.run(scenario())


def test_many_who_ask_at_once_cost_one_look() -> None:
    looks: list[bool] = []

    async def scenario() -> None:
        readiness = Readiness({"database": lambda: looks.append(True)})
        assert await asyncio.gather(*[readiness.failing() for _ in range(50)]) == [[]] * 50

    asyncio.run(scenario())
    assert len(looks) == 1


@contextmanager
def _operations(base: Foundation) -> Iterator[ASGIApp]:
    gateway = compose(base)
    gateway.start()
    try:
        doors = {door.name: door for door in gateway.doors}
        operations = doors["operations"]
        assert isinstance(operations, Door)
        yield operations.app
    finally:
        gateway.close()


def _ready(app: ASGIApp) -> str:
    return call(app, "GET", "/health/ready").text


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("artifacts", "not well: artifact store\n"),
        ("keystore/keys", "not well: keystore\n"),
        ("", "ready\n"),
    ],
)
def test_a_gateway_whose_folder_loses_something_is_not_ready(
    tmp_path: Path, lost: str, named: str
) -> None:
    data = tmp_path / "data"
    found_folder(data, 8080, {})
    with open_foundation(load_settings(data), ENVIRONMENT) as base, _operations(base) as app:
        until(lambda: _ready(app) == "ready\n")
        if lost:
            (data / lost).rename(tmp_path / "moved")
        until(lambda: _ready(app) == named)
        if lost:
            (tmp_path / "moved").rename(data / lost)
        until(lambda: _ready(app) == "ready\n")


def test_what_will_run_out_is_measured(tmp_path: Path) -> None:
    _make_certificates(tmp_path)
    newest.write(tmp_path, newest.Newest(id="x", at=1234, entries=1))
    registry = CollectorRegistry()
    certificates = {"public": Certificate(tmp_path / "sites.pem", tmp_path / "sites.key")}
    watch(registry, Resources("9.9", {"data": tmp_path}, certificates))
    told = {
        (sample.name, sample.labels.get("door") or sample.labels.get("version", "")): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }
    assert told["sealgate_build_info", "9.9"] == 1
    assert told["sealgate_threads", ""] >= 1
    assert told["sealgate_disk_size_bytes", ""] >= told["sealgate_disk_free_bytes", ""] > 0
    assert told["sealgate_backup_timestamp_seconds", ""] == 1234
    assert told["process_open_fds", ""] > 0
    assert told["process_resident_memory_bytes", ""] > 0
    assert told["sealgate_certificate_expiry_timestamp_seconds", "public"] > 1_700_000_000


def test_a_refusal_of_any_door_is_counted_before_a_tenant_is_known(tmp_path: Path) -> None:
    """Those of `/v1` and of metadata were not."""
    data = tmp_path / "data"
    found_folder(data, 8080, {})
    with open_foundation(load_settings(data), ENVIRONMENT) as base:
        gateway = compose(base)
        apps = {door.name: door.app for door in gateway.doors if isinstance(door, Door)}
        for method, path in (("GET", "/v1/models"), ("GET", "/v2/models/m"), ("POST", INFER)):
            answer = call(apps["public"], method, path)
            assert answer.status_code == 401
        text = call(apps["operations"], "GET", "/metrics").text
        gateway.close()
    assert 'sealgate_refused_before_tenant_total{code="token_missing"} 3.0' in text


def test_who_is_not_ready_says_when_to_ask_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    found_folder(data, 8080, {})
    with open_foundation(load_settings(data), ENVIRONMENT) as base:
        gateway = compose(base)  # and not started
        apps = {door.name: door.app for door in gateway.doors if isinstance(door, Door)}
        for app, path in (("operations", "/health/ready"), ("public", "/v2/health/ready")):
            answer = call(apps[app], "GET", path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        gateway.close()
