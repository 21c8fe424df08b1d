"""One stream: what arrived of a request, and what has not left of its answer."""

from __future__ import annotations

from collections import deque
from typing import Any

from gateway.grpc.http2.fields import Headers


class Stream:
    """One request and its answer.

    Attributes:
        id: Number of the stream.
        headers: Of the request.
        received: What arrived of the body and was not taken.
        ended: Nothing more arrives.
        room_in: Bytes that the peer may still send.
        room_out: Bytes that we may still send; below zero after the peer shrank its window.
        outgoing: What has not left.
        trailers: The block that ends the answer, once it is known.
        due: Monotonic seconds until which the answer must have left; 0 while none waits.
        unclaimed: Bytes that arrived before the caller was known.
        claimed: The caller is known.
        answered: The head of the answer was written.
        work: What the server does with it.
    """

    __slots__ = (
        "answered",
        "claimed",
        "due",
        "ended",
        "headers",
        "id",
        "outgoing",
        "received",
        "room_in",
        "room_out",
        "trailers",
        "unclaimed",
        "work",
    )

    def __init__(self, number: int, headers: Headers, room_in: int, room_out: int) -> None:
        self.id = number
        self.headers = headers
        self.received = bytearray()
        self.ended = False
        self.room_in = room_in
        self.room_out = room_out
        self.outgoing: deque[memoryview] = deque()
        self.trailers: bytes | None = None
        self.due = 0.0
        self.unclaimed = 0
        self.claimed = False
        self.answered = False
        self.work: Any = None
