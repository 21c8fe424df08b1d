"""HTTP/1.1 whose requests have heads of bounded size.

Safety argument.
1. No caller, known or not, makes the process keep more of a request's first line and headers than
   `MAX_HEAD_BYTES`; of a request that was sent ahead of an answer, also what one read brought. The
   parser alone keeps all of them.
2. A head that is larger ends its connection, before anything is asked of the application.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Two tokens bound to a key take 7 kB; the proxy of `deploy/` passes as much as this.
MAX_HEAD_BYTES: Final = 64 * 1024
_REFUSAL: Final = b"""HTTP/1.1 431 Request Header Fields Too Large
content-length: 0
connection: close

""".replace(b"\n", b"\r\n")


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
            self.transport.write(_REFUSAL)
        self.transport.close()
