"""The state machine by itself: whatever comes, in whatever pieces."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from gateway.grpc.http2 import frames
from gateway.grpc.http2.bucket import Bucket
from gateway.grpc.http2.connection import ARRIVED, OPENED, RESET, Connection, Unclaimed
from gateway.grpc.http2.fields import FieldReader, literal
from gateway.grpc.http2.frames import END_HEADERS, END_STREAM, PREFACE, frame

KINDS = st.integers(0, 10)
FRAMES = st.builds(frame, KINDS, st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40))
HEAD = [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "g")]


def greeted() -> tuple[Connection, Unclaimed]:
    unclaimed = Unclaimed()
    connection = Connection(unclaimed)
    assert connection.receive(PREFACE + frames.settings([]), 0.0) == []
    connection.out.take()
    return connection, unclaimed


def session() -> bytes:
    """A client's side of two calls, one of them reset, with everything that may come between."""
    encoder = Encoder()
    block = encoder.encode([*HEAD, ("x", "y" * 50)])
    parts = [
        PREFACE,
        frames.settings([(4, 100), (5, 20_000), (99, 1)]),
        frame(frames.HEADERS, 0, 1, block[:9]),
        frame(frames.CONTINUATION, END_HEADERS, 1, block[9:]),
        frame(frames.PING, 0, 0, b"12345678"),
        frame(frames.DATA, frames.PADDED, 1, b"\x02abc\x00\x00"),
        frame(frames.HEADERS, END_HEADERS | frames.PRIORITISED, 3, bytes(5) + encoder.encode(HEAD)),
        frames.window_update(1, 5000),
        frame(frames.DATA, END_STREAM, 3, b"d"),
        frame(0xEE, 1, 1, b"unknown"),
        frames.reset(3, 8),
        frame(frames.DATA, END_STREAM, 1, b"ef"),
    ]
    return b"".join(parts)


def told(connection: Connection, pieces: list[bytes]) -> Any:
    events = [event for piece in pieces for event in connection.receive(piece, 0.0)]
    bodies = {stream.id: bytes(stream.received) for _, stream in events}
    return [(kind, stream.id) for kind, stream in events], bodies, connection.out.take()


def test_a_session_is_understood() -> None:
    events, bodies, answer = told(Connection(Unclaimed()), [session()])
    assert events == [
        (OPENED, 1),
        (ARRIVED, 1),
        (OPENED, 3),
        (ARRIVED, 3),
        (RESET, 3),
        (ARRIVED, 1),
    ]
    assert bodies == {1: b"abcef", 3: b"d"}
    assert frame(frames.PING, frames.ACK, 0, b"12345678") in answer
    assert frame(frames.SETTINGS, frames.ACK, 0) in answer


@given(st.lists(st.integers(0, len(session())), max_size=12))
def test_it_does_not_matter_where_bytes_are_cut(cuts: list[int]) -> None:
    whole, places = session(), [0, *sorted(cuts), len(session())]
    pieces = [whole[a:b] for a, b in pairwise(places)]
    assert told(Connection(Unclaimed()), pieces) == told(Connection(Unclaimed()), [whole])


@given(st.lists(st.binary(max_size=60), max_size=5), st.booleans())
def test_any_bytes_end_as_events_or_the_connection(pieces: list[bytes], greet: bool) -> None:
    connection = greeted()[0] if greet else Connection(Unclaimed())
    for piece in pieces:
        connection.receive(piece, 0.0)


@given(st.lists(FRAMES, max_size=30))
def test_any_frames_leave_nothing_behind(sent: list[bytes]) -> None:
    connection, unclaimed = greeted()
    opened: list[Any] = []
    for one in sent:
        opened += [stream for kind, stream in connection.receive(one, 0.0) if kind is OPENED]
    for stream in opened:
        connection.answer(stream, b"\x88")
        connection.finished()
    connection.close()
    connection.receive(b"", 0.0)
    assert unclaimed.held == 0
    assert connection.streams == {}
    assert not connection.out.waiting


def test_a_window_that_shrinks_holds_an_answer_back_until_it_opens() -> None:
    connection, _ = greeted()
    block = Encoder().encode(HEAD)
    events = connection.receive(frame(frames.HEADERS, 5, 1, block), 0.0)
    stream = events[0][1]
    connection.receive(frames.settings([(frames.INITIAL_WINDOW_SIZE, 4)]), 0.0)
    connection.head(stream, b"\x88")
    connection.data(stream, [b"0123456789"], 0.0)
    connection.end(stream, literal(b"grpc-status", b"0"))
    connection.receive(frames.settings([(frames.INITIAL_WINDOW_SIZE, 0)]), 0.0)
    assert stream.room_out == -4
    assert b"4567" not in connection.out.take()
    connection.receive(frames.window_update(1, 8), 0.0)
    assert b"4567" in connection.out.take()
    connection.receive(frames.window_update(1, 100), 0.0)
    assert b"grpc-status" in connection.out.take()
    assert connection.streams == {}


def test_answers_that_wait_take_turns() -> None:
    connection, _ = greeted()
    block = Encoder().encode(HEAD)
    streams = []
    for number in (1, 3):
        streams += connection.receive(frame(frames.HEADERS, 5, number, block), 0.0)
    for _, stream in streams:
        connection.data(stream, [bytes(1 << 20)], 0.0)
    connection.out.take()  # the first has used the window of the connection up
    for _ in range(2):
        connection.receive(frames.window_update(0, 16_384), 0.0)
        connection.receive(frames.window_update(1, 16_384), 0.0)
    sent = connection.out.take()
    heads = [b"\x00\x40\x00\x00\x00" + stream.to_bytes(4, "big") for stream in (1, 3)]
    assert [sent.count(head) for head in heads] == [1, 1]


def test_a_block_means_the_same_only_while_the_table_is_the_same() -> None:
    encoder, reader = Encoder(), FieldReader()
    first = encoder.encode([("a", "1")])
    assert reader.read(first) == ((b"a", b"1"),)
    again = encoder.encode([("a", "1")])
    assert again != first
    assert reader.read(again) is reader.read(again)
    reader.read(encoder.encode([("b", "2")]))
    assert reader.read(again) == ((b"b", b"2"),), "what the index names has moved"


@given(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=300)), max_size=5))
def test_a_literal_is_read_as_it_was_written(pairs: list[tuple[bytes, bytes]]) -> None:
    block = b"".join(literal(name, value) for name, value in pairs)
    assert FieldReader().read(block) == tuple(pairs)


@pytest.mark.parametrize(("seconds", "fits"), [(0.4, False), (0.6, True)])
def test_a_bucket_drains(seconds: float, fits: bool) -> None:
    bucket = Bucket(3, 2.0)
    assert [bucket.pour(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.pour(1.0 + seconds - 0.5) is fits


def test_a_bucket_is_relieved_by_what_is_useful() -> None:
    bucket = Bucket(3, 0.0)
    for _ in range(100):
        assert bucket.pour(0.0)
        bucket.relieve(1)
