"""The coordinator's side of a SuperLink's Control API: blocking calls, to be made in threads."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_public_key,
)
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.control import ControlHttpClient

from federated.errors import ControlFailed, NodeKeyInvalid

MAX_KEY_CHARS = 400
"""An EC P-384 public key in OpenSSH form has about 180 characters."""


class Control:
    """Calls one SuperLink.

    Args:
        address: host:port on loopback.
        secret: The bearer secret of `launcher.SecretAuthn`.
    """

    def __init__(self, address: str, secret: str) -> None:
        self._client = ControlHttpClient.from_server_address(address, True, None, [_Bearer(secret)])

    def register(self, public_key: bytes) -> int:
        """Register a node key (PEM) and return the SuperLink's id of it."""
        request = RegisterNodeRequest(public_key=public_key)
        return int(self._call("RegisterNode", request).node_id)

    def unregister(self, node: int) -> None:
        """Forget a node: its next call gets 401."""
        self._call("UnregisterNode", UnregisterNodeRequest(node_id=node))

    def online(self) -> frozenset[int]:
        """Ids of the nodes that are connected."""
        nodes = self._call("ListNodes", ListNodesRequest()).nodes_info
        return frozenset(int(node.node_id) for node in nodes if node.status == "online")

    def start(self, fab: bytes, config: dict[str, str]) -> int:
        """Start a run of `fab` and return the SuperLink's id of it."""
        content = Fab(hash_str=hashlib.sha256(fab).hexdigest(), content=fab)
        request = StartRunRequest(fab=content)
        for key, value in user_config_to_proto(config).items():
            request.override_config[key].CopyFrom(value)
        run = int(self._call("StartRun", request).run_id)
        if not run:
            raise ControlFailed
        return run

    def stop(self, run: int) -> None:
        """Stop a run; one that has ended is left as it is."""
        try:
            self._call("StopRun", StopRunRequest(run_id=run))
        except ControlFailed:
            if not self.has_ended(run):
                raise

    def has_ended(self, run: int) -> bool:
        """Whether the run has finished or failed, or the SuperLink does not know it."""
        runs = self._call("ListRuns", ListRunsRequest(run_id=run)).run_dict
        return run not in runs or runs[run].status.status == "finished"

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._client, method)(request)
        except (httpx.HTTPError, RuntimeError, ValueError):
            raise ControlFailed from None


class _Bearer:
    """Puts the secret on every call (Flower's interceptor protocol)."""

    def __init__(self, secret: str) -> None:
        self._header = f"Bearer {secret}"

    def intercept(self, context: Any, call_next: Any) -> Any:
        context.request.headers["authorization"] = self._header
        return call_next(context)


def node_key_pem(public_key: str) -> bytes:
    """Return the PEM form, which Flower's headers carry, of an OpenSSH public key line.

    Raises:
        NodeKeyInvalid: It is not an EC P-384 public key.
    """
    try:
        if len(public_key) > MAX_KEY_CHARS:
            raise NodeKeyInvalid
        key = load_ssh_public_key(public_key.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise NodeKeyInvalid from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise NodeKeyInvalid
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def node_id(public_key_pem: bytes) -> str:
    """Return what we call a node: derived from its key, so that it outlives any SuperLink."""
    return f"node-{hashlib.sha256(public_key_pem).hexdigest()[:32]}"
