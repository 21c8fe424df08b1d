"""Every door names every request, and what is recorded of one carries the name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from audit.event import is_event_id
from gateway.composition.foundation import open_foundation
from gateway.composition.gateway import compose
from gateway.process.doors import Door
from gateway.settings import load_settings
from tests.gateway.place import ENVIRONMENT, Place, served_place
from tests.gateway.web.in_process import call


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served_place(tmp_path_factory.mktemp("place")) as made:
        made.tenant("clinic")
        yield made


def send(place: Place, method: str, path: str, **how: object) -> httpx.Response:
    return httpx.request(method, place.url + path, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2", 200),
        ("HEAD", "/v2/health/live", 200),
        ("GET", "/v2/nothing", 404),
        ("DELETE", "/v2/models/m", 405),
        ("GET", "/v2/models/m/infer", 405),
        ("POST", "/v2/models/m/infer", 401),
        ("GET", "/v1/models", 401),
        ("GET", "/docs", 200),
        ("POST", "/oauth/token", 400),
        ("GET", "/nothing", 404),
    ],
)
def test_every_answer_of_the_public_door_names_its_request(
    place: Place, method: str, path: str, status: int
) -> None:
    answer = send(place, method, path)
    assert answer.status_code == status
    assert is_event_id(answer.headers["sealgate-request-id"])
    if answer.headers["content-type"] == "application/problem+json":
        assert answer.json()["request_id"] == answer.headers["sealgate-request-id"]
        assert ("error" in answer.json()) == path.startswith("/v2")


def test_a_body_that_is_too_large_for_any_door_is_told_like_all_else(place: Place) -> None:
    answer = send(place, "POST", "/v2/repository/index", content=bytes((1 << 20) + 1))
    assert answer.status_code == 413
    assert answer.json()["error"] == answer.json()["detail"]


def test_what_is_recorded_of_a_change_carries_the_id_of_its_request(place: Place) -> None:
    with place.client("clinic", "owner") as owner:
        headers = owner.headers("POST", "/")
        answer = send(place, "POST", "/v1/models/m/versions/1/promote", headers=headers)
    assert answer.status_code == 404
    events = place.foundation.reader.events("clinic", after=-1, limit=200)
    asked = [one.event for one in events if one.event.action == "promote"]
    assert [event.request_id for event in asked] == [answer.headers["sealgate-request-id"]]


@pytest.mark.federated
def test_every_other_door_names_its_requests_too(tmp_path: Path) -> None:
    with served_place(tmp_path):
        pass
    settings = load_settings(tmp_path / "data", federation="on")
    with open_foundation(settings, ENVIRONMENT) as base:
        for door in compose(base).doors:
            if not isinstance(door, Door):
                continue  # speaks no HTTP
            for path in ("/", "/metrics", "/health/ready", "/v1/fleet/get-run", "/v2"):
                answer = call(door.app, "GET", path)
                assert is_event_id(answer.headers["sealgate-request-id"]), (door.name, path)
