"""Peers who break the protocol, flood, stall or send by bytes: the others go on being answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from gateway.grpc.http2 import frames
from gateway.grpc.http2.connection import (
    MAX_STREAMS,
    OPENED,
    UNCLAIMED_BYTES,
    Connection,
    Unclaimed,
)
from gateway.grpc.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from gateway.grpc.http2.framing import MAX_PARTS
from gateway.grpc.protocol import IDLE_SECONDS, UNFINISHED_SECONDS
from gateway.grpc.server import MAX_CONNECTIONS
from gateway.grpc.status import Status
from tests.audit.samples import until
from tests.gateway.grpc.door import Door, opened, request
from tests.gateway.grpc.peer import INFER, Heard, Peer, message
from tests.gateway.inference.works import Works, works


@pytest.fixture(scope="module")
def shop() -> Iterator[Works]:
    with works() as made:
        made.publish()
        yield made


@pytest.fixture(scope="module")
def alone() -> Iterator[Works]:
    """Beside `shop`, whose engines the door of this module uses on its own event loop."""
    with works() as made:
        made.publish()
        yield made


@pytest.fixture(scope="module")
def door(shop: Works) -> Iterator[Door]:
    with opened(shop) as served:
        yield served


@pytest.fixture(autouse=True)
def answers_still(door: Door) -> Iterator[None]:
    """After whatever a test did, another caller is answered and nothing is left behind."""
    yield
    with door.peer() as peer:
        assert peer.call(request(), door.bearer()).status == Status.OK
    until(door.idle)
    until(lambda: door.server.connections == 0)


def settings(*values: tuple[int, int]) -> bytes:
    return frames.settings(values)


CONNECTION_FAULTS: dict[str, tuple[bytes, int]] = {
    "http/1.1": (b"GET / HTTP/1.1\r\nhost: g\r\n\r\n", frames.PROTOCOL_ERROR),
    "no settings": (PREFACE + frame(PING, 0, 0, bytes(8)), frames.PROTOCOL_ERROR),
    "acknowledges first": (PREFACE + frame(SETTINGS, ACK, 0), frames.PROTOCOL_ERROR),
    "long frame": (PREFACE + settings() + b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", 6),
    "data before headers": (PREFACE + settings() + frame(DATA, 0, 1, b"x"), 1),
    "data on zero": (PREFACE + settings() + frame(DATA, 0, 0, b"x"), 1),
    "even stream": (PREFACE + settings() + frame(HEADERS, END_HEADERS, 2, b"\x82"), 1),
    "headers on zero": (PREFACE + settings() + frame(HEADERS, END_HEADERS, 0, b"\x82"), 1),
    "continuation alone": (PREFACE + settings() + frame(CONTINUATION, 4, 1, b"\x82"), 1),
    "interrupted block": (
        PREFACE + settings() + frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, bytes(8)),
        1,
    ),
    "push promise": (PREFACE + settings() + frame(5, 4, 1, bytes(4)), 1),
    "broken block": (PREFACE + settings() + frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff"), 9),
    "unknown index": (PREFACE + settings() + frame(HEADERS, END_HEADERS, 1, b"\xfe"), 9),
    "reset of idle": (PREFACE + settings() + frame(RST_STREAM, 0, 1, bytes(4)), 1),
    "short ping": (PREFACE + settings() + frame(PING, 0, 0, b"x"), 6),
    "odd settings": (PREFACE + settings() + frame(SETTINGS, 0, 0, b"x"), 6),
    "settings on stream": (PREFACE + settings() + frame(SETTINGS, 0, 1), 1),
    "huge window": (PREFACE + settings((frames.INITIAL_WINDOW_SIZE, 1 << 31)), 3),
    "tiny frames": (PREFACE + settings((frames.MAX_FRAME_SIZE, 1)), 1),
    "push": (PREFACE + settings((frames.ENABLE_PUSH, 2)), 1),
    "many settings": (PREFACE + settings(*[(99, 0)] * 40), 11),
    "window of zero": (PREFACE + settings() + frame(WINDOW_UPDATE, 0, 0, bytes(4)), 1),
    "window too wide": (
        PREFACE + settings() + frames.window_update(0, frames.MAX_WINDOW),
        frames.FLOW_CONTROL_ERROR,
    ),
    "padding": (PREFACE + settings() + frame(HEADERS, 0x0C, 1, b"\x09\x82"), 1),
    "short priority": (PREFACE + settings() + frame(HEADERS, 0x24, 1, b"\x82"), 6),
}


@pytest.mark.parametrize("case", CONNECTION_FAULTS)
def test_a_broken_connection_ends_and_is_told_why(door: Door, case: str) -> None:
    sent, code = CONNECTION_FAULTS[case]
    with door.peer(greet=False) as peer:
        peer.send(sent)
        assert peer.end() == code


@pytest.mark.parametrize(
    "changed",
    [
        {"method": ""},
        {"path": ""},
        {"scheme": ""},
        {"status": "200"},
    ],
)
def test_headers_that_are_no_request_end_the_stream_only(
    door: Door, changed: dict[str, str]
) -> None:
    with door.peer() as peer:
        peer.send(frame(HEADERS, END_HEADERS, 1, peer.head(**changed)))
        assert peer.answer(1).reset == frames.PROTOCOL_ERROR
        peer._next = 3
        assert peer.call(request(), door.bearer()).status == Status.OK


@pytest.mark.parametrize(
    "more", [("Upper", "x"), ("connection", "close"), ("transfer-encoding", "chunked"), ("x", "\n")]
)
def test_a_header_that_no_request_has_ends_the_stream_only(
    door: Door, more: tuple[str, str]
) -> None:
    with door.peer() as peer:
        number = peer.begin(INFER, more, end=True)
        assert peer.answer(number).reset == frames.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("changed", "status"), [({"method": "GET"}, "405"), ({"path": "/x"}, "200")]
)
def test_what_is_no_call_of_ours_is_told_so(
    door: Door, changed: dict[str, str], status: str
) -> None:
    with door.peer() as peer:
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, peer.head(**changed)))
        heard = peer.answer(1)
    assert heard.headers[":status"] == status
    if status == "200":
        assert heard.status == Status.UNIMPLEMENTED


def test_another_content_type_is_415(door: Door) -> None:
    with door.peer() as peer:
        pairs = [(":method", "POST"), (":scheme", "http"), (":path", INFER)]
        block = peer.encoder.encode([*pairs, ("content-type", "application/json")])
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        told = peer.answer(1).headers
        assert told.keys() == {":status", "sealgate-request-id"}
        assert told[":status"] == "415"


def reset(peer: Peer, number: int) -> bytes:
    head = frame(HEADERS, END_HEADERS | END_STREAM, number, peer.head())
    return head + frames.reset(number, frames.CANCEL)


FLOODS: dict[str, Callable[[Peer, int], bytes]] = {
    "rapid reset": lambda peer, at: reset(peer, 2 * at + 1),
    "pings": lambda peer, at: frame(PING, 0, 0, bytes(8)),
    "acknowledged pings": lambda peer, at: frame(PING, ACK, 0, bytes(8)),
    "settings": lambda peer, at: settings(),
    "priorities": lambda peer, at: frame(PRIORITY, 0, 2 * at + 1, bytes(5)),
    "small windows": lambda peer, at: frames.window_update(0, 1),
    "unknown frames": lambda peer, at: frame(0xFA, 0, 0, b""),
    "goaways": lambda peer, at: frames.goaway(0, 0),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_ends_the_connection(door: Door, flood: str) -> None:
    with door.peer() as peer:
        made = FLOODS[flood]
        peer.send(b"".join(made(peer, at) for at in range(5000)))
        assert peer.end() in (frames.ENHANCE_YOUR_CALM, None)
        assert peer.closed


def test_empty_data_is_a_flood_too(door: Door) -> None:
    with door.peer() as peer:
        number = peer.begin(INFER, door.bearer())
        peer.send(frame(DATA, 0, number, b"") * 5000)
        assert peer.end() in (frames.ENHANCE_YOUR_CALM, None)
    until(lambda: not door.server.works)


def test_more_calls_than_are_let_in_are_refused_and_may_be_sent_again(door: Door) -> None:
    with door.peer() as peer:
        numbers = [peer.begin(INFER, door.bearer()) for _ in range(MAX_STREAMS)]
        until(lambda: len(door.server.works) == MAX_STREAMS)
        late = peer.begin(INFER, door.bearer())
        assert peer.answer(late).reset == frames.REFUSED_STREAM
        for number in numbers:
            peer.data(number, b"")
        assert {peer.answer(number).status for number in numbers} == {Status.INVALID_ARGUMENT}
        assert peer.call(request(), door.bearer()).status == Status.OK


def test_a_reset_stream_counts_until_its_work_is_over() -> None:
    connection = Connection(Unclaimed())
    connection.receive(PREFACE + settings(), 0.0)
    block = b"\x83\x86\x04\x02/x\x41\x01g"
    for number in range(1, 2 * MAX_STREAMS, 2):
        opened_ = connection.receive(frame(HEADERS, END_HEADERS, number, block), 0.0)
        assert [kind for kind, _ in opened_] == [OPENED]
        connection.receive(frames.reset(number, 8), 0.0)
    connection.out.take()
    late = 2 * MAX_STREAMS + 1
    assert connection.receive(frame(HEADERS, END_HEADERS, late, block), 0.0) == []
    assert connection.out.take() == frames.reset(late, frames.REFUSED_STREAM)
    connection.finished()
    assert connection.receive(frame(HEADERS, END_HEADERS, late + 2, block), 0.0) != []


def test_a_giant_header_ends_the_connection(door: Door) -> None:
    with door.peer() as peer:
        peer.begin(INFER, ("x", "a" * 10_000), end=True)
        assert peer.answer(1).status == Status.UNAUTHENTICATED
        block = peer.encoder.encode([(":method", "POST"), ("big", "a" * (80 << 10))])
        peer.send(frame(HEADERS, 0, 3, block[:16000]))
        for at in range(16000, len(block), 16000):
            peer.send(frame(CONTINUATION, 0, 3, block[at : at + 16000]))
        peer.send(frame(CONTINUATION, END_HEADERS, 3, b""))
        assert peer.end() in (frames.ENHANCE_YOUR_CALM, None)


def test_a_small_block_that_means_a_giant_header_ends_the_connection(door: Door) -> None:
    """Each byte of the second block stands for 4,000: a bomb."""
    with door.peer() as peer:
        peer.begin(INFER, ("x", "a" * 4000), end=True)
        peer.send(frame(HEADERS, END_HEADERS, 3, b"\xbe" * 16000))
        assert peer.end() == frames.ENHANCE_YOUR_CALM


def test_a_block_in_endless_parts_ends_the_connection(door: Door) -> None:
    with door.peer() as peer:
        peer.send(frame(HEADERS, 0, 1, b"\x82"))
        peer.send(frame(CONTINUATION, 0, 1, b"") * (MAX_PARTS + 1))
        assert peer.end() == frames.ENHANCE_YOUR_CALM


def test_who_sends_beyond_a_window_loses_the_stream(alone: Works) -> None:
    """Nobody who is not known makes the door keep more than the first window."""
    with opened(alone, timeout=3600.0) as door, door.peer() as peer:
        number = peer.begin(INFER, door.bearer())
        peer.data(number, b"\x00" + (1 << 20).to_bytes(4, "big"), end=False)
        until(lambda: door.budget.held > 0)  # the caller is known
        peer.data(number, bytes(3 << 20), end=False)
        assert peer.answer(number).reset == frames.FLOW_CONTROL_ERROR
        until(lambda: door.budget.held == 0)


def test_bodies_of_callers_who_are_not_known_have_a_bound_together(door: Door) -> None:
    door.unclaimed.held += UNCLAIMED_BYTES
    try:
        with door.peer() as peer:
            number = peer.begin(INFER, door.bearer())
            peer.send(frame(HEADERS, END_HEADERS, 3, peer.head()) + frame(DATA, 0, 3, b"x" * 9))
            assert peer.answer(3).reset == frames.ENHANCE_YOUR_CALM
            peer.send(frames.reset(number, 8))
            until(lambda: not door.server.works)
    finally:
        door.unclaimed.held -= UNCLAIMED_BYTES


def test_a_request_by_bytes_is_read_and_one_that_stalls_is_not_waited_for(alone: Works) -> None:
    with opened(alone, timeout=0.2) as door:
        with door.peer() as peer:
            whole = frame(HEADERS, END_HEADERS, 1, peer.head(INFER, door.bearer()))
            whole += frame(DATA, END_STREAM, 1, message(request()))
            for byte in whole:
                peer.send(bytes([byte]))
            assert peer.answer(1).status == Status.OK
            peer._next = 3
            number = peer.begin(INFER, door.bearer())
            peer.data(number, message(request())[:20], end=False)
            assert peer.answer(number).status == Status.DEADLINE_EXCEEDED
        assert door.recorded()[-1] == ("error", "body_timeout")


def later(door: Door, seconds: float) -> None:
    """Let the door look at its connections as if so many seconds had passed."""

    async def look() -> None:
        for protocol in list(door.server._connections):
            protocol.check(door.loop.time() + seconds)

    asyncio.run_coroutine_threadsafe(look(), door.loop).result(30)


@pytest.mark.parametrize(
    "begun",
    [b"", PREFACE[:5], PREFACE, PREFACE + settings() + b"\x00", b"block"],
)
def test_what_was_begun_must_be_finished_soon(door: Door, begun: bytes) -> None:
    with door.peer(greet=False) as peer:
        if begun == b"block":
            begun = PREFACE + settings() + frame(HEADERS, 0, 1, b"\x82")
        peer.send(begun)
        peer.until(SETTINGS)
        later(door, UNFINISHED_SECONDS - 5)
        assert door.server.connections == 1
        later(door, UNFINISHED_SECONDS + 5)
        assert peer.end() == frames.PROTOCOL_ERROR


def test_an_idle_connection_is_ended_and_one_with_a_call_is_not(alone: Works) -> None:
    with opened(alone) as door, door.peer() as idle, door.peer() as busy:
        assert idle.call(request(), door.bearer()).status == Status.OK
        busy.begin(INFER, door.bearer())
        until(lambda: bool(door.server.works))
        later(door, IDLE_SECONDS + 5)
        assert idle.end() == frames.NO_ERROR
        busy.data(1, message(request()))
        assert busy.answer(1).status == Status.OK


def test_who_does_not_take_its_answer_loses_it(alone: Works) -> None:
    with opened(alone) as door:
        with door.peer(settings=((frames.INITIAL_WINDOW_SIZE, 3),)) as peer:
            number = peer.begin(INFER, door.bearer())
            peer.data(number, message(request()))
            while len(peer.heard.setdefault(number, Heard()).data) < 3:
                assert peer.more()
            later(door, 25.0)
            assert peer.heard[number].reset is None
            later(door, 60.0)
            assert peer.answer(number).reset == frames.CANCEL
        assert door.recorded()[-1] == ("allow", ""), "it was answered"


def test_an_answer_passes_a_window_that_opens_byte_by_byte(door: Door) -> None:
    with door.peer(settings=((frames.INITIAL_WINDOW_SIZE, 0),)) as peer:
        number = peer.begin(INFER, door.bearer())
        peer.data(number, message(request()))
        while not peer.heard.get(number):
            assert peer.more()
        while not peer.heard[number].ended:
            peer.send(frames.window_update(number, 7))
            assert peer.more()
        heard = peer.heard[number]
        assert (heard.status, len(heard.messages)) == (0, 1)


def test_one_connection_more_takes_the_place_of_the_longest_idle(door: Door) -> None:
    async def crowd() -> None:
        for _ in range(MAX_CONNECTIONS - 1):
            door.server._connections.add(stand_in := door.server.protocol())
            stand_in.used = door.loop.time() + 1

    with door.peer() as first:
        assert first.call(request(), door.bearer()).status == Status.OK
        asyncio.run_coroutine_threadsafe(crowd(), door.loop).result(30)
        with door.peer() as second:
            assert first.end() == frames.NO_ERROR
            assert second.call(request(), door.bearer()).status == Status.OK
    until(lambda: door.server.connections == MAX_CONNECTIONS - 1)
    door.server._connections.clear()


def test_newcomers_take_the_places_of_as_many_others_at_once(door: Door) -> None:
    """Each closed the one that had been idle for longest, while that one was closing."""

    async def crowd() -> list[int]:
        servers = door.server
        for number in range(MAX_CONNECTIONS):
            servers._connections.add(stand_in := servers.protocol())
            stand_in.used = door.loop.time() - number
        counts = []
        for _ in range(20):
            servers._opened(servers.protocol())
            counts.append(servers.connections)
        servers._connections.clear()
        return counts

    counts = asyncio.run_coroutine_threadsafe(crowd(), door.loop).result(30)
    assert counts == [MAX_CONNECTIONS] * 20
