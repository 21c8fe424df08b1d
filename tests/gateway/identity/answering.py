"""An issuer on a loopback port that answers questions about opaque tokens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class AnsweringIssuer:
    """Says what a test tells it to say, and keeps what it was asked."""

    def __init__(self) -> None:
        self.questions: list[tuple[dict[str, str], bytes]] = []
        self.answers(b"{}")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.questions.append((headers, self.rfile.read(length)))
                self.send_response(outer._status)
                for name, value in outer._headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(outer._body)))
                self.end_headers()
                self.wfile.write(outer._body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answers(
        self, body: bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Say this from now on."""
        self._body, self._status, self._headers = body, status, headers or {}

    @contextmanager
    def running(self) -> Iterator[AnsweringIssuer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
