"""HTTP/1.1 whose requests have heads of bounded size.

Safety argument.
1. No caller, known or not, makes the process keep more of a request's first line and headers than
   `MAX_HEAD_BYTES`; of a request that was sent ahead of an answer, also what one read brought. The
   parser alone keeps all of them.
2. A head that is larger, or is none, ends its connection, before anything is asked of the
   application. The answer is a problem as everywhere, with the `error` that clients of the Open
   Inference Protocol read, as nobody has looked yet which path was meant. It repeats nothing.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Two tokens bound to a key take 7 kB; the proxy of `deploy/` passes as much as this.
MAX_HEAD_BYTES: Final = 64 * 1024
_TOO_LARGE: Final = "the request line and headers are larger than the gateway accepts"
_NO_REQUEST: Final = "this is not an HTTP request"


class BoundedHead(HttpToolsProtocol):
    """Uvicorn's protocol, given a head by pieces and no more than is allowed of it."""

    _in_head = True
    _length = 0

    def data_received(self, data: bytes) -> None:
        """Take what the socket brought: of a head as much as there is room for, then the body."""
        while data and self._in_head:
            room = MAX_HEAD_BYTES - self._length
            if not room:
                self._refuse()
                return
            piece, data = data[:room], data[room:]
            self._length += len(piece)
            super().data_received(piece)
            if self.transport.is_closing():
                return
        if data:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        """Count no more: what follows is a body, which the application bounds."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Count the next head of the connection."""
        self._in_head, self._length = True, 0
        super().on_message_complete()

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_refusal(431, "head too large", _TOO_LARGE))
        self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # what uvicorn would say
        """Tell that what came is no request."""
        self.transport.write(_refusal(400, "http error", _NO_REQUEST))
        self.transport.close()


def _refusal(status: int, title: str, detail: str) -> bytes:
    """Build an answer as the application would shape it (RFC 9457)."""
    request_id = str(uuid4())  # names this answer only: nothing is kept of it
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
