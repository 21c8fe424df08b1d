"""`python -m tests.bench.request_lines`: what a request pays for its log line.

The outermost layer of a door around an application that does nothing, with each share of lines in
turn; the processor time of the thread that writes is counted. The least of the rounds is printed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from gateway.log_sink import LogSink
from gateway.request_lines import RequestLines, Share
from gateway.traces import Traces
from gateway.web.boundary import Boundary

REQUESTS, ROUNDS = 10_000, 15
SHARES: tuple[Share | None, ...] = (None, "errors", 0.01, "all")
HEADERS = [
    (b"content-type", b"application/json"),
    (b"sealgate-audit", b"log.example.org/clinic/1812"),
    (b"cache-control", b"no-store"),
]


async def nothing(_: Any, __: Any, send: Any) -> None:
    """Answer as an inference does."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


async def unheard(_: Any = None) -> Any:
    """Take what is sent."""


async def asked(app: Boundary, lines: RequestLines) -> float:
    """Return the processor seconds of `REQUESTS` requests and their lines."""
    started = time.process_time()
    for _ in range(REQUESTS):
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await app(scope, unheard, unheard)
    lines.flush()
    return time.process_time() - started


def main() -> None:
    ids = cycle([f"01a21acc-0372-7913-a23f-{secrets.token_hex(6)}" for _ in range(REQUESTS)])
    spent: dict[Share | None, list[float]] = {share: [] for share in SHARES}
    with tempfile.TemporaryDirectory() as folder:
        sink = LogSink(Path(folder, "log"))
        for share in SHARES * ROUNDS:
            lines = RequestLines(sink.write, clock=time.time, monotonic=time.monotonic)
            lines.set("info", share or "errors")
            given = None if share is None else lines
            traces = Traces(0.0, lambda: 0)
            app = Boundary(nothing, ids.__next__, traces, lambda *_: None, given, "public")
            spent[share].append(asyncio.run(asked(app, lines)))
    for share, found in spent.items():
        told = "no lines" if share is None else f"log_requests = {share}"
        print(f"{told:24} {min(found) / REQUESTS * 1e6:6.2f} µs a request")
    print("load", *(f"{one:.1f}" for one in os.getloadavg()))


if __name__ == "__main__":
    main()
