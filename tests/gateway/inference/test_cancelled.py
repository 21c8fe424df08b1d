"""A request is cancelled wherever it waits: recorded once, and everything it held is given back."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import types
from collections.abc import Coroutine, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from audit.log import AuditLog
from audit.note import LogSigner
from audit.reader import LogReader
from gateway.identity.authenticate import Credentials
from gateway.inference.body_budget import BodyBudget
from gateway.inference.errors import TooManyRequests
from gateway.inference.fair_executor import TENANT_THREADS, TENANT_WAITING, FairExecutor
from gateway.inference.oip import OipCodec
from gateway.inference.pipeline import INLINE_BYTES, InferCall
from gateway.web.body_reader import BodyReader
from tests.audit.samples import until
from tests.audit.stalling import StallingStore
from tests.gateway.parts import KEY, NOW, TENANT

from .works import CLEAN, STRANGE, Works, row, works

PADDED = {"subject": "patient-7", "pad": "x" * INLINE_BYTES}


@dataclass
class Stepper:
    """Runs a coroutine and cancels the task that runs it where it waits for the n-th time.

    Attributes:
        at: Which wait; 0 for none.
        waits: How often it has waited so far.
    """

    at: int
    waits: int = 0

    async def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await self._driven(work)

    @types.coroutine
    def _driven(self, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        step, thrown = work.__await__(), None
        while True:
            try:
                waited = step.throw(thrown) if thrown is not None else next(step)
            except StopIteration as end:
                return end.value
            self.waits += 1
            if self.waits == self.at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                thrown = None
                yield waited
            except BaseException as given:  # handed on
                thrown = given


@dataclass
class Scene:
    """The works with a log that can stall, seen from outside."""

    shop: Works
    budget: BodyBudget
    faults: list[dict[str, Any]]

    async def infer(self, stepper: Stepper, body: bytes, **how: Any) -> Any:
        pieces = [body[:100], body[100:]]

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)  # as a socket: not at once
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        reader = BodyReader(receive, None, 1 << 20, 10.0, self.budget)
        token = self.shop.bearer(how.pop("role", "caller")).encode()
        call = InferCall(
            credentials=Credentials([(b"authorization", b"Bearer " + token)], "POST", "/x"),
            model=how.pop("model", "m"),
            version=how.pop("version", None),
            codec=OipCodec(None),
            read=reader,
        )
        try:
            return await stepper.run(self.shop.pipeline.infer(call))
        finally:
            reader.release()

    def run(self, stepper: Stepper, body: bytes, **how: Any) -> BaseException | None:
        """Send one request on a loop of its own, and return how it ended."""

        async def scenario() -> BaseException | None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.faults.append(context))
            task = asyncio.ensure_future(self.infer(stepper, body, **how))
            ended = await asyncio.gather(task, return_exceptions=True)
            return ended[0] if isinstance(ended[0], BaseException) else None

        return asyncio.run(scenario())


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A model of personal data whose epoch moves during each run."""
    with works("rival") as shop:
        shop.server.gate = shop.house.changed
        shop.publish(personal=True)
        yield Scene(shop, BodyBudget(), [])


def _body(x: Any = CLEAN[:1], **parameters: Any) -> bytes:
    return json.dumps(row(x, **(PADDED | parameters))).encode()


REQUESTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "answered": ({"body": _body()}, "allow", ""),
    "kept back": ({"body": _body(STRANGE)}, "deny", "output_refused"),
    "malformed": ({"body": _body()[:-1]}, "error", "malformed_request"),
    "absent": ({"body": _body(), "model": "absent"}, "deny", "model_not_found"),
    "forbidden": ({"body": _body(), "role": "convenor"}, "deny", "model_not_found"),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_cancelled_wherever_it_waits_it_is_recorded_once(scene: Scene, kind: str) -> None:
    how, outcome, reason = REQUESTS[kind]
    counted = Stepper(0)
    scene.shop.house.changed()  # nothing is remembered
    before = len(scene.shop.events())
    scene.run(counted, **how)
    whole = scene.shop.events()[before]
    assert (whole["outcome"], whole.get("reason", "")) == (outcome, reason)
    assert counted.waits >= (9 if kind == "answered" else 2)

    seen = []
    for at in range(1, counted.waits + 1):
        scene.shop.house.changed()
        scene.shop.models.sweep(lambda *_: False)
        before = len(scene.shop.events())
        ended = scene.run(Stepper(at), **how)
        until(lambda before=before, at=at: len(scene.shop.events()) > before or at == 1)  # type: ignore[misc]
        new = [(e["outcome"], e.get("reason", "")) for e in scene.shop.events()[before:]]
        assert isinstance(ended, asyncio.CancelledError), at
        assert len(new) == (at > 1), (at, new)
        seen += new
        assert scene.budget.held == 0
        assert scene.shop.made.executor.present(TENANT) == 0
    *cut_off, written = seen
    assert set(cut_off) <= {("error", "cancelled")}, "cancelled before it was over"
    assert written == (outcome, reason), "cancelled while it was being written: as it was"
    gc.collect()
    assert scene.faults == []
    assert scene.run(Stepper(0), _body()) is None, "the next one is answered"


