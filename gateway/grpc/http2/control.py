"""Frames that are about a connection and not about a call: what they do, how many may come. Pure.

Safety argument.
1. A frame that asks for work and brings nothing (PING, SETTINGS, PRIORITY, GOAWAY, empty DATA, a
   small WINDOW_UPDATE, an unknown one) is a strike. Strikes have a bound in time beside those that
   belong to calls (CVE-2019-9511 to 9518).
2. A stream that was begun for nothing, because either side reset it, has a bound of its own
   (CVE-2023-44487).
3. One strike more than that ends the connection, as does a frame that breaks the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.grpc.http2.bucket import Bucket
from gateway.grpc.http2.frames import (
    ACK,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_BYTES,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    PING,
    PROTOCOL_ERROR,
    SETTINGS,
    ConnectionFault,
    frame,
)
from gateway.grpc.http2.framing import read_settings
from gateway.grpc.http2.outflow import OutFlow
from gateway.grpc.http2.stream import Stream

CONTROL_FRAMES: Final = 4
"""That belong to one call: gRPC's own library sends a PING and two small WINDOW_UPDATEs."""


class Control:
    """Takes the frames about one connection.

    Args:
        streams: The streams that are open, by number.
        out: What leaves.

    Attributes:
        now: Monotonic seconds of what is taken.
        leaving: No more calls are begun: either side said so.
    """

    def __init__(self, streams: Mapping[int, Stream], out: OutFlow) -> None:
        self._streams = streams
        self._out = out
        self._strikes = Bucket(1000, 200.0)
        self._resets = Bucket(200, 20.0)
        self.now = 0.0
        self.leaving = False

    def strike(self) -> None:
        """Count a frame that asked for work and brought nothing: claim 1."""
        if not self._strikes.pour(self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM)

    def strike_reset(self) -> None:
        """Count a stream that was begun for nothing: claim 2."""
        if not self._resets.pour(self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM)

    def relieve(self) -> None:
        """Take what belongs to a call from the count: one was worked on."""
        self._strikes.relieve(CONTROL_FRAMES)

    def priority(self, _: int, number: int, payload: bytes) -> None:
        """Take a PRIORITY, which means nothing here (section 6.3)."""
        self.strike()
        if not number:
            raise ConnectionFault(PROTOCOL_ERROR)
        if len(payload) != 5:
            raise ConnectionFault(FRAME_SIZE_ERROR)

    def settings(self, flags: int, number: int, payload: bytes) -> None:
        """Take SETTINGS: what leaves keeps to them from now on (section 6.5)."""
        if number:
            raise ConnectionFault(PROTOCOL_ERROR)
        if flags & ACK:
            if payload:
                raise ConnectionFault(FRAME_SIZE_ERROR)
            return
        self.strike()
        for key, value in read_settings(payload):
            self._set(key, value)
        self._out.write(frame(SETTINGS, ACK, 0))

    def _set(self, key: int, value: int) -> None:
        out = self._out
        if key == MAX_FRAME_SIZE:
            out.max_frame = min(value, 4 * MAX_FRAME_BYTES)
        elif key == INITIAL_WINDOW_SIZE:
            change, out.initial_room = value - out.initial_room, value
            for stream in self._streams.values():
                stream.room_out += change
                if stream.room_out > MAX_WINDOW:
                    raise ConnectionFault(FLOW_CONTROL_ERROR)

    def ping(self, flags: int, number: int, payload: bytes) -> None:
        """Answer a PING (section 6.7)."""
        if number:
            raise ConnectionFault(PROTOCOL_ERROR)
        if len(payload) != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR)
        self.strike()
        if not flags & ACK:
            self._out.write(frame(PING, ACK, 0, payload))

    def goaway(self, _: int, number: int, __: bytes) -> None:
        """Take a GOAWAY (section 6.8)."""
        self.strike()
        if number:
            raise ConnectionFault(PROTOCOL_ERROR)
        self.leaving = True

    def refuse(self, _: int, __: int, ___: bytes) -> None:
        """Refuse a frame that no client may send, or not here."""
        raise ConnectionFault(PROTOCOL_ERROR)
