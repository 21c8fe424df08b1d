"""A gateway that says what a test wants it to say, over real HTTP: operators can do this."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.gateway.artifacts.publisher import Published, Tenant, public_pem

Answer = tuple[int, bytes]


@dataclass
class FalseGateway:
    """What is served; a test changes it.

    Attributes:
        tenant: Whose release key is shown.
        served: Versions by model and version.
        current: What is served by default, by model.
        answers: Full answers by method and path, in place of honest ones.
        sending: Cleared: payloads wait after their first byte.
        asked: Set when a payload is asked for.
        seen: Methods, paths and ranges that were asked for.
    """

    tenant: Tenant
    served: dict[tuple[str, str], Published] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    sending: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, published: Published, version: str = "") -> Published:
        """Serve a version, under its name or another."""
        manifest = published.manifest
        self.served[manifest.model, version or manifest.version] = published
        return published

    def bytes_fetched(self) -> int:
        """How often a payload or a header was asked for."""
        return sum("/payloads/" in path for _, path, _ in self.seen)

    def answer(self, method: str, path: str, recipient: str) -> Answer:
        if (method, path) in self.answers:
            return self.answers[method, path]
        if path == "/oauth/token":
            return 200, b'{"access_token":"t","expires_in":300}'
        match path.split("?")[0].split("/")[3:]:
            case [model]:
                current = self.current.get(model)
                shown = {"version": current} if current else None
                return 200, json.dumps({"name": model, "current": shown}).encode()
            case [model, "versions"]:
                names = [version for of, version in self.served if of == model]
                items = [{"version": name, "state": "released"} for name in names]
                return 200, json.dumps({"items": items, "next": None}).encode()
            case [model, "versions", version, *rest] if (model, version) in self.served:
                return self._version(self.served[model, version], rest, recipient)
        return 404, b'{"detail":"there is no such thing"}'

    def _version(self, one: Published, rest: list[str], recipient: str) -> Answer:
        match rest:
            case []:
                entry = {"role": "graph", "digest": one.digest, "length": len(one.payload)}
                return 200, json.dumps({"payloads": [entry]}).encode()
            case ["manifest"]:
                return 200, one.document.manifest
            case ["signatures"]:
                told = {
                    "release_key": public_pem(self.tenant.release_key).decode(),
                    "owner_bundle": base64.b64encode(one.document.owner_bundle).decode(),
                    "owner_key": one.document.owner_key,
                    "link": base64.b64encode(one.document.link).decode(),
                }
                return 200, json.dumps(told).encode()
            case ["payloads", _, "header"]:
                return 200, one.header_for(recipient)
            case ["payloads", _]:
                return 206, one.payload
        return 404, b"{}"


def _handler(gateway: FalseGateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self._serve("POST")

        def _serve(self, method: str) -> None:
            ranged = self.headers.get("range", "")
            gateway.seen.append((method, self.path, ranged))
            recipient = self.headers.get("sealgate-recipient", "")
            status, body = gateway.answer(method, self.path, recipient)
            start = int(ranged.removeprefix("bytes=").rstrip("-") or 0)
            if status == 206 and start > len(body):
                status, body = 416, b""
            body = body[start:] if status == 206 else body
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:1])
            if "/payloads/" in self.path and method == "GET":
                self.wfile.flush()
                gateway.asked.set()
                gateway.sending.wait(60)
            self.wfile.write(body[1:])

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients hang up on what they do not want: nothing to tell."""


@contextmanager
def lying(folder: Path, tenant: Tenant) -> Iterator[tuple[FalseGateway, Path]]:
    """Serve one on loopback; yield it and a profile that leads to it."""
    gateway = FalseGateway(tenant)
    gateway.sending.set()
    server = _Server(("127.0.0.1", 0), _handler(gateway))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    secret, profile = folder / "partner.secret", folder / "partner.json"
    secret.write_text("a secret")
    secret.chmod(0o600)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    told = {"url": url, "client_id": "partner", "secret_file": secret.name}
    profile.write_text(json.dumps(told))
    try:
        yield gateway, profile
    finally:
        gateway.sending.set()
        server.shutdown()
        server.server_close()
        thread.join()
