"""`python -m federated.launcher`: a tenant's SuperLink, closed to all but its coordinator.

1. Every Control call needs the bearer secret; Flower's own login calls are refused.
2. `acquire-task` needs the SuperExec secret; every other Runtime call needs a task's token.
3. Fleet calls are signed by registered node keys; nodes cannot register themselves.
4. State is Flower's in-memory store; no database, no log file, no artifact provider.
5. It listens on a socket that it inherits, bound to loopback by the coordinator.
"""

from __future__ import annotations

import hmac
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
from flwr.supercore.auth.typing import AccountInfo
from flwr.superlink.auth_plugin import ControlAuthnPlugin
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.main import create_app

from federated.child import announce, begin
from federated.longpoll import LongPoll
from federated.tuning import quiet

IN_MEMORY = ":flwr-in-memory:"
"""Flower's SQL store would leave weights in clear in its file."""


class SecretAuthn(ControlAuthnPlugin):  # type: ignore[misc]  # flwr ships no types
    """Accepts exactly one bearer secret; compares in constant time."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def get_login_details(self) -> None:
        """There is no login."""

    def validate_tokens_in_metadata(
        self, metadata: Sequence[tuple[str, str | bytes]]
    ) -> tuple[bool, AccountInfo | None]:
        """Return the one account when the one token is the secret."""
        token = metadata[0][1] if len(metadata) == 1 else b""
        given = token.encode() if isinstance(token, str) else token
        if not hmac.compare_digest(given, self._secret):
            return False, None
        # The open federation manager knows this account as its only member.
        return True, AccountInfo(flwr_aid=NOOP_FLWR_AID, account_name=NOOP_ACCOUNT_NAME)

    def get_auth_tokens(self, device_code: str) -> None:
        """There is no login."""

    def refresh_tokens(
        self,
        metadata: Sequence[tuple[str, str | bytes]],  # noqa: ARG002 - Flower's signature
    ) -> tuple[None, None]:
        """There is nothing to refresh."""
        return None, None


def build_app(control_secret: str, superexec_secret: bytes, host: str, port: int) -> Any:
    """Return the SuperLink's ASGI app, without the long poll."""
    config = SuperLinkLifespanConfig(
        control_address=f"{host}:0",
        health_server_address=None,
        host=host,
        port=port,
        insecure=True,
        certificates=None,
        superexec_auth_secret=superexec_secret,
        authn_plugin=SecretAuthn(control_secret),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type="grpc-rere",
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=None,
        ssl_certfile=None,
        ssl_keyfile=None,
        database=IN_MEMORY,
        isolation="process",
        runtime_dependency_install=False,
    )
    return create_app(config, SuperLinkLifespan)


class _AnnouncingServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        announce()


def main() -> None:
    """Read the configuration from standard input and serve until stopped.

    The configuration has `socket` (an inherited file descriptor), `control_secret` (text) and
    `superexec_secret` (hex).
    """
    config = begin()
    quiet()
    listener = socket.socket(fileno=config["socket"])
    host, port = listener.getsockname()
    secret = bytes.fromhex(config["superexec_secret"])
    if len(secret) < 32 or len(config["control_secret"]) < 32:
        raise SystemExit("a secret is too short")
    app = build_app(config["control_secret"], secret, host, port)
    settings = uvicorn.Config(
        LongPoll(app), log_level="warning", access_log=False, ws="none", lifespan="on"
    )
    _AnnouncingServer(settings).run(sockets=[listener])


if __name__ == "__main__":
    main()
