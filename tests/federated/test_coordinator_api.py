from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import onnx
import pytest

from federated.channel import Address, pack
from federated.errors import UnknownNode, UnknownTenant
from federated.plan import Event
from federated.rounds import Outcome
from federated.runs import Run
from federated.task import Standardisation
from tests.federated.examples import plan, plan_fields
from tests.federated.test_runs import WHOLE

pytestmark = [
    pytest.mark.federated,
    # Flower's builder names a pattern style that pathspec has renamed.
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
]
pytest.importorskip("flwr")

from federated.coordination import Coordinator  # noqa: E402 - needs the `federated` extra
from federated.coordinator_api import STATUS, build_app  # noqa: E402

SECRET, REPORT_SECRET = "g" * 64, "r" * 64
GATEWAY = {"authorization": f"Bearer {SECRET}"}
SERVER_APP = {"authorization": f"Bearer {REPORT_SECRET}"}


class Node:
    flower_id = 7


class Link:
    """A tenant's link without processes."""

    fleet_url = "http://127.0.0.1:1"
    health = types.MappingProxyType[str, object]({})
    reports = Address("socket", REPORT_SECRET)

    def node(self, name: str) -> Node:
        if not name.startswith("node-"):
            raise UnknownNode
        return Node()

    async def start_run(self, fab: bytes, run_id: str) -> int:
        return 1

    async def stop_run(self, flower_id: int) -> None:
        self.stopped = flower_id

    async def has_ended(self, flower_id: int) -> bool:
        return False

    async def stop(self) -> None:
        pass


