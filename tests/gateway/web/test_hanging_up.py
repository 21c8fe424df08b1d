"""Callers who hang up, and a gateway that stops, over real connections to real servers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from audit.log import AuditLog
from audit.note import LogSigner
from audit.reader import LogReader
from gateway.engine.place import MAX_ENGINES
from gateway.inference.body_budget import BodyBudget
from gateway.web.boundary import Boundary
from gateway.web.infer import InferEndpoint, PublicApp
from tests.audit.samples import until
from tests.audit.stalling import StallingStore
from tests.gateway.inference.works import STRANGE, Works, row, works
from tests.gateway.parts import KEY, NOW, TENANT
from tests.gateway.serving import PROTOCOLS, Served, serving
from tests.gateway.web.wire import Answer, Wire, request
from tests.gateway.web.wrong_bodies import chunks

BODY = json.dumps(row()).encode()
CANCELLED = ("error", "cancelled")


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("only inference is asked for")


@dataclass
class Door:
    """The inference door of works, served."""

    shop: Works
    budget: BodyBudget
    served: Served
    protocol: str

    def __post_init__(self) -> None:
        self.token = self.shop.bearer()

    def head(self, *headers: str, model: str = "m") -> bytes:
        return request("POST", f"/v2/models/{model}/infer", self.token, *headers)

    def asked(self, body: bytes = BODY) -> bytes:
        return self.head(f"content-length: {len(body)}") + body

    def wire(self) -> Wire:
        return Wire(self.served.ports[self.protocol])

    def answer(self) -> Answer | None:
        with self.wire() as wire:
            wire.send(self.asked())
            return wire.answer()

    def recorded(self) -> list[tuple[str, str]]:
        return [(event["outcome"], event.get("reason", "")) for event in self.shop.events()]

    def idle(self) -> bool:
        return self.served.busy() == self.budget.held == self.shop.made.executor.present(TENANT)


@contextmanager
def opened(
    shop: Works, protocol: str, *, watch_after: float = 0.0, grace: int = 10
) -> Iterator[Door]:
    """Serve `shop`; each request is watched from its beginning unless told otherwise."""
    budget = BodyBudget()
    endpoint = InferEndpoint(
        shop.pipeline,
        max_body_bytes=1 << 20,
        body_timeout=30.0,
        budget=budget,
        watch_after=watch_after,
    )
    app = Boundary(PublicApp(endpoint, nothing), shop.house.new_id)
    with serving(app, protocols=(protocol,), grace=grace) as served:
        yield Door(shop, budget, served, protocol)
    assert served.faults == []


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shop() -> Iterator[Works]:
    with works() as made:
        made.publish()
        yield made


def test_who_hangs_up_while_sending_is_recorded(shop: Works, protocol: str) -> None:
    with opened(shop, protocol) as door:
        with door.wire() as wire:
            wire.send(door.head("content-length: 5000") + BODY)
            until(lambda: door.budget.held == len(BODY))
        until(lambda: bool(door.recorded()))
        until(door.idle)
        assert door.recorded() == [("error", "malformed_request")]


def test_who_hangs_up_while_the_model_runs_is_recorded(shop: Works, protocol: str) -> None:
    gate = shop.gate()
    with opened(shop, protocol) as door:
        with door.wire() as wire:
            wire.send(door.asked())
            assert gate.reached.wait(10)
        until(lambda: bool(door.recorded()))
        assert door.recorded() == [CANCELLED]
        until(lambda: door.shop.server.killed >= 1)  # nobody waits for the run
        until(lambda: door.served.busy() == door.budget.held == 0)
        gate.go.set()
        until(door.idle)
        answer = door.answer()
        assert answer is not None
        assert answer.status == 200
        assert door.recorded() == [CANCELLED, ("allow", "")]


def test_who_hangs_up_while_waiting_for_an_engine_is_recorded(shop: Works, protocol: str) -> None:
    gate = shop.gate()
    with opened(shop, protocol) as door:
        wires = [door.wire() for _ in range(MAX_ENGINES)]
        for number, wire in enumerate(wires, 1):  # one after the other: none shares a run
            wire.send(door.asked())
            until(lambda number=number: gate.runs == number)  # type: ignore[misc]
        with door.wire() as late:
            late.send(door.asked())
            until(lambda: door.shop.engines.gauge().waiting == 1)
        until(lambda: bool(door.recorded()))
        assert door.recorded() == [CANCELLED]
        until(lambda: door.shop.engines.gauge().waiting == 0)
        gate.go.set()
        answers = [wire.answer() for wire in wires]
        assert [answer and answer.status for answer in answers] == [200] * MAX_ENGINES
        assert gate.runs == MAX_ENGINES, "the model did not run for nobody"
        for wire in wires:
            wire.hang_up()
        until(door.idle)
        assert door.recorded() == [CANCELLED, *[("allow", "")] * MAX_ENGINES]


@pytest.mark.parametrize(
    ("body", "ending"), [(BODY, ("allow", "")), (json.dumps(row(STRANGE)).encode(), None)]
)
def test_who_hangs_up_while_the_record_is_written_was_answered(
    shop: Works, protocol: str, body: bytes, ending: tuple[str, str] | None
) -> None:
    store = StallingStore()
    log = AuditLog(
        store,
        lambda tenant: LogSigner(f"log/{tenant}", KEY),
        clock=lambda: NOW,
        random_bytes=lambda length: b"r" * length,
    )
    log.start()
    shop.log = log
    with opened(shop, protocol) as door:
        store.go.clear()
        with door.wire() as wire:
            wire.send(door.asked(body))
            assert store.reached.wait(10)
        until(door.idle)
        store.go.set()
    log.close()
    (entry,) = LogReader(store, log.verifier).events(TENANT)
    found = entry.event.outcome, entry.event.reason
    assert found == (ending or ("deny", "output_refused"))


def test_a_stopping_server_records_what_it_cuts_off(
    shop: Works, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = shop.gate()
    with caplog.at_level(logging.ERROR), opened(shop, protocol, grace=0) as door:
        with door.wire() as wire:
            wire.send(door.asked())
            assert gate.reached.wait(10)
            door.served.stop()
            answer = wire.answer()
        until(lambda: bool(door.recorded()))
        gate.go.set()
    assert door.recorded() == [CANCELLED]
    if answer is not None:  # the server may end first
        assert answer.status == 503
        assert json.loads(answer.body)["type"].endswith("/interrupted")
    assert [record for record in caplog.records if record.exc_info] == []


def test_requests_behind_a_watched_one_are_whole(shop: Works, protocol: str) -> None:
    """On one connection: sent at once, in pieces, and after an answer."""
    gate, half = shop.gate(), len(BODY) // 2
    with opened(shop, protocol) as door, door.wire() as wire:
        second = door.asked()
        wire.send(door.asked() + second[:-half])
        assert gate.reached.wait(10)
        until(lambda: door.budget.held == len(BODY))
        wire.send(second[-half:])
        gate.go.set()
        answers = [wire.answer(), wire.answer()]
        for _ in range(3):
            wire.send(door.asked())
            answers.append(wire.answer())
        assert [answer and answer.status for answer in answers] == [200] * 5
        until(door.idle)
    assert door.recorded() == [("allow", "")] * 5


def test_a_body_in_pieces_is_not_taken_by_who_watches(shop: Works, protocol: str) -> None:
    with opened(shop, protocol) as door, door.wire() as wire:
        wire.send(door.head("transfer-encoding: chunked") + chunks(BODY[:9], end=b""))
        until(lambda: door.budget.held == 9)
        wire.send(chunks(BODY[9:20], end=b""))
        until(lambda: door.budget.held == 20)
        wire.send(chunks(BODY[20:]))
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 200


def test_a_short_request_is_not_watched(shop: Works) -> None:
    """What is asked of the server is the body, and nothing else."""
    asked, sent = [], []

    async def receive() -> dict[str, Any]:
        asked.append(1)
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def scenario() -> None:
        endpoint = InferEndpoint(
            shop.pipeline,
            max_body_bytes=1 << 20,
            body_timeout=30.0,
            budget=BodyBudget(),
            watch_after=3600.0,
        )
        headers = [(b"authorization", f"Bearer {shop.bearer()}".encode())]
        path = "/v2/models/m/infer"
        scope = {"method": "POST", "path": path, "raw_path": path.encode(), "headers": headers}
        await endpoint(scope, receive, send, ("m", None))
        assert asyncio.all_tasks() == {asyncio.current_task()}, "and nothing is left behind"

    asyncio.run(scenario())
    assert sent[0]["status"] == 200
    assert len(asked) == 1
