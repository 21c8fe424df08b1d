"""`ModelStreamInfer`: many requests on one stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gateway.grpc.http2 import frames
from gateway.grpc.status import Status
from gateway.grpc.stream_infer import AHEAD
from gateway.grpc.wire import fields, text
from tests.audit.samples import until
from tests.gateway.grpc.door import Door, opened, request
from tests.gateway.grpc.peer import STREAM, Heard, message
from tests.gateway.inference.works import CLEAN, STRANGE, Works, works


@pytest.fixture
def shop() -> Iterator[Works]:
    with works() as made:
        made.publish()
        yield made


@pytest.fixture
def door(shop: Works) -> Iterator[Door]:
    with opened(shop) as served:
        yield served


def told(heard: Heard) -> list[tuple[str, str]]:
    """Error and caller's id of each answer."""
    found = []
    for one in heard.messages:
        error = id = ""
        for number, _, value in fields(memoryview(one), 10):
            if number == 1:
                error = text(value)
            elif not isinstance(value, int):
                ids = [text(part) for field, _, part in fields(value, 20) if field == 3]
                id = ids[0] if ids else ""
        found.append((error, id))
    return found


def test_answers_come_in_order_and_a_refusal_is_one_of_them(door: Door) -> None:
    with door.peer() as peer:
        number = peer.begin(STREAM, door.bearer())
        for at in range(3 * AHEAD):
            content = request(STRANGE if at == 3 else CLEAN[:1], id=str(at))
            peer.data(number, message(content), end=False)
        peer.data(number, b"")
        heard = peer.answer(number)
    assert heard.status == Status.OK
    refused = "the answer is not released for this input"
    assert told(heard) == [(refused if at == 3 else "", str(at)) for at in range(3 * AHEAD)]
    events = door.shop.events()
    assert len(events) == len({event["request_id"] for event in events}) == 3 * AHEAD
    for one in heard.messages:  # several are recorded at a time, in any order
        found = re.search(rb"log/acme/(\d+)", one)
        assert found is not None
        assert str(events[int(found[1])]["request_id"]).encode() in one


def test_a_request_is_answered_while_the_stream_is_open(door: Door) -> None:
    with door.peer() as peer:
        number = peer.begin(STREAM, door.bearer())
        for count in range(1, 4):
            peer.data(number, message(request(triton_enable_empty_final_response=True)), end=False)
            while len(peer.heard.setdefault(number, Heard()).messages) < count:
                assert peer.more()
        peer.data(number, b"")
        heard = peer.answer(number)
    assert all(b"triton_final_response" in one for one in heard.messages)


def test_an_empty_stream_ends_well(door: Door) -> None:
    with door.peer() as peer:
        assert peer.answer(peer.begin(STREAM, door.bearer(), end=True)).status == Status.OK
    assert door.recorded() == []


def test_a_stream_without_a_token_ends_with_its_status(door: Door) -> None:
    with door.peer() as peer:
        number = peer.begin(STREAM)
        peer.data(number, message(request()), end=False)
        heard = peer.answer(number)
        assert (heard.status, heard.messages) == (Status.UNAUTHENTICATED, [])
    assert door.recorded() == []


def test_a_token_that_is_revoked_ends_the_stream(door: Door) -> None:
    """What was asked before is answered, what comes later is not."""
    with door.peer() as peer:
        number = peer.begin(STREAM, door.bearer())
        peer.data(number, message(request()), end=False)
        while not peer.heard.setdefault(number, Heard()).messages:
            assert peer.more()
        client = replace(door.shop.client(), disabled=True)
        door.shop.house.stores.clients.update(client)
        door.shop.house.changed()
        peer.data(number, message(request()), end=False)
        heard = peer.answer(number)
    assert heard.status == Status.UNAUTHENTICATED
    assert len(heard.messages) == 1


def test_a_caller_who_cancels_ends_all_that_is_under_way(shop: Works) -> None:
    gate = shop.gate()
    with opened(shop) as door:
        with door.peer() as peer:
            number = peer.begin(STREAM, door.bearer())
            for _ in range(3):
                peer.data(number, message(request()), end=False)
            assert gate.reached.wait(10)
            until(lambda: door.budget.held == 3 * len(request()))
            peer.send(frames.reset(number, frames.CANCEL))
            until(lambda: not door.server.works)
        gate.go.set()
        assert door.recorded() == [("error", "cancelled")] * 3


def test_who_cancels_with_more_requests_than_are_taken_leaves_nothing_behind(shop: Works) -> None:
    gate = shop.gate()
    with opened(shop) as door:
        with door.peer() as peer:
            number = peer.begin(STREAM, door.bearer())
            for _ in range(3 * AHEAD):
                peer.data(number, message(request()), end=False)
            assert gate.reached.wait(10)
            peer.send(frames.reset(number, frames.CANCEL))
            until(lambda: not door.server.works)
        gate.go.set()
        assert set(door.recorded()) == {("error", "cancelled")}
        assert len(door.recorded()) <= AHEAD


def test_a_stream_holds_a_few_requests_and_lets_no_more_in(shop: Works) -> None:
    gate = shop.gate()
    with opened(shop) as door, door.peer() as peer:
        number = peer.begin(STREAM, door.bearer())
        count = 3 * AHEAD
        for _ in range(count):
            peer.data(number, message(request()), end=False)
        assert gate.reached.wait(10)
        gate.go.set()
        peer.data(number, b"")
        heard = peer.answer(number)
        assert len(heard.messages) == count
    assert door.recorded() == [("allow", "")] * count