def test_cancelled_twice_it_is_recorded_once() -> None:
    store, faults = StallingStore(), []
    log = AuditLog(
        store,
        lambda tenant: LogSigner(f"log/{tenant}", KEY),
        clock=lambda: NOW,
        random_bytes=lambda length: b"r" * length,
    )
    with works() as shop:
        shop.publish()
        shop.log = log
        gate = shop.gate()
        log.start()

        async def scenario() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, c: faults.append(c))
            task = asyncio.create_task(shop.infer())
            assert await asyncio.to_thread(gate.reached.wait, 10)
            store.go.clear()
            task.cancel()
            assert await asyncio.to_thread(store.reached.wait, 10)  # its record is being written
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            store.go.set()
            gate.go.set()

        asyncio.run(scenario())
        log.close()
        reader = LogReader(store, log.verifier)
        events = [entry.event for entry in reader.events(TENANT)]
    assert [(event.outcome, event.reason) for event in events] == [("error", "cancelled")]
    assert faults == []


def test_a_run_that_nobody_waits_for_is_stopped(shop: Works) -> None:
    gate = shop.gate()

    async def scenario() -> None:
        task = asyncio.create_task(shop.infer())
        assert await asyncio.to_thread(gate.reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gate.runs == 1
        await asyncio.to_thread(until, lambda: shop.server.killed >= 1)
        gate.go.set()

    asyncio.run(scenario())
    event = shop.events()[-1]
    assert (event["outcome"], event["reason"], event["model_id"]) == ("error", "cancelled", "m")
    assert event["action"] == "infer"


def test_a_forbidden_model_is_absent_although_no_thread_is_free(shop: Works) -> None:
    """Many purposes are asked for in a thread, and not in one of those that may be taken."""
    client = shop.client()
    purposes = frozenset({"care", *(f"purpose-{number}" for number in range(20))})
    tenant = shop.house.stores.tenants.get(TENANT)
    assert tenant is not None
    shop.house.revocation_state.save_tenant(replace(tenant, purposes=purposes))
    shop.house.revocation_state.save_client(replace(client, purposes=purposes))
    shop.publish("2", release=False)
    go = threading.Event()

    async def scenario() -> list[Any]:
        executor = shop.made.executor
        most = TENANT_THREADS + TENANT_WAITING
        taken = [
            asyncio.create_task(executor.run(TENANT, lambda: go.wait(30))) for _ in range(most)
        ]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            await executor.run(TENANT, lambda: True)
        asked = [shop.infer(version=version) for version in ("2", "9")]
        try:
            return await asyncio.gather(*asked, return_exceptions=True)
        finally:
            go.set()
            await asyncio.gather(*taken)

    forbidden, absent = asyncio.run(scenario())
    assert type(forbidden) is type(absent)
    assert forbidden.public == absent.public


def test_a_place_is_free_again_when_its_thread_is() -> None:
    """Who asks and hangs up, again and again, gets no more threads than its share."""
    executor, go, began = FairExecutor(), threading.Event(), []

    def work() -> None:
        began.append(1)
        assert go.wait(30)

    async def scenario() -> None:
        for _ in range(3):
            tasks = [
                asyncio.create_task(executor.run("greedy", work)) for _ in range(TENANT_THREADS)
            ]
            await asyncio.to_thread(until, lambda: len(began) == TENANT_THREADS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert executor.present("greedy") == TENANT_THREADS
        assert len(began) == TENANT_THREADS
        last = asyncio.create_task(executor.run("greedy", lambda: "served"))
        await asyncio.sleep(0)
        assert executor.present("greedy") == TENANT_THREADS + 1
        go.set()
        assert await last == "served"
        await asyncio.to_thread(until, lambda: executor.present("greedy") == 0)

    asyncio.run(scenario())


def test_work_that_outlives_its_loop_troubles_nobody() -> None:
    executor, go, began = FairExecutor(), threading.Event(), threading.Event()
    ended = threading.Event()

    def work() -> None:
        began.set()
        assert go.wait(30)
        ended.set()

    async def scenario() -> None:
        task = asyncio.create_task(executor.run("acme", work))
        assert await asyncio.to_thread(began.wait, 10)
        task.cancel()

    asyncio.run(scenario())
    go.set()
    assert ended.wait(10)
    executor.close()
