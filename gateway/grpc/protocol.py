"""One connection with its socket, its clock and the tasks of its calls.

A thin skin: `gateway.grpc.http2` decides what bytes mean, the service what calls mean.

Safety argument.
1. A caller who resets a stream, hangs up or lets a deadline pass ends the work on the call: its
   task is cancelled, which the pipeline records.
2. Every other end of a call is told as a status; what is not our error tells nothing.
3. A peer who does not finish what it began, does not take its answers or is idle loses the
   connection (`check`); one that breaks the protocol is told so and loses it at once.
4. Every call has a fresh id of our own making, which is in its answer, in its log lines and in the
   record; its trace ends as it does, whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import structlog

from gateway.artifacts.errors import Interrupted
from gateway.giving_way import Silent
from gateway.grpc.call import Answer, Call, Method, Methods
from gateway.grpc.ended import CallsEnded, Metadata
from gateway.grpc.errors import DeadlineExceeded, UnknownCompression, UnknownMethod
from gateway.grpc.head import Head, read_head
from gateway.grpc.http2.connection import ARRIVED, OPENED, Connection, Unclaimed
from gateway.grpc.http2.fields import literal
from gateway.grpc.http2.frames import CANCEL, PROTOCOL_ERROR
from gateway.grpc.http2.stream import Stream
from gateway.grpc.incoming import Bounds, Incoming
from gateway.grpc.status import Status, ending_of, percent_encoded
from gateway.traces import UNTRACED, Traces, Untraced

UNFINISHED_SECONDS: Final = 10.0
"""For a greeting, a frame or a block of headers: a few round trips of any network."""
IDLE_SECONDS: Final = 300.0
"""Without a call; a client opens another connection by itself."""
REQUEST_ID: Final = b"sealgate-request-id"
HEAD: Final = b"\x88" + literal(b"content-type", b"application/grpc")
"""Status 200 from the static table (RFC 7541 appendix A), and what follows."""
OFFERED: Final = literal(b"grpc-accept-encoding", b"identity,deflate,gzip")
OK: Final = literal(b"grpc-status", b"0")


@dataclass(frozen=True, slots=True)
class Shared:
    """What all connections of a server share."""

    methods: Methods
    bounds: Bounds
    unclaimed: Unclaimed
    new_id: Callable[[], str]
    traces: Traces
    ended: CallsEnded | None = None
    idle: Silent[GrpcProtocol] = field(default_factory=Silent)


class Work:
    """What is done about one stream.

    Attributes:
        gone: Nobody waits for the answer.
        late: The caller's deadline passed.
        sent: Bytes of messages that were written for it.
    """

    __slots__ = ("_begun", "_stopped", "gone", "incoming", "late", "sent", "task", "timer")

    def __init__(self, incoming: Incoming) -> None:
        self.incoming = incoming
        self.gone = self.late = False
        self.sent = 0
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._begun = self._stopped = False

    def begin(self) -> None:
        """Note that the task runs.

        Raises:
            CancelledError: It was ended before. A task that is cancelled before its first step
                never runs, not even its `finally`: so it is not cancelled then, but ends here.
        """
        self._begun = True
        if self._stopped:
            raise asyncio.CancelledError

    def stop(self) -> None:
        """End the work."""
        self._stopped = True
        if self._begun and self.task is not None:
            self.task.cancel()

    def cancel(self) -> None:
        """End the work; nobody waits for it."""
        self.gone = True
        self.stop()

    def expire(self) -> None:
        """End the work, because the caller's deadline passed."""
        self.late = True
        self.stop()


