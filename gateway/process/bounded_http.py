"""HTTP/1.1 whose connections, and the heads of whose requests, are bounded.

Safety argument.
1. No caller, known or not, makes the process keep more of a request's first line and headers than
   `MAX_HEAD_BYTES`. The parser alone keeps all of them.
2. A connection has one request at work and at most one that waits: who has an answer's last byte
   may ask again before the server knows that it was the last. When a third is sent ahead, the
   connection ends with the second's answer (RFC 9112 section 9.3.2 lets it), and what else comes is
   thrown away. More that wait would be memory without a bound: uvicorn reads on with each answer.
3. A head that is larger, or is none, ends its connection, before anything is asked of the
   application. The answer is a problem as everywhere, with the `error` that clients of the Open
   Inference Protocol read, as nobody has looked yet which path was meant. It repeats nothing, and
   no line of the log is written for it.
4. A head ends within `HEAD_SECONDS` of its first byte, however it is sent; a connection on which
   nothing is asked for is closed after `IDLE_SECONDS`.
5. Who does not read is not waited for: when nothing has left a full buffer for `SEND_SECONDS`, the
   connection is ended, with the request.
6. A door has at most `most_connections()`. One more takes the place of the one on which nothing has
   been asked, or read, for longest; where all are at work it is not let in. So nobody shuts others
   out by holding connections open, and no door takes the descriptors that the others need.
7. A request of HTTP/1.1 names its host once (RFC 9112 section 3.2): two readers could take two.
"""

from __future__ import annotations

import asyncio
import json
import resource
from http import HTTPStatus
from typing import ClassVar, Final
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.giving_way import Silent
from gateway.identity.client_certificate import ClientCertificate

# Two tokens bound to a key take 7 kB; the proxy of `deploy/` passes as much as this.
MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_SECONDS: Final = 10.0
"""As the proxy of `deploy/` gives its callers: some round trips of a bad line."""
IDLE_SECONDS: Final = 75
"""Longer than proxies keep a connection to use it again (nginx 60 s): else they meet its end."""
SEND_SECONDS: Final = 30.0
"""In which a reader makes room in a full buffer again, by 48 KiB: slower were dial-up lines."""
STALLED_SECONDS: Final = 5.0
"""After which who does not read may lose the place to a newcomer."""
LOOK_SECONDS: Final = 2.0
"""From one look at a connection to the next."""
MAX_CONNECTIONS: Final = 4096
"""Some 40 MB, when all of them are held for nothing."""
_TOO_LARGE: Final = "the request line and headers are larger than the gateway accepts"
_TOO_SLOW: Final = "the request line and headers did not arrive in time"
_AHEAD: Final = "a third request before the answer to the first"
_NO_REQUEST: Final = "this is not an HTTP request, or it does not name its host once"


def most_connections() -> int:
    """Return how many connections one door may have: a quarter of the descriptors there are."""
    return min(MAX_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)


class DoorState(ServerState):
    """What the connections of one door share.

    Attributes:
        silent: Those on which nothing is asked.
        full: Those whose peer does not read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.silent: Silent[BoundedHttp] = Silent()
        self.full: Silent[BoundedHttp] = Silent()

    def forget(self, one: BoundedHttp) -> None:
        """Let a connection give way to nobody any more."""
        self.silent.drop(one)
        self.full.drop(one)

    def spare(self, newcomer: BoundedHttp) -> BoundedHttp:
        """Return the connection that is least needed, which may be the newcomer's."""
        least = (self.silent.longest(besides=newcomer), self.full.longest(besides=newcomer))
        spare = (one for one in least if one is not None and one.spare)
        return min(spare, key=lambda one: one.since, default=newcomer)


