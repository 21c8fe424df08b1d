"""What leaves a connection: frames, within the windows that the peer opened (RFC 9113 section 5.2).

Safety argument.
1. No more DATA is written than the stream's and the connection's window allow, nor than
   `PUMP_BYTES` at a time: the rest waits until the transport has taken that.
2. An answer must be gone in `SEND_SECONDS` and the time that it takes at `SLOW_BYTES` a second: a
   peer that reads more slowly, or opens its window by a byte, does not hold memory for longer.
3. Streams whose answers wait take turns, so a large answer does not hold back a small one.
"""

from __future__ import annotations

from typing import Final

from gateway.grpc.http2.fields import SIZE_UPDATE
from gateway.grpc.http2.frames import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    HEADERS,
    MAX_FRAME_BYTES,
    MAX_WINDOW,
    ConnectionFault,
    StreamFault,
    frame,
)
from gateway.grpc.http2.stream import Stream

PUMP_BYTES: Final = 256 * 1024
"""What is handed to the transport at a time: two to four times what a socket buffers."""
SEND_SECONDS: Final = 30.0
"""As long as a body may take to arrive by default."""
SLOW_BYTES: Final = 32 * 1024
"""A second; less than any network that a model is called over."""


class OutFlow:
    """Queues answers and writes what may leave."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._size = 0
        self._room = DEFAULT_WINDOW
        self._waiting: dict[int, Stream] = {}
        self._resized = False
        self.initial_room = DEFAULT_WINDOW
        self.max_frame = MAX_FRAME_BYTES

    @property
    def waiting(self) -> bool:
        """Whether something has not left."""
        return bool(self._waiting)

    @property
    def ready(self) -> bool:
        """Whether something may leave now."""
        return bool(self._frames)

    def write(self, control: bytes) -> None:
        """Write a frame that no window holds back."""
        self._frames.append(control)
        self._size += len(control)

    def take(self) -> bytes:
        """Return the bytes that may leave now."""
        frames, self._frames, self._size = self._frames, [], 0
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def head(self, stream: Stream, block: bytes, *, end: bool = False) -> None:
        """Write the headers of an answer; `end`: they are all of it."""
        if not self._resized:
            self._resized, block = True, SIZE_UPDATE + block
        flags = END_HEADERS | END_STREAM if end else END_HEADERS
        self.write(frame(HEADERS, flags, stream.id, block))

    def data(self, stream: Stream, parts: list[bytes], now: float) -> None:
        """Queue a part of an answer, and write what may leave of it."""
        size = sum(map(len, parts))
        if not stream.outgoing and size <= min(self._room, stream.room_out, self.max_frame):
            self._room -= size
            stream.room_out -= size
            self.write(frame(DATA, 0, stream.id, b"".join(parts)))
            return
        stream.outgoing.extend(memoryview(part) for part in parts if part)
        stream.due = max(stream.due, now + SEND_SECONDS) + size / SLOW_BYTES
        self._waiting[stream.id] = stream

    def end(self, stream: Stream, trailers: bytes) -> None:
        """Queue the end of an answer; it is written when all before it has left."""
        if stream.outgoing:
            stream.trailers = trailers
        else:
            self.write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, trailers))

    def drop(self, stream: Stream) -> None:
        """Forget what has not left."""
        self._waiting.pop(stream.id, None)
        stream.outgoing.clear()
        stream.due = 0.0

    def pump(self) -> list[Stream]:
        """Write what may leave of what waits; return the streams whose answers have left whole."""
        done: list[Stream] = []
        moved = True
        while moved and self._room > 0 and self._size < PUMP_BYTES:
            moved = False
            for stream in list(self._waiting.values()):
                if self._send_some(stream):
                    moved = True
                    self._waiting[stream.id] = self._waiting.pop(stream.id)  # now others go first
                if not stream.outgoing:
                    self.drop(stream)
                    if stream.trailers is not None:
                        self.end(stream, stream.trailers)
                        done.append(stream)
        return done

    def _send_some(self, stream: Stream) -> bool:
        """Write one frame of a stream, if its windows let it."""
        room = min(self._room, stream.room_out, self.max_frame)
        if room <= 0 or self._size >= PUMP_BYTES:
            return False
        part = stream.outgoing.popleft()
        if len(part) > room:
            stream.outgoing.appendleft(part[room:])
            part = part[:room]
        self._room -= len(part)
        stream.room_out -= len(part)
        self.write(frame(DATA, 0, stream.id, bytes(part)))
        return True

    def widen(self, stream: Stream | None, increment: int) -> None:
        """Note that the peer opened the window of a stream, or (`None`) of the connection.

        Raises:
            ConnectionFault, StreamFault: It is wider than a window may be (section 6.9.1).
        """
        if stream is None:
            self._room += increment
            if self._room > MAX_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR)
            return
        stream.room_out += increment
        if stream.room_out > MAX_WINDOW:
            raise StreamFault(FLOW_CONTROL_ERROR)

    def overdue(self, now: float) -> list[Stream]:
        """Return the streams whose answers should have left: claim 2."""
        return [stream for stream in self._waiting.values() if now > stream.due]
