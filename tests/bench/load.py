"""A closed-loop HTTP/1.1 load: each connection sends the next request when the last is answered.

Raw asyncio protocols, so that the load costs less than what it measures.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from tests.bench.processes import cpu_seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a load.

    Attributes:
        requests: Answers with status 200.
        refused: Answers with any other status.
        seconds: Wall time.
        p50_ms, p99_ms: Latency seen by the client.
        cpu_us: Processor time of the server, all its processes, for each answered request, in
            microseconds.
    """

    requests: int
    refused: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_us: float

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return self.requests / self.seconds


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, stop_at: float, latencies: list[float]) -> None:
        self._request, self._stop_at, self._latencies = request, stop_at, latencies
        self._buffer = bytearray()
        self._sent = 0.0
        self.refused = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        start = head.index(b"content-length:") + 15
        length = int(head[start : (head.find(b"\r\n", start) + 1 or end + 1) - 1])
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer.clear()
        now = time.perf_counter()
        if head.startswith(b"http/1.1 200"):
            self._latencies.append(now - self._sent)
        else:
            self.refused += 1
        if now < self._stop_at:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def run(port: int, request: bytes, *, pid: int, seconds: float, connections: int) -> Measured:
    """Load a server on loopback for `seconds` with that many connections."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    before, started = cpu_seconds(pid), time.perf_counter()
    open_ = [
        (
            await loop.create_connection(
                lambda: _Connection(request, started + seconds, latencies), "127.0.0.1", port
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for connection in open_))
    elapsed, cpu = time.perf_counter() - started, cpu_seconds(pid) - before
    latencies.sort()
    count = max(1, len(latencies))
    return Measured(
        requests=len(latencies),
        refused=sum(connection.refused for connection in open_),
        seconds=elapsed,
        p50_ms=latencies[count // 2] * 1000 if latencies else 0.0,
        p99_ms=latencies[int(count * 0.99)] * 1000 if latencies else 0.0,
        cpu_us=cpu / count * 1_000_000,
    )


def post(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Build the bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