class Offline(Coordinator):
    """The real coordinator over such links."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder / "socket", lambda size: b"\x01" * size)
        self.north = Link()

    async def ensure_link(self, tenant: str) -> Any:
        return self.link(tenant)

    def link(self, tenant: str) -> Any:
        if tenant != "north":
            raise UnknownTenant
        return self.north


def play(folder: Path, body: Any) -> None:
    async def scenario() -> None:
        coordinator = Offline(folder)
        transport = httpx.ASGITransport(build_app(coordinator, SECRET))
        async with httpx.AsyncClient(transport=transport, base_url="http://c") as client:
            work: Coroutine[Any, Any, None] = body(coordinator, client)
            await work
        await coordinator.close()

    asyncio.run(scenario())


CALLS = [
    ("GET", "/health"),
    ("PUT", "/tenants/north/superlink"),
    ("POST", "/tenants/north/nodes"),
    ("GET", "/tenants/north/nodes"),
    ("DELETE", "/tenants/north/nodes/x"),
    ("POST", "/runs"),
    ("DELETE", "/runs/run-1"),
    ("GET", "/runs/run-1/events"),
    ("GET", "/runs/run-1/result"),
    ("GET", "/reports/run-1/assignment"),
    ("POST", "/reports/run-1/events"),
    ("PUT", "/reports/run-1/result"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_needs_its_secret(tmp_path: Path, method: str, path: str) -> None:
    async def body(coordinator: Offline, client: httpx.AsyncClient) -> None:
        coordinator.runs.add(plan())
        other = GATEWAY if path.startswith("/reports") else SERVER_APP
        for headers in ({}, {"authorization": SECRET}, {"authorization": "Bearer "}, other):
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["code"] == "not_authenticated"

    play(tmp_path, body)


def test_a_run_from_plan_to_model(tmp_path: Path) -> None:
    async def body(coordinator: Offline, client: httpx.AsyncClient) -> None:
        started = await client.post("/runs", json=plan_fields(), headers=GATEWAY)
        assert (started.status_code, started.json()) == (202, {"run": "run-1", "state": "starting"})
        again = await client.post("/runs", json=plan_fields(), headers=GATEWAY)
        assert again.status_code == 202
        other = await client.post("/runs", json=plan_fields(rounds=9), headers=GATEWAY)
        assert (other.status_code, other.json()["code"]) == (409, "run_exists")
        assignment = (await client.get("/reports/run-1/assignment", headers=SERVER_APP)).json()
        assert assignment["nodes"] == {"a": 7, "b": 7, "c": 7}
        assert assignment["plan"]["run_id"] == "run-1"
        for event in WHOLE:
            sent = msgspec.json.encode(event)
            answer = await client.post("/reports/run-1/events", content=sent, headers=SERVER_APP)
            assert answer.status_code == 204
        packed = pack(Outcome(np.ones(3), Standardisation(np.zeros(2), np.ones(2))))
        short = await client.put("/reports/run-1/result", content=packed[8:], headers=SERVER_APP)
        assert short.status_code == 422
        answer = await client.put("/reports/run-1/result", content=packed, headers=SERVER_APP)
        assert answer.status_code == 204
        assert (await client.get("/runs/run-1/result", headers=GATEWAY)).status_code == 410
        last = msgspec.json.encode(Event(type="run_finished"))
        await client.post("/reports/run-1/events", content=last, headers=SERVER_APP)
        page = await client.get("/runs/run-1/events?after=2&wait=5", headers=GATEWAY)
        assert page.json()["state"] == "finished"
        assert page.json()["events"][0]["seq"] == 3
        model = await client.get("/runs/run-1/result", headers=GATEWAY)
        assert model.headers["x-sealgate-run"] == "run-1"
        onnx.checker.check_model(onnx.load_from_string(model.content))
        assert (await client.get("/runs/run-1/result", headers=GATEWAY)).status_code == 410
        late = await client.post("/reports/run-1/events", content=last, headers=SERVER_APP)
        assert late.status_code == 409

    play(tmp_path, body)


def test_stopping_fails_the_run_and_stops_the_server_app(tmp_path: Path) -> None:
    async def body(coordinator: Offline, client: httpx.AsyncClient) -> None:
        await client.post("/runs", json=plan_fields(), headers=GATEWAY)
        assert (await client.delete("/runs/run-1", headers=GATEWAY)).status_code == 204
        page = (await client.get("/runs/run-1/events", headers=GATEWAY)).json()
        assert page["state"] == "failed"
        assert page["events"][-1]["code"] == "stopped"
        assert coordinator.north.stopped == 1

    play(tmp_path, body)


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("POST", "/runs", b"{}", 422, "plan_invalid"),
        ("POST", "/runs", b"\xff", 422, "plan_invalid"),
        ("POST", "/runs", msgspec.json.encode(plan_fields(tenant="south")), 404, "unknown_tenant"),
        (
            "POST",
            "/runs",
            msgspec.json.encode(plan_fields(sites=[{"name": "a", "node_id": "x"}], quorum=1)),
            409,
            "unknown_node",
        ),
        ("GET", "/runs/none/events", b"", 404, "unknown_run"),
        ("GET", "/runs/none/result", b"", 404, "unknown_run"),
        ("DELETE", "/runs/none", b"", 404, "unknown_run"),
        ("GET", "/tenants/south/nodes", b"", 404, "unknown_tenant"),
        ("PUT", "/tenants/South/superlink", b"", 404, "unknown_tenant"),
        ("POST", "/tenants/north/nodes", b'{"public_key": 1}', 422, "plan_invalid"),
        ("POST", "/tenants/north/nodes", b"x" * 100_000, 422, "plan_invalid"),
    ],
)
def test_refusals(
    tmp_path: Path, method: str, path: str, content: bytes, status: int, code: str
) -> None:
    async def body(_: Offline, client: httpx.AsyncClient) -> None:
        answer = await client.request(method, path, content=content, headers=GATEWAY)
        assert (answer.status_code, answer.json()["code"]) == (status, code)

    play(tmp_path, body)


@pytest.mark.parametrize("query", ["after=x", "after=-1", "wait=nan", "wait=inf", "after=1e400"])
def test_queries_are_checked(tmp_path: Path, query: str) -> None:
    async def body(coordinator: Offline, client: httpx.AsyncClient) -> None:
        coordinator.runs.add(plan())
        answer = await client.get(f"/runs/run-1/events?{query}", headers=GATEWAY)
        assert answer.status_code == 422

    play(tmp_path, body)


def test_a_tenants_server_app_reaches_no_other_tenants_run(tmp_path: Path) -> None:
    async def body(coordinator: Offline, client: httpx.AsyncClient) -> None:
        run: Run = coordinator.runs.add(plan(tenant="south"))
        event = msgspec.json.encode(Event(type="run_started"))
        answer = await client.post("/reports/run-1/events", content=event, headers=SERVER_APP)
        assert answer.status_code == 401
        assert run.events == []

    play(tmp_path, body)


def test_statuses_are_of_errors() -> None:
    assert all(400 <= status < 600 for status in STATUS.values())