class GrpcProtocol(asyncio.Protocol):
    """One connection.

    Args:
        shared: What all connections share.
        opened: Told when the connection stands, with this protocol.
        lost: Told when it is over.

    Attributes:
        works: Calls under way.
        used: Monotonic seconds of the last beginning or end of a call.
    """

    def __init__(
        self,
        shared: Shared,
        opened: Callable[[GrpcProtocol], None],
        lost: Callable[[GrpcProtocol], None],
    ) -> None:
        self._shared = shared
        self._opened, self._lost = opened, lost
        self._loop = asyncio.get_running_loop()
        self._connection = Connection(shared.unclaimed)
        self._transport: asyncio.Transport | None = None
        self._paused = self._flushing = False
        self._moved: asyncio.Future[None] | None = None
        self._last_head: tuple[object, Head] = (None, cast("Head", None))
        self._frames = 0
        self.works: set[Work] = set()
        self.used = self._whole = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the peer."""
        self._transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._transport.abort()  # RFC 9113 section 3.2
        self._opened(self)
        self._flush()

    def connection_lost(self, _: Exception | None) -> None:
        """End the work for a peer that is gone."""
        self._connection.close()
        for work in list(self.works):
            work.cancel()
        self._transport = None
        self._move()
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        """Take what the socket brought."""
        connection = self._connection
        now = self._loop.time()
        for kind, stream in connection.receive(data, now):
            if kind is OPENED:
                self._begin(stream)
            elif stream.work is None:
                continue
            elif kind is ARRIVED:
                stream.work.incoming.arrived()
            else:
                stream.work.cancel()
        if connection.frames != self._frames or not connection.unfinished:
            self._frames, self._whole = connection.frames, now
        self._flush()

    def pause_writing(self) -> None:
        """Write no answers until the transport has taken what it has."""
        self._paused = True

    def resume_writing(self) -> None:
        """Write on."""
        self._paused = False
        self._flush()

    def _begin(self, stream: Stream) -> None:
        """Begin the work on a call."""
        known, head = self._last_head
        if stream.headers is not known:
            head = read_head(stream.headers)
            self._last_head = (stream.headers, head)
        incoming = Incoming(
            self._connection, stream, head.encoding, self._shared.bounds, self._flush
        )
        work = stream.work = Work(incoming)
        self.works.add(work)
        self._shared.idle.drop(self)
        self.used = self._loop.time()
        if head.timeout is not None:
            work.timer = self._loop.call_later(head.timeout, work.expire)
        work.task = self._loop.create_task(self._serve(stream, head, work))

    async def _serve(self, stream: Stream, head: Head, work: Work) -> None:
        """Answer one call; whatever happens, once."""
        request_id = self._shared.new_id()
        trace = self._shared.traces.begin(head.credentials.headers, request_id)
        structlog.contextvars.bind_contextvars(request_id=request_id)  # of this task only
        known: Metadata = ((REQUEST_ID, request_id.encode()),)
        status: Status | int = Status.CANCELLED
        ended = self._shared.ended
        began = 0.0 if ended is None else ended.monotonic()
        told: Metadata = ()
        try:
            work.begin()
            if head.refused:
                self._not_grpc(stream, head.refused, known)
                status = head.refused
                return
            call = Call(head, work.incoming, request_id, trace, self._sender(stream), ended)
            answer = await self._method(head)(call)
            self._reply(stream, answer, known)
            status, told = Status.OK, answer.metadata
        except asyncio.CancelledError:
            if not work.gone:
                refusal = DeadlineExceeded() if work.late else Interrupted()
                status, told = self._refuse(stream, refusal, known)
        except Exception as error:
            status, told = self._refuse(stream, error, known)
        finally:
            if trace is not UNTRACED:
                self._note(trace, head, status)
            self._end(work)
            if ended is not None:
                ended.call(self._named(head), status, began, work.sent, request_id, told)

    def _named(self, head: Head) -> str:
        """Return the name of a method: where it is one of ours, else nothing that was sent."""
        return head.path[1:] if head.path in self._shared.methods else ""

    def _note(self, trace: Untraced, head: Head, status: Status | int) -> None:
        """End the trace of a call."""
        if isinstance(status, Status):
            trace.end_rpc(self._named(head), status.name)
        else:
            trace.end(head.credentials.method, "", status)

    def _end(self, work: Work) -> None:
        work.incoming.release()
        if work.timer is not None:
            work.timer.cancel()
        self.works.discard(work)
        self._connection.finished()
        self.used = self._loop.time()
        if not self.works and self._transport is not None:
            self._shared.idle.note(self)
        self._flush_soon()

    def _method(self, head: Head) -> Method:
        method = self._shared.methods.get(head.path)
        if method is None:
            raise UnknownMethod
        return method

    def _reply(self, stream: Stream, answer: Answer, known: Metadata) -> None:
        """Write an answer: head, message and trailers."""
        if answer.parts is not None:
            self._send(stream, answer.parts)
        elif stream.answered is False:
            self._connection.head(stream, HEAD)
        trailers = [OK, *(literal(*pair) for pair in (*answer.metadata, *known))]
        self._connection.end(stream, b"".join(trailers))

    def _send(self, stream: Stream, parts: Sequence[bytes]) -> None:
        if not stream.answered:
            stream.answered = True
            self._connection.head(stream, HEAD)
        size = sum(map(len, parts))
        stream.work.sent += size
        prefix = b"\x00" + size.to_bytes(4, "big")
        self._connection.data(stream, [prefix, *parts], self._loop.time())

    def _sender(self, stream: Stream) -> Callable[[Sequence[bytes]], Awaitable[None]]:
        async def send(parts: Sequence[bytes]) -> None:
            self._send(stream, parts)
            self._flush()
            while stream.outgoing:
                await self._progress()

        return send

    async def _progress(self) -> None:
        """Wait until something has left, or nothing can any more."""
        if self._moved is None:
            self._moved = self._loop.create_future()
        await asyncio.shield(self._moved)

    def _move(self) -> None:
        if self._moved is not None:
            self._moved.set_result(None)
            self._moved = None

    def _refuse(self, stream: Stream, error: Exception, known: Metadata) -> tuple[Status, Metadata]:
        """End a call with a status, and return that and what was told after it."""
        ending = ending_of(error)
        if ending.status is Status.INTERNAL:
            structlog.get_logger().error("request_failed", fault=type(error).__name__)
        pairs = [
            (b"grpc-status", b"%d" % ending.status),
            (b"grpc-message", percent_encoded(ending.message)),
            *ending.metadata,
            *known,
        ]
        block = b"".join(literal(*pair) for pair in pairs)
        if stream.answered:
            self._connection.end(stream, block)
        else:
            offered = OFFERED if isinstance(error, UnknownCompression) else b""
            self._connection.answer(stream, HEAD + block + offered)
        return ending.status, ending.metadata

    def _not_grpc(self, stream: Stream, status: int, known: Metadata) -> None:
        block = b"".join(literal(*pair) for pair in ((b":status", b"%d" % status), *known))
        self._connection.answer(stream, block)

    def _flush_soon(self) -> None:
        """Write once for all calls that end in this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        """Hand to the transport what may leave."""
        transport, connection = self._transport, self._connection
        if transport is None:
            return
        while True:
            data = connection.out.take()
            if data:
                transport.write(data)
            if self._paused or not connection.out.waiting:
                break
            connection.resume()
            if not connection.out.ready:
                break
        self._move()
        if connection.closed and not connection.out.waiting:
            transport.close()

    def drain(self) -> None:
        """Take no more calls."""
        self._connection.drain()
        self._flush()

    def check(self, now: float) -> None:
        """Look whether the peer does its part: claim 3."""
        connection, transport = self._connection, self._transport
        if transport is None:
            return
        overdue = connection.out.overdue(now)
        if connection.closed or (overdue and self._paused):
            transport.abort()
        elif connection.unfinished and now - self._whole > UNFINISHED_SECONDS:
            connection.close(PROTOCOL_ERROR)
        elif not self.works and not connection.streams and now - self.used > IDLE_SECONDS:
            connection.close()
        for stream in overdue:
            connection.abandon(stream, CANCEL)
            stream.work.cancel()
        self._flush()

    def close(self) -> None:
        """End the connection; answers that wait are dropped."""
        self._connection.close()
        self._flush()

    def give_up(self) -> None:
        """End the connection and do not wait for the other side, as closing TLS would."""
        self.close()
        if self._transport is not None:
            self._loop.call_soon(self._transport.abort)  # what was said leaves before
