"""A whole gateway on a folder of its own, served on loopback: nothing is faked but time to wait."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.cli.connection import Connection
from gateway.cli.profile import load_profile
from gateway.composition.bootstrap import Plan, found
from gateway.composition.environment import Environment
from gateway.composition.foundation import Foundation, open_foundation
from gateway.composition.gateway import compose
from gateway.identity.passwords import Cost
from gateway.log_sink import LogSink
from gateway.process.doors import Door
from gateway.settings import load_settings
from policies.preparing_here import PreparingHere
from tests.gateway.as_described import AsDescribed, public_document_of
from tests.gateway.engine.threads import ThreadServer
from tests.gateway.serving import HTTPTOOLS, Served, serving

ENVIRONMENT = Environment(
    time.time,
    time.monotonic,
    secrets.token_bytes,
    engines=lambda _: ThreadServer(),
    preparing=PreparingHere,
    passwords=Cost(1, 64, 1),
)
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
    served: Served

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
                    "scopes": ROLES.get(role, []),
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
def served_place(
    folder: Path,
    *,
    protocols: Sequence[str] = (HTTPTOOLS,),
    environment: Environment = ENVIRONMENT,
    host: str = "127.0.0.1",
    **settings: Any,
) -> Iterator[Place]:
    """Serve the gateway in `folder` until the block ends; founded with `settings` if need be."""
    data = folder / "data"
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if not data.exists():
            listener.bind(("127.0.0.1", 0))
            found_folder(data, listener.getsockname()[1], settings, host)
        loaded = load_settings(data)
        if not listener.getsockname()[1]:
            listener.bind(("127.0.0.1", loaded.port))
        listener.listen(64)
        with open_foundation(loaded, environment) as foundation:
            # Not to standard error: commands of the tests run in this process, and have that.
            gateway = compose(foundation, sink=LogSink(folder / "gateway.log"))
            gateway.start()
            try:
                app = next(door.app for door in gateway.doors if isinstance(door, Door))
                seen = AsDescribed(app)
                with serving(seen, listener, protocols=protocols) as served:
                    yield Place(folder, loaded.public_url, foundation, served)
                assert not (found := seen.otherwise(public_document_of)), found
            finally:
                gateway.close()


def found_folder(data: Path, port: int, settings: dict[str, Any], host: str = "127.0.0.1") -> None:
    """Make a data folder."""
    url = f"http://{host}:{port}"
    own: dict[str, Any] = {
        "public_url": url,
        "port": port,
        "audit_origin": "test",
        "federation": "off",
    }
    found(data, Plan(own | settings, "eu"), ENVIRONMENT)