class BoundedHttp(HttpToolsProtocol):
    """Uvicorn's protocol, given a head by pieces and no more than is allowed of it.

    The state of its server is a `DoorState`.

    Attributes:
        since: Seconds of the loop's clock when the head began, or when nothing was asked any more.
    """

    head_seconds: ClassVar[float] = HEAD_SECONDS
    idle_seconds: ClassVar[float] = IDLE_SECONDS
    look_seconds: ClassVar[float] = LOOK_SECONDS
    send_seconds: ClassVar[float] = SEND_SECONDS
    stalled_seconds: ClassVar[float] = STALLED_SECONDS

    server_state: DoorState
    _in_head = True
    _length = 0
    _ahead = False
    _before: RequestResponseCycle | None = None
    _look: asyncio.TimerHandle | None = None
    _full: float | None = None
    _line: tuple[str, ClientCertificate | None] = "", None
    since = 0.0

    @staticmethod
    def most() -> int:
        """How many connections the door may have."""
        return most_connections()

    @property
    def at_work(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def stalled(self) -> float:
        """For how many seconds the peer has read nothing of a full buffer."""
        return 0.0 if self._full is None else self.loop.time() - self._full

    @property
    def spare(self) -> bool:
        """Whether a newcomer may take its place."""
        return not self.at_work or self.stalled >= self.stalled_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, and give up the one that is least needed where there are too many."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        shown = None if tls is None else tls.getpeercert(binary_form=True)
        host = "" if self.client is None else self.client[0]
        self._line = host, ClientCertificate(shown) if shown else None
        self._fell_silent()
        self._look = self.loop.call_later(self.look_seconds, self._check)
        if len(self.connections) > self.most():
            self.server_state.spare(self).give_up()

    def _fell_silent(self) -> None:
        self.since = self.loop.time()
        if not self.at_work and self in self.connections:
            self.server_state.silent.note(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more, and let the request at work know where another waits behind it."""
        if self._look is not None:
            self._look.cancel()
        self.server_state.forget(self)
        self.pipeline.clear()
        if self._before is not None:
            self._before.disconnected = True
            self._before.message_event.set()
        super().connection_lost(exc)

    def give_up(self) -> None:
        """End the connection at once; with TLS, closing it would wait for the other side."""
        self.connections.discard(self)
        self.server_state.forget(self)
        self.transport.abort()

    def _check(self) -> None:
        self._look = self.loop.call_later(self.look_seconds, self._check)
        if self.stalled >= self.send_seconds:
            self.give_up()
            return
        waited = self.loop.time() - self.since
        if self.at_work or waited < self.head_seconds:
            return
        if self._length:
            self._refuse(408, _TOO_SLOW)
        elif waited >= self.idle_seconds:
            self._end()

    def _end(self) -> None:
        """Close the connection, without waiting for a peer that does not read."""
        if self.transport.get_write_buffer_size():
            self.give_up()
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """Note since when the buffer is full."""
        self._full = self.loop.time()
        self.server_state.full.note(self)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the peer reads."""
        self._full = None
        self.server_state.full.drop(self)
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take what the socket brought: of a head as much as there is room for, then the body."""
        if self._ahead:
            return  # it ends with the answer to what came before
        while data and self._in_head:
            if not self._length:
                self._fell_silent()
            room = MAX_HEAD_BYTES - self._length
            if not room:
                self._refuse(431, _TOO_LARGE)
                return
            piece, data = data[:room], data[room:]
            self._length += len(piece)
            super().data_received(piece)
            if self._ahead or self.transport.is_closing():
                return
        if data:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Note what connection a request comes over, which no header changes."""
        super().on_message_begin()
        self.scope["sealgate.line"] = self._line  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        """Count no more: what follows is a body, which the application bounds."""
        if self.at_work:
            if self._before is not None:
                self._ahead = True
                self.cycle.keep_alive = False
                raise ValueError(_AHEAD)  # the parser ends, and `send_400_response` is called
            self._before = self.cycle
        self._in_head = False
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            raise ValueError(_NO_REQUEST)  # the parser ends, and `send_400_response` is called
        super().on_headers_complete()
        self.server_state.silent.drop(self)

    def on_message_complete(self) -> None:
        """Count the next head of the connection."""
        self._in_head, self._length = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note since when nothing is asked."""
        self._before = None
        super().on_response_complete()
        self._fell_silent()

    def _refuse(self, status: int, detail: str) -> None:
        # Not in the middle of an answer, nor before that of an earlier request.
        if not self.at_work or not (self._in_head or self.cycle.response_started):
            self.transport.write(_refusal(status, detail))
        self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # what uvicorn would say
        """Tell that what came is no request; of one that came too early nothing is told."""
        if not self._ahead:
            self._refuse(400, _NO_REQUEST)


_TITLES: Final = {400: "http error", 408: "head timeout", 431: "head too large"}


def _refusal(status: int, detail: str) -> bytes:
    """Build an answer as the application would shape it (RFC 9457)."""
    request_id = str(uuid4())  # names this answer only: nothing is kept of it
    title = _TITLES[status]
    problem = {
        "type": "https://sealgate.dev/problems/" + title.replace(" ", "-"),
        "title": title,
        "status": status,
        "detail": detail,
        "error": detail,
        "request_id": request_id,
    }
    body = json.dumps(problem).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        f"sealgate-request-id: {request_id}",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
