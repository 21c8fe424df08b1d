from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from gateway.composition.bootstrap import Plan, found
from gateway.composition.foundation import Foundation, open_foundation
from gateway.composition.gateway import Gateway, compose
from gateway.errors import ConfigurationError
from gateway.process.doors import Door
from gateway.settings import load_settings
from gateway.web.infer import PublicApp
from policies.errors import PolicyError
from tests.audit.samples import until
from tests.gateway.place import ENVIRONMENT
from tests.gateway.web.in_process import call

MARKER = "Marta-Example-1971"
SETTINGS: dict[str, str | int] = {
    "public_url": "http://127.0.0.1:1",
    "port": 1,
    "audit_origin": "test",
    "federation": "off",
}


@dataclass(frozen=True)
class Composed:
    """A gateway that was started, its doors by name, and what it stands on."""

    gateway: Gateway
    base: Foundation

    def door(self, name: str) -> ASGIApp:
        doors = [door for door in self.gateway.doors if isinstance(door, Door)]
        return next(door.app for door in doors if door.name == name)

    def public(self, method: str, path: str, **options: Any) -> httpx.Response:
        return call(self.door("public"), method, path, **options)

    def operations(self, path: str) -> httpx.Response:
        return call(self.door("operations"), "GET", path)


def data_of(folder: Path, **changes: str | int) -> Path:
    found(folder / "data", Plan(SETTINGS | changes, "eu"), ENVIRONMENT)
    return folder / "data"


@contextmanager
def composed(data: Path) -> Iterator[Composed]:
    with open_foundation(load_settings(data), ENVIRONMENT) as base:
        gateway = compose(base)
        gateway.start()
        try:
            yield Composed(gateway, base)
        finally:
            gateway.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with composed(data_of(tmp_path_factory.mktemp("app"))) as made:
        yield made


class Recording:
    """Notes what it was called with."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any, *more: Any) -> None:
        self.calls.append((scope["type"], *more))


@pytest.mark.parametrize(
    ("kind", "method", "path", "target"),
    [
        ("http", "POST", "/v2/models/m/infer", ("m", None)),
        ("http", "POST", "/v2/models/m/versions/1/infer", ("m", "1")),
        ("http", "GET", "/v2/models/m", None),
        ("http", "POST", "/v1/models", None),
        ("websocket", "POST", "/v2/models/m/infer", None),
    ],
)
def test_only_inference_goes_the_short_way(
    kind: str, method: str, path: str, target: object
) -> None:
    infer, control = Recording(), Recording()
    scope = {"type": kind, "method": method, "path": path}
    asyncio.run(PublicApp(infer, control)(scope, None, None))  # type: ignore[arg-type]
    if target is None:
        assert (infer.calls, control.calls) == ([], [(kind,)])
    else:
        assert (infer.calls, control.calls) == ([(kind, target)], [])


def test_what_anybody_may_know(running: Composed) -> None:
    assert running.public("GET", "/v2/health/live").json() == {"live": True}
    metadata = running.public("GET", "/.well-known/oauth-authorization-server").json()
    assert metadata["issuer"] == "http://127.0.0.1:1"
    assert running.public("GET", "/oauth/jwks").json()["keys"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/models/m/infer"),
        ("GET", "/v2/models/m"),
        ("POST", "/v2/repository/index"),
        ("GET", "/v1/models"),
        ("GET", "/v1/tenants"),
        ("GET", "/v1/audit/events"),
        ("GET", "/v1/policies"),
        ("POST", "/v1/uploads"),
    ],
)
def test_nothing_else_is_told_without_a_token(running: Composed, method: str, path: str) -> None:
    answer = running.public(method, path)
    assert answer.status_code == 401, answer.text
    assert "resource_metadata=" in answer.headers["www-authenticate"]


def test_every_route_wants_a_token_unless_it_is_listed(running: Composed) -> None:
    """A route that somebody adds and forgets to guard is found here."""
    described = running.public("GET", "/openapi.json").json()["paths"]
    open_to_all = ("/.well-known/", "/oauth/", "/v2/health/", "/v1/enrol")
    guarded = [
        (method, path)
        for path, methods in described.items()
        for method in methods
        if not path.startswith(open_to_all) and path != "/v2"
    ]
    assert len(guarded) > 30
    for method, path in guarded:
        filled = path.replace("{", "").replace("}", "")
        answer = running.public(method.upper(), filled, json={})
        assert answer.status_code == 401, f"{method} {path}: {answer.status_code}"


def test_an_unknown_path_is_a_problem_that_repeats_nothing(running: Composed) -> None:
    answer = running.public("GET", f"/{MARKER}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert MARKER not in answer.text


def test_unauthenticated_callers_are_counted_for_the_operators(running: Composed) -> None:
    running.public("POST", "/v2/models/m/infer", json={"id": MARKER})
    text = running.operations("/metrics").text
    assert 'sealgate_refused_before_tenant_total{code="token_missing"}' in text
    assert MARKER not in text


def test_the_operators_door_has_nothing_of_the_public_one(running: Composed) -> None:
    assert running.operations("/health/ready").status_code == 200
    assert running.operations("/v2/health/live").status_code == 404
    assert running.public("GET", "/metrics").status_code == 404
    assert running.public("GET", "/health/ready").status_code == 404


def test_without_federation_there_is_no_door_for_sites(running: Composed) -> None:
    assert [door.name for door in running.gateway.doors] == ["public", "operations"]
    assert not (running.base.settings.data_dir / "run" / "coordinator.secret").exists()


def test_it_is_ready_once_started_and_not_after_its_log_ended(tmp_path: Path) -> None:
    with open_foundation(load_settings(data_of(tmp_path)), ENVIRONMENT) as base:
        gateway = compose(base)
        made = Composed(gateway, base)
        assert made.operations("/health/ready").status_code == 503
        gateway.start()
        until(lambda: made.operations("/health/ready").status_code == 200)
        base.log.close()
        assert made.operations("/health/ready").status_code == 503
        gateway.close()


def test_a_policy_set_that_was_tampered_with_refuses_the_start(tmp_path: Path) -> None:
    data = data_of(tmp_path)
    with closing(sqlite3.connect(data / "control.db")) as database, database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
        table = next(name for name in tables if "bundle" in name or "polic" in name)
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        for column in columns:
            kind = database.execute(f"SELECT typeof({column}) FROM {table}").fetchone()[0]  # noqa: S608
            if kind == "blob":
                database.execute(f"UPDATE {table} SET {column} = replace({column}, 'a', 'b')")  # noqa: S608
    with pytest.raises(PolicyError), open_foundation(load_settings(data), ENVIRONMENT) as base:
        compose(base)


@pytest.mark.parametrize("setting", [{"rate_limit": "often"}, {"keystore_unlock": "credential"}])
def test_what_cannot_be_had_refuses_the_start(tmp_path: Path, setting: dict[str, str]) -> None:
    data = data_of(tmp_path)
    with (
        pytest.raises(ConfigurationError),
        open_foundation(load_settings(data, **setting), ENVIRONMENT) as base,
    ):
        compose(base)
