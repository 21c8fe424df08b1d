"""A plain connection: exactly the bytes that a test writes go out, and what comes back is kept."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass

PATIENCE = 30.0
"""Seconds after which a gateway that says nothing fails the test."""
ALIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: g\r\n\r\n"
RECEIPT = re.compile(rb"(sealgate-audit: \S+)/\d+\r\n")
REQUEST_ID = re.compile(
    rb"(?<![0-9a-f])[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(?![0-9a-f])"
)


@dataclass(frozen=True)
class Answer:
    """One answer, byte for byte: its head with status and headers in order, and its body."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def header(self, name: bytes) -> bytes | None:
        found = re.search(rb"\r\n" + name + rb": ([^\r]*)\r\n", self.head, re.IGNORECASE)
        return found.group(1) if found else None

    def without_its_own(self) -> Answer:
        """Leave out what every request gets another of, and nothing else.

        That is its id, and its place in the caller's own log, whose entries the receipt counts.
        """
        head = RECEIPT.sub(rb"\1/#\r\n", self.head)
        return Answer(*(REQUEST_ID.sub(b"#", part) for part in (head, self.body)))


class Wire:
    """One connection to a server on loopback."""

    def __init__(self, port: int) -> None:
        self._line = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        self._line.close()

    def send(self, data: bytes) -> None:
        """Send all of it, unless the other side has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self._line.sendall(data)

    def end(self) -> bytes:
        """Send no more, and return everything that comes until the other side closes."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
        while self._more():
            pass
        rest, self._got = self._got, b""
        return rest

    def answer(self, *, of_head: bool = False) -> Answer | None:
        """Return the next answer, interim ones included; None when the connection was closed."""
        while b"\r\n\r\n" not in self._got:
            if not self._more():
                assert not self._got, self._got
                return None
        head, self._got = self._take(self._got.index(b"\r\n\r\n") + 4)
        found = Answer(head, b"")
        if found.status == 100 or of_head:
            return found
        if found.header(b"transfer-encoding") is not None:
            return Answer(head, self._chunks())
        length = int(found.header(b"content-length") or 0)
        while len(self._got) < length:
            assert self._more(), "the answer is cut off"
        body, self._got = self._take(length)
        return Answer(head, body)

    def _chunks(self) -> bytes:
        while not self._got.endswith(b"0\r\n\r\n"):
            assert self._more(), "the answer is cut off"
        body, self._got = self._got, b""
        return body

    def _take(self, count: int) -> tuple[bytes, bytes]:
        return self._got[:count], self._got[count:]

    def _more(self) -> bool:
        try:
            part = self._line.recv(1 << 16)
        except ConnectionError:
            return False
        self._got += part
        return bool(part)


def request(method: str, target: str, token: str, *headers: str) -> bytes:
    """The head of a request."""
    lines = [f"{method} {target} HTTP/1.1", "host: g", f"authorization: Bearer {token}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
