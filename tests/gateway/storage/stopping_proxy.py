"""A way to a PostgreSQL server on which nothing comes through any more when it is told so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import make_url


class StoppingProxy:
    """Passes on what comes, until `stopped` is set: like a server that hangs.

    Args:
        target: The server's Unix socket.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.going = threading.Event()
        self.going.set()
        self._lines = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._lines += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                self.going.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@contextmanager
def stopping_proxy(url: str) -> Iterator[tuple[StoppingProxy, str]]:
    """Return a way to the server at `url`, and the address of that way."""
    parsed = make_url(url)
    folder, port = parsed.query["host"], parsed.port or 5432
    proxy = StoppingProxy(f"{folder}/.s.PGSQL.{port}")
    there = parsed.set(query={}, host="127.0.0.1", port=proxy.port)
    try:
        yield proxy, there.render_as_string(hide_password=False)
    finally:
        proxy.going.set()
        proxy.close()
