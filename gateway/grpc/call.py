"""One call, as the methods of the service see it, and what they give back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.grpc.ended import CallsEnded, Metadata
from gateway.grpc.head import Head
from gateway.grpc.incoming import Incoming
from gateway.traces import Untraced


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        head: What its headers say.
        incoming: Its messages.
        request_id: The id that the caller hears of.
        trace: Takes note of its steps.
        send: Sends one message of a stream of answers, given in parts, and waits until the peer
            has taken most of it.
        ended: Notes the ends of the requests that it holds, if it is a stream.
    """

    head: Head
    incoming: Incoming
    request_id: str
    trace: Untraced
    send: Callable[[Sequence[bytes]], Awaitable[None]]
    ended: CallsEnded | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a method.

    Attributes:
        parts: Of its one message; `None` where all were sent.
        metadata: What is told after it.
    """

    parts: Sequence[bytes] | None
    metadata: Metadata = ()


Method: TypeAlias = Callable[[Call], Awaitable[Answer]]
Methods: TypeAlias = Mapping[str, Method]
"""By path: `/service/method`."""
