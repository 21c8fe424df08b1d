"""The messages of one call, read within their bounds in bytes and time.

Safety argument.
1. Before the caller is known no more is taken than the first window of the stream, and nothing of
   it is read: a message is asked for only in the name of a tenant.
2. From then on every byte counts against what the tenant's bodies may take, compressed or not.
3. A message is as long as its prefix says; that is held to the bound before the window opens.
4. A compressed message is inflated by pieces; each is counted before the next is made, and others
   have their turn between two.

Source: gRPC over HTTP2, "Length-Prefixed-Message".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.grpc.errors import UnknownCompression
from gateway.grpc.http2.connection import STREAM_WINDOW, Connection
from gateway.grpc.http2.stream import Stream
from gateway.inference.body_budget import BodyBudget
from gateway.inference.errors import BodyTimeout, BodyTooLarge, MalformedRequest
from gateway.inference.inflating import Inflater

PREFIX: Final = 5
"""One byte that tells compression, four of length."""
MAX_QUESTION: Final = 4096
"""Bytes; some of these calls are open to everybody, and all carry a name or two."""
_CODINGS: Final = {b"gzip": "gzip", b"deflate": "deflate"}
"""What is read of "Message-Encoding", by its name in HTTP."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of what arrives.

    Attributes:
        max_bytes: Of a message, inflated.
        timeout: Seconds for a message to arrive, once it has begun.
        budget: What all bodies share.
    """

    max_bytes: int
    timeout: float
    budget: BodyBudget


class Incoming:
    """What arrives on one stream.

    Args:
        connection: Opens the window of the stream.
        stream: Where it arrives.
        encoding: `grpc-encoding` of the call.
        bounds: Of what arrives.
        flush: Sends what the connection has to say.
    """

    __slots__ = (
        "_bounds",
        "_connection",
        "_encoding",
        "_flush",
        "_given",
        "_held",
        "_loaded",
        "_most",
        "_stream",
        "_tenant",
        "_until_then",
        "_waiter",
    )

    def __init__(
        self,
        connection: Connection,
        stream: Stream,
        encoding: bytes,
        bounds: Bounds,
        flush: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._encoding = encoding
        self._bounds = bounds
        self._flush = flush
        self._tenant = ""
        self._held = self._given = 0
        self._most = bounds.max_bytes
        self._loaded: bytes | None = None
        self._until_then: float | None = None
        self._waiter: asyncio.Future[None] | None = None

    def arrived(self) -> None:
        """Wake who waits: something arrived, or the stream ended."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def begun(self, patience: float) -> bool:
        """Wait until a message has begun; tell whether one has, or none comes any more.

        Raises:
            BodyTimeout: None has begun after `patience` seconds.
        """
        stream = self._stream
        if not stream.received and not stream.ended:
            self._until_then = asyncio.get_running_loop().time() + patience
            while not stream.received and not stream.ended:
                await self._more()
            self._until_then = None
        return bool(stream.received)

    async def beginning(self, tenant: str, least: int) -> tuple[bytes, bool]:
        """Return what has arrived of a message that is not compressed, and whether it is all.

        A compressed one is waited for and inflated. It stays to be taken.

        Args:
            tenant: As of `message`.
            least: Bytes that are waited for, or all of a shorter message.

        Raises:
            As `message`.
        """
        await self._claim(tenant)
        if self._loaded is None:
            await self._until(PREFIX)
            received, size = self._stream.received, PREFIX + self._length()
            if not received[0]:
                await self._until(min(PREFIX + least, size))
                with memoryview(received) as view:
                    return bytes(view[PREFIX:size]), len(received) >= size
        return await self.whole(tenant), True

    async def whole(self, tenant: str) -> bytes:
        """Return a message; it stays to be taken.

        Raises:
            As `message`.
        """
        if self._loaded is None:
            self._loaded = await self.message(tenant)
        return self._loaded

    async def question(self, tenant: str) -> bytes:
        """Return the one message of a call that asks about a server or a model, not of one.

        Raises:
            As `only`.
        """
        self._most = min(self._most, MAX_QUESTION)
        return await self.only(tenant)

    async def only(self, tenant: str) -> bytes:
        """Return the one message of a call that has one.

        Raises:
            As `message`; also when there is more than one.
        """
        found = await self.message(tenant)
        while not self._stream.ended and not self._stream.received:
            await self._in_time()
        if self._stream.received:
            raise MalformedRequest("the call has more than one message")
        return found

    async def message(self, tenant: str) -> bytes:
        """Return the next message.

        Args:
            tenant: In whose name it is held; give it back with `release`.

        Raises:
            BodyTooLarge: It is longer than the bound.
            BodyTimeout: It did not arrive in time.
            MalformedRequest: It is cut short, or its compression cannot be read.
            UnknownCompression: It is compressed in another way.
            TooManyRequests: Too many bytes are held at the moment.
        """
        if self._loaded is not None:
            found, self._loaded = self._loaded, None
            return found
        await self._claim(tenant)
        await self._until(PREFIX)
        size = PREFIX + self._length()
        await self._until(size)
        received = self._stream.received
        with memoryview(received) as view:
            content, compressed = bytes(view[PREFIX:size]), view[0]
        del received[:size]
        self._until_then = None
        self._given += len(content)
        self._count()
        self._connection.claim(self._stream, STREAM_WINDOW)
        return await self._inflate(content) if compressed else content

    def release(self, count: int | None = None) -> None:
        """Give bytes of messages that were taken back to the tenant's share, by default all."""
        if not self._held:
            return
        back = self._held if count is None else min(count, self._held)
        self._given -= min(back, self._given)
        self._held -= back
        self._bounds.budget.give_back(self._tenant, back)

    async def _claim(self, tenant: str) -> None:
        self._tenant = tenant
        self._connection.claim(self._stream, STREAM_WINDOW)
        self._count()

    def _count(self) -> None:
        """Hold what has arrived in the tenant's name."""
        due = len(self._stream.received) + self._given
        if due > self._held:
            self._bounds.budget.take(self._tenant, due - self._held)
            self._held = due
        elif due < self._held:
            self._bounds.budget.give_back(self._tenant, self._held - due)
            self._held = due

    def _length(self) -> int:
        """Read the length of the message that is next: claim 3."""
        prefix = self._stream.received[:PREFIX]
        size = int.from_bytes(prefix[1:], "big")
        if prefix[0] > 1:
            raise MalformedRequest("the message has no valid prefix")
        if size > self._most:
            raise BodyTooLarge
        return size

    async def _until(self, count: int) -> None:
        """Wait until so many bytes are there."""
        received = self._stream.received
        while len(received) < count:
            if self._stream.ended:
                raise MalformedRequest("the sender went away before the end of the message")
            self._connection.claim(self._stream, count - len(received))
            await self._in_time()
            self._count()

    async def _in_time(self) -> None:
        """Wait for more, not longer than a message may take."""
        if self._until_then is None:
            self._until_then = asyncio.get_running_loop().time() + self._bounds.timeout
        await self._more()

    async def _more(self) -> None:
        self._flush()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout_at(self._until_then):
                await self._waiter
        except TimeoutError:
            raise BodyTimeout from None
        finally:
            self._waiter = None

    async def _inflate(self, content: bytes) -> bytes:
        coding = _CODINGS.get(self._encoding)
        if coding is None:
            raise UnknownCompression
        if not content:
            raise MalformedRequest("the compressed message is empty")
        inflater, size = Inflater(coding), 0
        parts: list[bytes] = []
        for piece in inflater.feed(content):
            if parts:
                await asyncio.sleep(0)
            size += len(piece)
            if size > self._most:
                raise BodyTooLarge
            self._given += len(piece)
            self._count()
            parts.append(piece)
        inflater.end()
        self._given -= len(content)
        self._count()
        return parts[0] if len(parts) == 1 else b"".join(parts)
