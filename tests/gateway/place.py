"""A whole gateway on a folder of its own, served on loopback: nothing is faked but time to wait."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from gateway.cli.connection import Connection
from gateway.cli.profile import load_profile
from gateway.composition.bootstrap import Plan, found
from gateway.composition.environment import Environment
from gateway.composition.foundation import Foundation, open_foundation
from gateway.composition.gateway import compose
from gateway.settings import load_settings

ENVIRONMENT = Environment(time.time, time.monotonic, secrets.token_bytes)
ROLES = {
    "owner": ["models", "artifacts", "infer", "policies"],
    "officer": ["audit", "models", "policies"],
    "caller": ["infer"],
    "convenor": ["federate", "models"],
    "site": ["artifacts", "federate"],
}


@dataclass(frozen=True)
class Place:
    """A served gateway, and the means to act in it as anybody."""

    folder: Path
    url: str
    foundation: Foundation

    def admin(self) -> Connection:
        """The first administrator."""
        return Connection(load_profile(self.folder / "data" / "admin.json"))

    def profile(self, tenant: str, role: str, **changes: Any) -> Path:
        """The profile file of a client with one role, registered when it is first asked for."""
        path = self.folder / f"{tenant}-{role}.json"
        if not path.exists():
            with self.admin() as admin:
                body = {
                    "id": f"{tenant}-{role}",
                    "name": role,
                    "tenant": tenant,
                    "roles": [role],
                    "scopes": ROLES[role],
                    "purposes": ["care"],
                    "default_purpose": "care",
                    "auth_method": "client_secret_basic",
                    "token_binding": "none",
                }
                made = admin.post("/v1/clients", body | changes)
            secret = self.folder / f"{tenant}-{role}.secret"
            secret.write_text(made["client_secret"])
            secret.chmod(0o600)
            profile = {"url": self.url, "client_id": made["id"], "secret_file": secret.name}
            path.write_text(json.dumps(profile | {"binding": made["token_binding"]}))
        return path

    def client(self, tenant: str, role: str) -> Connection:
        """A connection of such a client."""
        return Connection(load_profile(self.profile(tenant, role)))

    def tenant(self, name: str) -> str:
        """Make a tenant unless it is there."""
        if self.foundation.stores.tenants.get(name) is None:
            with self.admin() as admin:
                body = {"id": name, "name": name.title(), "region": "eu", "purposes": ["care"]}
                admin.post("/v1/tenants", body)
        return name


@contextmanager
def served_place(folder: Path) -> Iterator[Place]:
    """Serve the gateway in `folder`, founded if need be, until the block ends."""
    data = folder / "data"
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not data.exists():
            listener.bind(("127.0.0.1", 0))
            _found(data, listener.getsockname()[1])
        settings = load_settings(data)
        if not listener.getsockname()[1]:
            listener.bind(("127.0.0.1", settings.port))
        with open_foundation(settings, ENVIRONMENT) as foundation:
            gateway = compose(foundation)
            gateway.start()
            try:
                with _running(gateway.doors[0].app, listener):
                    yield Place(folder, settings.public_url, foundation)
            finally:
                gateway.close()


def _found(data: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    settings: dict[str, str | int] = {
        "public_url": url,
        "port": port,
        "audit_origin": "test",
        "federation": "off",
    }
    found(data, Plan(settings, "eu"), ENVIRONMENT)


@contextmanager
def _running(app: Any, listener: socket.socket) -> Iterator[None]:
    configuration = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(configuration)
    listener.listen(64)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
