"""A client that says exactly what a test wants: frames out, frames in."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

from hpack import Decoder, Encoder

from gateway.grpc.http2 import frames
from gateway.grpc.http2.frames import END_HEADERS, END_STREAM, frame

PATIENCE = 20.0
"""Seconds after which a gateway that says nothing fails the test."""
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


@dataclass
class Heard:
    """What came on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    reset: int | None = None
    ended: bool = False

    @property
    def status(self) -> int:
        return int((self.trailers or self.headers)["grpc-status"])

    @property
    def told(self) -> dict[str, str]:
        return self.trailers or self.headers

    @property
    def messages(self) -> list[bytes]:
        found, rest = [], self.data
        while rest:
            size = int.from_bytes(rest[1:5], "big")
            found.append(rest[5 : 5 + size])
            rest = rest[5 + size :]
        return found


def message(content: bytes, compressed: bool = False) -> bytes:
    """A length-prefixed message."""
    return bytes([compressed]) + len(content).to_bytes(4, "big") + content


class Peer:
    """One connection to a gRPC door on loopback."""

    def __init__(
        self,
        port: int,
        tls: ssl.SSLContext | None = None,
        *,
        settings: tuple[tuple[int, int], ...] = (),
        greet: bool = True,
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        self.encoder, self._decoder = Encoder(), Decoder()
        self._rest = b""
        self.heard: dict[int, Heard] = {}
        self.control: list[tuple[int, int, int, bytes]] = []
        self.widened: dict[int, int] = {}
        self.closed = False
        self._next = 1
        if greet:
            self.send(frames.PREFACE + frames.settings(settings))

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def send(self, data: bytes) -> None:
        """Send all of it, unless the other side has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self.line.sendall(data)

    def head(self, path: str = INFER, *more: tuple[str, str], **changed: str) -> bytes:
        """A block of headers of a call."""
        pseudo = {"method": "POST", "scheme": "http", "path": path, "authority": "g", **changed}
        pairs = [(f":{name}", value) for name, value in pseudo.items() if value]
        pairs += [("content-type", "application/grpc"), ("te", "trailers"), *more]
        return self.encoder.encode(pairs)

    def begin(self, path: str = INFER, *more: tuple[str, str], end: bool = False) -> int:
        """Send the headers of a call; return its stream."""
        number, self._next = self._next, self._next + 2
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.send(frame(frames.HEADERS, flags, number, self.head(path, *more)))
        return number

    def data(self, number: int, content: bytes, *, end: bool = True) -> None:
        """Send DATA, in frames of the least size that everybody takes."""
        size = frames.MAX_FRAME_BYTES
        pieces = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
        for piece in pieces[:-1]:
            self.send(frame(frames.DATA, 0, number, piece))
        self.send(frame(frames.DATA, END_STREAM if end else 0, number, pieces[-1]))

    def call(self, content: bytes, *more: tuple[str, str], path: str = INFER) -> Heard:
        """Make a call with one message and wait for its end."""
        number = self.begin(path, *more)
        self.data(number, message(content))
        return self.answer(number)

    def answer(self, number: int) -> Heard:
        """Wait for the end of a stream."""
        while not (heard := self.heard.setdefault(number, Heard())).ended:
            if heard.reset is not None or not self.more():
                break
        return heard

    def until(self, kind: int) -> bytes:
        """Wait for a frame about the connection, and return its payload."""
        while True:
            for index, (found, flags, _, payload) in enumerate(self.control):
                if found == kind and not (kind == frames.SETTINGS and flags & frames.ACK):
                    del self.control[index]
                    return payload
            assert self.more(), "the connection ended"

    def room(self, number: int) -> int:
        """Wait until the window of a stream is opened, and return by how much."""
        while number not in self.widened:
            assert self.more(), "the connection ended"
        return self.widened.pop(number)

    def end(self) -> int | None:
        """Wait for the end of the connection; return the code of its GOAWAY."""
        while self.more():
            pass
        codes = [int.from_bytes(p[4:8], "big") for k, _, _, p in self.control if k == frames.GOAWAY]
        return codes[-1] if codes else None

    def more(self) -> bool:
        """Read once; tell whether there was something."""
        try:
            part = self.line.recv(1 << 16)
        except ConnectionError:
            part = b""
        if not part:
            self.closed = True
            return False
        self._rest += part
        while len(self._rest) >= 9:
            size = int.from_bytes(self._rest[:3], "big")
            if len(self._rest) < 9 + size:
                break
            number = int.from_bytes(self._rest[5:9], "big")
            self._take(self._rest[3], self._rest[4], number, self._rest[9 : 9 + size])
            self._rest = self._rest[9 + size :]
        return True

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if not number:
            self.control.append((kind, flags, number, payload))
            return
        heard = self.heard.setdefault(number, Heard())
        if kind == frames.HEADERS:
            pairs: Any = self._decoder.decode(payload)
            if heard.headers:
                heard.trailers = dict(pairs)
            else:
                heard.headers = dict(pairs)
        elif kind == frames.DATA:
            heard.data += payload
        elif kind == frames.WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            self.widened[number] = self.widened.get(number, 0) + more
        elif kind == frames.RST_STREAM:
            heard.reset = int.from_bytes(payload, "big")
        if kind in (frames.HEADERS, frames.DATA) and flags & END_STREAM:
            heard.ended = True
