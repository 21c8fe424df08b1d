"""What is watched of the sites' door: who calls, what is asked for, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from gateway.composition.site_door import site_app
from gateway.federation.records import Site
from gateway.request_lines import RequestLines
from gateway.telemetry import Metrics
from tests.gateway.federation.test_federations import Rounds
from tests.gateway.parts import NOW, TENANT, House, house
from tests.gateway.web.in_process import call
from tests.gateway.web.test_fleet import KEY, _headers

SECRET = "Marta-Example-1971"


class Scene:
    def __init__(self, home: House, rounds: Rounds) -> None:
        self.home = home
        self.metrics = Metrics()
        self.written: list[str] = []
        self.lines = RequestLines(self.written.append, clock=lambda: NOW, monotonic=lambda: 0.0)
        self.lines.set("info", "all")
        self.app = site_app(
            home.base,
            home.guard,
            home.recorder,
            rounds,
            home.use.watching,
            self.metrics,
            self.lines,
        )

    def register(self) -> None:
        form = serialization.PublicFormat.OpenSSH
        line = KEY.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()
        site = Site(TENANT, "north", line, "1", 1)
        self.home.stores.federations.add_site(site)

    def told(self) -> list[dict[str, Any]]:
        self.lines.flush()
        return [json.loads(line) for text in self.written for line in text.splitlines()]

    def counted(self, route: str, status: int) -> float | None:
        labels = {"door": "sites", "route": route, "status": str(status)}
        return self.metrics.registry.get_sample_value("sealgate_http_requests_total", labels)


@pytest.fixture
def scene() -> Iterator[Scene]:
    rounds = Rounds()
    with house(coordinator=rounds) as home:
        yield Scene(home, rounds)


def test_a_site_that_calls_is_known_to_be_there_and_nobody_else_is(scene: Scene) -> None:
    ask = {"headers": _headers(NOW), "content": b"x"}
    assert call(scene.app, "POST", "/v1/fleet/get-run", **ask).status_code == 401
    assert scene.home.use.watching.contacts == {}
    scene.register()
    assert call(scene.app, "POST", "/v1/fleet/get-run", **ask).status_code == 502, "no SuperLink"
    assert scene.home.use.watching.contacts == {(TENANT, "north"): NOW}
    assert scene.counted("/v1/fleet/get-run", 401) == 1
    assert scene.counted("/v1/fleet/get-run", 502) == 1


def test_what_no_site_asks_for_is_told_without_its_path(scene: Scene) -> None:
    call(scene.app, "POST", f"/v1/fleet/{SECRET}")
    call(scene.app, "GET", f"/{SECRET}")
    call(scene.app, "GET", "/v1/fleet/get-run")
    told = scene.told()
    assert [(line["route"], line["status"]) for line in told] == [
        (None, 404),
        (None, 404),
        ("/v1/fleet/get-run", 405),
    ]
    assert SECRET not in str(told)
    assert scene.counted("none", 404) == 2
