"""From bytes, cut anywhere, to whole frames. Pure.

Safety argument.
1. What is kept between two reads is less than one frame of `MAX_FRAME_BYTES`, and of a block of
   headers `MAX_BLOCK_BYTES` in at most `MAX_PARTS` frames; both are refused before they are kept.
2. Nothing but the preface and then SETTINGS may come first, and nothing may come between the parts
   of a block (RFC 9113 sections 3.4 and 6.10).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from gateway.grpc.http2.frames import (
    ACK,
    CONTINUATION,
    ENABLE_PUSH,
    END_HEADERS,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HEAD_BYTES,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_BYTES,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    PREFACE,
    PRIORITISED,
    PROTOCOL_ERROR,
    SETTINGS,
    ConnectionFault,
    unpadded,
)

MAX_BLOCK_BYTES: Final = 64 * 1024
"""Compressed headers; what they say has the same bound."""
MAX_PARTS: Final = 16
"""Frames of one block of headers (CVE-2024-27316)."""
MAX_SETTINGS: Final = 32
"""Settings in one frame; six are defined."""

Frame: TypeAlias = tuple[int, int, int, bytes]
"""Kind, flags, stream and payload. The payload of HEADERS is the whole block, and nothing else."""


class FrameReader:
    """Reads the frames of one connection.

    Attributes:
        count: How many have arrived.
    """

    def __init__(self) -> None:
        self.count = 0
        self._rest = b""
        self._preface = PREFACE
        self._greeted = False
        self._block: tuple[int, int, list[bytes]] | None = None  # stream, flags, parts

    @property
    def unfinished(self) -> bool:
        """Whether the peer began something that it must soon finish."""
        return not self._greeted or bool(self._rest) or self._block is not None

    def read(self, data: bytes) -> Iterator[Frame]:
        """Take what arrived, and yield the frames that are whole.

        Raises:
            ConnectionFault: It is no HTTP/2, or over a bound.
        """
        if self._rest:
            data = self._rest + data
        position = self._greeting(data) if self._preface else 0
        end = len(data)
        while end - position >= HEAD_BYTES:
            length = int.from_bytes(data[position : position + 3], "big")
            if length > MAX_FRAME_BYTES:
                raise ConnectionFault(FRAME_SIZE_ERROR)
            start = position + HEAD_BYTES
            if end - start < length:
                break
            kind, flags = data[start - 6], data[start - 5]
            number = int.from_bytes(data[start - 4 : start], "big") & MAX_WINDOW
            position = start + length
            self.count += 1
            whole = self._whole(kind, flags, number, data[start:position])
            if whole is not None:
                yield whole
        self._rest = data[position:]

    def _greeting(self, data: bytes) -> int:
        """Take what came of the preface, and return its length."""
        count = min(len(data), len(self._preface))
        if data[:count] != self._preface[:count]:
            raise ConnectionFault(PROTOCOL_ERROR)
        self._preface = self._preface[count:]
        return count

    def _whole(self, kind: int, flags: int, number: int, payload: bytes) -> Frame | None:
        """Return a frame, or the block of headers that it completes; `None` in between."""
        if self._block is not None:
            return self._continuation(kind, flags, number, payload)
        if not self._greeted:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(PROTOCOL_ERROR)
            self._greeted = True
        if kind != HEADERS:
            return kind, flags, number, payload
        block = _block(flags, payload)
        if not number % 2:
            raise ConnectionFault(PROTOCOL_ERROR)
        if flags & END_HEADERS:
            return kind, flags, number, block
        self._block = (number, flags, [block])
        return None

    def _continuation(self, kind: int, flags: int, number: int, payload: bytes) -> Frame | None:
        assert self._block is not None
        expected, first, parts = self._block
        if kind != CONTINUATION or number != expected:
            raise ConnectionFault(PROTOCOL_ERROR)
        parts.append(payload)
        if len(parts) > MAX_PARTS or sum(map(len, parts)) > MAX_BLOCK_BYTES:
            raise ConnectionFault(ENHANCE_YOUR_CALM)
        if not flags & END_HEADERS:
            return None
        self._block = None
        return HEADERS, first, number, b"".join(parts)


def _block(flags: int, payload: bytes) -> bytes:
    """Return what HEADERS carries of the block, without padding and priority (section 6.2)."""
    block = unpadded(flags, payload)
    if not flags & PRIORITISED:
        return block
    if len(block) < 5:
        raise ConnectionFault(FRAME_SIZE_ERROR)
    return block[5:]


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Yield keys and values of a SETTINGS frame (section 6.5.2).

    Raises:
        ConnectionFault: It is none, or a value is out of its range.
    """
    if len(payload) % 6:
        raise ConnectionFault(FRAME_SIZE_ERROR)
    if len(payload) > 6 * MAX_SETTINGS:
        raise ConnectionFault(ENHANCE_YOUR_CALM)
    for at in range(0, len(payload), 6):
        key = int.from_bytes(payload[at : at + 2], "big")
        value = int.from_bytes(payload[at + 2 : at + 6], "big")
        if key == ENABLE_PUSH and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR)
        if key == MAX_FRAME_SIZE and not MAX_FRAME_BYTES <= value < 1 << 24:
            raise ConnectionFault(PROTOCOL_ERROR)
        if key == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR)
        yield key, value
