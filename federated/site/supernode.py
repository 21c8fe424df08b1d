"""`python -m federated.site.supernode`: Flower's SuperNode, supervised.

The same as `flower-supernode --isolation process --auth-supernode-private-key …` over TLS, without
arguments that others could read, on a Runtime socket that it inherits.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeStateFactory

from federated.child import announce, begin
from federated.tuning import quiet, replace, tune_supernode


def main() -> None:
    """Read the configuration from standard input and work until stopped.

    The configuration has `gateway` (host:port), `ca_file`, `key_file`, `node` (Flower's node
    configuration), `socket` (an inherited file descriptor) and `secret` (hex).
    """
    config = begin()
    quiet()
    key = load_ssh_private_key(Path(config["key_file"]).read_bytes(), None)
    secret = bytes.fromhex(config["secret"])
    listener = socket.socket(fileno=config["socket"])
    state = NodeStateFactory(objectstore_factory=ObjectStoreFactory())
    app = create_app(state_factory=state, superexec_auth_secret=secret)
    settings = uvicorn.Config(app, log_level="warning", access_log=False, ws="none")
    server = uvicorn.Server(settings)
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    host, port = listener.getsockname()
    module = importlib.import_module("flwr.supernode.start_client_internal")
    tune_supernode()
    replace(module, "_init_connection", _announcing(module._init_connection))
    module.start_client_internal(
        state_factory=state,
        server_address=config["gateway"],
        node_config=config["node"],
        root_certificates=Path(config["ca_file"]).read_bytes(),
        insecure=False,
        authentication_keys=(key, key.public_key()),
        isolation="process",
        runtime_api_address=f"{host}:{port}",
        superexec_auth_secret=secret,
        runtime_dependency_install=False,
    )


def _announcing(stock: Any) -> Any:
    """Tell the supervisor once the node is activated."""

    @contextlib.contextmanager
    def connection(**arguments: Any) -> Iterator[Any]:
        with stock(**arguments) as callbacks:
            announce(node=callbacks[0])
            yield callbacks

    return connection


if __name__ == "__main__":
    main()
