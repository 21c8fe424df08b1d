"""`ModelStreamInfer`: many requests and their answers on one stream.

As Triton has it for models that answer each request once: answers come in the order of the
requests, though several are worked on; a refusal of one is an answer with `error_message`, and the
stream goes on. What is refused before its request was read (who asks is not known any more, or asks
too often) ends the stream with its status.

Safety argument. Each request takes the whole way of the pipeline, with a decision and a record of
its own; its token is looked at again, so one that has ended or was revoked in between ends the
stream. A proof of possession counts for its stream, which is one request of HTTP. At most `AHEAD`
are held at a time.

Each request has an id and log lines of its own, and where the stream is traced a span of its own
within the stream's: whether to trace is decided once, for the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from gateway.errors import SealgateError
from gateway.grpc.call import Answer, Call
from gateway.grpc.ended import Metadata
from gateway.grpc.infer_codec import FINAL, GrpcCodec, Names, names_so_far, parameter
from gateway.grpc.status import Status, ending_of
from gateway.grpc.wire import BYTES, write_bytes, write_varint
from gateway.identity.authenticate import Credentials, Proven
from gateway.inference.pipeline import InferCall, Pipeline

AHEAD: Final = 8
"""Requests of a stream that are worked on, or wait to be told: enough to fill a batch."""
IDLE_SECONDS: Final = 300.0
"""Between two requests: as long as a token lives by default."""
AUDIT: Final = "sealgate_audit"
PROBLEM: Final = "sealgate_problem"
REQUEST_ID: Final = "sealgate_request_id"


@dataclass(slots=True)
class _Waiting:
    """Requests of a stream in their order, `None` after the last, and room for more."""

    tasks: asyncio.Queue[asyncio.Task[list[bytes]] | None]
    room: asyncio.Semaphore


@dataclass(slots=True)
class _Asked:
    """One request of a stream."""

    call: Call
    credentials: Credentials
    taken: asyncio.Event


class StreamInfer:
    """The method.

    Args:
        pipeline: The way of an inference request.
        new_id: Draws the id of each request.
    """

    def __init__(self, pipeline: Pipeline, new_id: Callable[[], str]) -> None:
        self._pipeline = pipeline
        self._new_id = new_id

    async def __call__(self, call: Call) -> Answer:
        """Answer the requests of one stream."""
        waiting = _Waiting(asyncio.Queue(), asyncio.Semaphore(AHEAD))
        credentials = replace(call.head.credentials, proven=Proven())
        tasks: set[asyncio.Task[list[bytes]]] = set()
        reader = asyncio.create_task(self._read(call, credentials, waiting, tasks))
        try:
            while (task := await waiting.tasks.get()) is not None:
                await call.send(await task)
                tasks.discard(task)
                waiting.room.release()
            await reader
        finally:
            for left in (reader, *tasks):
                left.cancel()
            await asyncio.gather(reader, *tasks, return_exceptions=True)  # they are recorded
        return Answer(None)

    async def _read(
        self,
        call: Call,
        credentials: Credentials,
        waiting: _Waiting,
        tasks: set[asyncio.Task[list[bytes]]],
    ) -> None:
        """Begin with each request as soon as the one before it has been read."""
        try:
            while await call.incoming.begun(IDLE_SECONDS):
                await waiting.room.acquire()
                asked = _Asked(call, credentials, asyncio.Event())
                task = asyncio.create_task(self._answer(asked))
                tasks.add(task)
                waiting.tasks.put_nowait(task)
                read = asyncio.ensure_future(asked.taken.wait())
                try:
                    await asyncio.wait({read, task}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    read.cancel()
                if not asked.taken.is_set():
                    return  # it was refused before it was read
        finally:
            waiting.tasks.put_nowait(None)

    async def _answer(self, asked: _Asked) -> list[bytes]:
        """Return the parts of the `ModelStreamInferResponse` to one request."""
        codec = GrpcCodec()
        call = asked.call
        body = b""

        async def names(tenant: str) -> Names:
            nonlocal body
            body = await call.incoming.message(tenant)
            asked.taken.set()
            found = names_so_far(body, whole=True)
            assert found is not None
            codec.names = found
            return found

        async def read(_: str) -> bytes:
            return body

        request_id = self._new_id()
        structlog.contextvars.bind_contextvars(request_id=request_id)  # of this task only
        trace = call.trace.within(request_id)
        given = InferCall(
            asked.credentials, "", None, codec, read, request_id, trace=trace, names=names
        )
        status = Status.CANCELLED
        noted: Metadata = ()
        began = 0.0 if call.ended is None else call.ended.monotonic()
        try:
            answer = await self._pipeline.infer(given)
            status, noted = Status.OK, ((b"sealgate-audit", str(answer.receipt).encode()),)
        except Exception as refusal:
            ending = ending_of(refusal)
            status, noted = ending.status, ending.metadata
            if status is Status.INTERNAL:
                structlog.get_logger().error("request_failed", fault=type(refusal).__name__)
            if not isinstance(refusal, SealgateError) or not asked.taken.is_set():
                raise
            return _refused(codec, refusal, request_id)
        finally:
            trace.end_rpc(call.head.path[1:], status.name)
            if call.ended is not None:
                call.ended.within(call.head.path[1:], status, began, 0, request_id, noted)
            call.incoming.release(len(body))
        told: dict[str, str | bool] = {AUDIT: str(answer.receipt), REQUEST_ID: request_id}
        if codec.request is not None and codec.request.final_wanted:
            told[FINAL] = True
        return _streamed(answer.rendered, told)


def _streamed(parts: Sequence[bytes], told: dict[str, str | bool]) -> list[bytes]:
    """Wrap a response; fields may come in any order, so parameters are added at its end."""
    added = b"".join(write_bytes(4, parameter(*item)) for item in told.items())
    size = sum(map(len, parts)) + len(added)
    return [write_varint(2 << 3 | BYTES) + write_varint(size), *parts, added]


def _refused(codec: GrpcCodec, refusal: SealgateError, request_id: str) -> list[bytes]:
    ending = ending_of(refusal)
    told: dict[str, str | bool] = {PROBLEM: refusal.code, REQUEST_ID: request_id}
    if refusal.receipt:
        told[AUDIT] = refusal.receipt
    caller = codec.request.id if codec.request is not None else ""
    response = write_bytes(3, caller.encode()) if caller else b""
    response += b"".join(write_bytes(4, parameter(*item)) for item in told.items())
    return [write_bytes(1, ending.message.encode()), write_bytes(2, response)]
