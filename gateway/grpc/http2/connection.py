"""The server's side of one HTTP/2 connection (RFC 9113), without a socket or a clock. Pure.

Safety argument. Whatever arrives, and in whatever pieces:
1. It ends as events about streams, as a stream that is reset, or as a connection that is told why
   (GOAWAY) and read no further; never as an exception.
2. What is kept of it is bounded: a frame, a block of headers (`gateway.grpc.http2.framing`),
   and for each of `MAX_STREAMS` streams what its window lets in. The
   window is small until the server widens it, which it does for a caller that is known; all that
   arrived before that, on all connections, fits `Unclaimed`.
3. A stream counts until the server has finished its work on it, also when the peer has reset it.
   Resets, and frames that ask for work and bring nothing, have a bound in time: a flood of either
   ends the connection (`gateway.grpc.http2.control`).
4. Nothing that a peer sends after its stream ended changes anything, but the table of headers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from gateway.grpc.http2.control import Control
from gateway.grpc.http2.fields import MAX_LIST_BYTES, FieldReader, Headers, check_request
from gateway.grpc.http2.frames import (
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    MAX_WINDOW,
    NO_ERROR,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFault,
    StreamFault,
    goaway,
    reset,
    settings,
    unpadded,
    window_update,
)
from gateway.grpc.http2.framing import FrameReader
from gateway.grpc.http2.outflow import OutFlow
from gateway.grpc.http2.stream import Stream

MAX_STREAMS: Final = 128
"""Requests under way on a connection: four times what saturates a core."""
STREAM_WINDOW: Final = 64 * 1024 - 1
"""The protocol's own initial window: a request of tabular data arrives in one piece."""
CONNECTION_WINDOW: Final = MAX_STREAMS * (STREAM_WINDOW + 1)
"""Every stream may fill its window, so one that is not read holds back no other."""
SMALL_INCREMENT: Final = 1024
"""Bytes; opening a window in larger steps is bounded by the window, and by what we send."""
UNCLAIMED_BYTES: Final = 64 << 20
"""Bodies of callers that are not known yet, on all connections."""

OPENED, ARRIVED, RESET = "opened", "arrived", "reset"
Event: TypeAlias = tuple[str, Stream]


class Unclaimed:
    """Bytes of bodies whose callers are not known yet, on all connections of a server."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = 0


class Connection:
    """One connection.

    Args:
        unclaimed: Shared by all connections of the server.

    Attributes:
        streams: The streams that are open, by number.
        out: What leaves.
        closed: Nothing more is read: the connection was told to end.
    """

    def __init__(self, unclaimed: Unclaimed) -> None:
        self.streams: dict[int, Stream] = {}
        self.out = OutFlow()
        self.closed = False
        self._unclaimed = unclaimed
        self._frames = FrameReader()
        self._checked: Headers | None = None
        self._fields = FieldReader()
        self._events: list[Event] = []
        self._control = Control(self.streams, self.out)
        self._highest = 0
        self._working = 0
        self._room = CONNECTION_WINDOW
        self._takers: dict[int, Callable[[int, int, bytes], None]] = {
            DATA: self._data,
            HEADERS: self._headers,
            PRIORITY: self._control.priority,
            RST_STREAM: self._reset,
            SETTINGS: self._settings,
            PUSH_PROMISE: self._control.refuse,
            PING: self._control.ping,
            GOAWAY: self._control.goaway,
            WINDOW_UPDATE: self._window_update,
            CONTINUATION: self._control.refuse,  # one that is expected is taken before
        }
        self.out.write(
            settings(
                [
                    (MAX_CONCURRENT_STREAMS, MAX_STREAMS),
                    (INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                    (MAX_HEADER_LIST_SIZE, MAX_LIST_BYTES),
                ]
            )
            + window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW)
        )

    @property
    def frames(self) -> int:
        """How many frames have arrived."""
        return self._frames.count

    @property
    def unfinished(self) -> bool:
        """Whether the peer began something that it must soon finish."""
        return self._frames.unfinished

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what the socket brought.

        Args:
            data: Bytes, cut anywhere.
            now: Monotonic seconds.

        Returns:
            What happened to streams, in order.
        """
        self._control.now = now
        if not self.closed:
            try:
                for frame_ in self._frames.read(data):
                    self._take(*frame_)
            except ConnectionFault as fault:
                self.close(fault.code)
        events, self._events = self._events, []
        return events

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        taker = self._takers.get(kind)
        try:
            if taker is None:
                self._control.strike()
            else:
                taker(flags, number, payload)
        except StreamFault as fault:
            self._fault(number, fault.code)

    def _fault(self, number: int, code: int) -> None:
        """Reset a stream for what its peer did."""
        self._control.strike_reset()
        stream = self.streams.get(number)
        if stream is not None:
            self._events.append((RESET, stream))
            self.abandon(stream, code)
        else:
            self.out.write(reset(number, code))

    def _known(self, number: int) -> Stream | None:
        """Return a stream, or `None` when it has ended; one that never began is a fault."""
        stream = self.streams.get(number)
        if stream is None and (number > self._highest or not number % 2):
            raise ConnectionFault(PROTOCOL_ERROR)
        return stream

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        stream = self._known(number)
        self._room -= size
        if self._room < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR)
        if self._room < CONNECTION_WINDOW // 2:
            self.out.write(window_update(0, CONNECTION_WINDOW - self._room))
            self._room = CONNECTION_WINDOW
        content = unpadded(flags, payload)
        if not content and not flags & END_STREAM:
            self._control.strike()
        if stream is None or stream.ended:
            return  # claim 4
        stream.room_in -= size
        if stream.room_in < 0:
            raise StreamFault(FLOW_CONTROL_ERROR)
        stream.received += content
        if not stream.claimed:
            self._hold(stream, len(content))
        if flags & END_STREAM:
            stream.ended = True
        self._events.append((ARRIVED, stream))

    def _hold(self, stream: Stream, count: int) -> None:
        stream.unclaimed += count
        self._unclaimed.held += count
        if self._unclaimed.held > UNCLAIMED_BYTES:
            raise StreamFault(ENHANCE_YOUR_CALM)

    def _headers(self, flags: int, number: int, block: bytes) -> None:
        """Open a stream, or end one by its trailers."""
        headers = self._fields.read(block)
        if number <= self._highest:
            self._trailers(number, flags)
            return
        self._highest = number
        if self._control.leaving or self._working >= MAX_STREAMS:  # claim 3
            raise StreamFault(REFUSED_STREAM)
        if headers is not self._checked:
            check_request(headers)
            self._checked = headers
        stream = Stream(number, headers, STREAM_WINDOW, self.out.initial_room)
        stream.ended = bool(flags & END_STREAM)
        self.streams[number] = stream
        self._working += 1
        self._events.append((OPENED, stream))

    def _trailers(self, number: int, flags: int) -> None:
        self._control.strike()
        stream = self.streams.get(number)
        if stream is None or stream.ended:
            return
        if not flags & END_STREAM:
            raise StreamFault(PROTOCOL_ERROR)
        stream.ended = True
        self._events.append((ARRIVED, stream))

    def _reset(self, _: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR)
        stream = self._known(number)
        self._control.strike_reset()
        if stream is not None:
            self._events.append((RESET, stream))
            self._forget(stream)

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        self._control.settings(flags, number, payload)
        self._pump()

    def _window_update(self, _: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR)
        increment = int.from_bytes(payload, "big") & MAX_WINDOW
        stream = self._known(number) if number else None
        if increment < SMALL_INCREMENT:
            self._control.strike()
        if not increment:
            raise StreamFault(PROTOCOL_ERROR) if number else ConnectionFault(PROTOCOL_ERROR)
        if number and stream is None:
            return
        self.out.widen(stream, increment)
        self._pump()

    def _pump(self) -> None:
        for stream in self.out.pump():
            self._over(stream)

    def resume(self) -> None:
        """Write what may leave now; the transport has taken what left before."""
        self._pump()

    def claim(self, stream: Stream, room: int) -> None:
        """Note that the caller is known, and let `room` bytes in that have not arrived yet."""
        if not stream.claimed:
            stream.claimed = True
            self._unclaimed.held -= stream.unclaimed
            stream.unclaimed = 0
        more = min(room, MAX_WINDOW) - stream.room_in
        if more > 0 and not stream.ended and stream.id in self.streams:
            stream.room_in += more
            self.out.write(window_update(stream.id, more))

    def answer(self, stream: Stream, block: bytes) -> None:
        """Answer with headers only."""
        if stream.id in self.streams:
            self.out.head(stream, block, end=True)
            self._over(stream)

    def head(self, stream: Stream, block: bytes) -> None:
        """Begin an answer."""
        if stream.id in self.streams:
            self.out.head(stream, block)

    def data(self, stream: Stream, parts: list[bytes], now: float) -> None:
        """Send a part of an answer, as the windows let it."""
        if stream.id in self.streams:
            self.out.data(stream, parts, now)
            if stream.outgoing:
                self._pump()

    def end(self, stream: Stream, trailers: bytes) -> None:
        """End an answer."""
        if stream.id in self.streams:
            self.out.end(stream, trailers)
            if not stream.outgoing:
                self._over(stream)

    def _over(self, stream: Stream) -> None:
        """Forget a stream that was answered; the peer need not send the rest (section 8.1)."""
        if not stream.ended:
            self.out.write(reset(stream.id, NO_ERROR))
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self.out.drop(stream)
        self._unclaimed.held -= stream.unclaimed
        stream.unclaimed = 0
        stream.claimed = True

    def abandon(self, stream: Stream, code: int) -> None:
        """End a stream without an answer."""
        if stream.id in self.streams:
            self.out.write(reset(stream.id, code))
            self._forget(stream)

    def finished(self) -> None:
        """Note that the server has finished its work on a stream, whatever became of it."""
        self._working -= 1
        self._control.relieve()

    def drain(self) -> None:
        """Take no more streams; those that are open go on (section 6.8)."""
        if not self._control.leaving:
            self._control.leaving = True
            self.out.write(goaway(self._highest, NO_ERROR))

    def close(self, code: int = NO_ERROR) -> None:
        """Tell the peer why the connection ends, and read no further."""
        if not self.closed:
            self.closed = True
            self._events.extend((RESET, stream) for stream in self.streams.values())
            self.out.write(goaway(self._highest, code))
            for stream in list(self.streams.values()):
                self._forget(stream)
