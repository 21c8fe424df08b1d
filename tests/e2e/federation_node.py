"""A site's node as a test plays it: Flower's own client, with a key that the test holds."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

HEARTBEAT_S = 60.0


def node_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A site's private key."""
    key = load_ssh_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def signed(
    key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey | None = None
) -> dict[str, str]:
    """Headers that show `key`, signed by it or by another."""
    stamp = datetime.now(UTC).isoformat()
    signature = (signer or key).sign(stamp.encode(), ec.ECDSA(hashes.SHA256()))
    return {
        "flwr-public-key": base64.b64encode(_pem(key)).decode(),
        "flwr-timestamp": stamp,
        "flwr-signature": base64.b64encode(signature).decode(),
        "content-type": "application/protobuf",
    }


class Node:
    """Speaks for a site."""

    def __init__(self, address: str, ca_file: Path, key: ec.EllipticCurvePrivateKey) -> None:
        from flwr.proto.fleet_pb2 import ActivateNodeRequest
        from flwr.proto.node_pb2 import Node as NodeMessage
        from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
        from flwr.supernode.fleet_http_client import FleetHttpClient
        from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

        self._client = FleetHttpClient.from_server_address(
            address,
            False,
            ca_file.read_bytes(),
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperNode"),
                NodeAuthHttpInterceptor(key, key.public_key()),
            ],
        )
        request = ActivateNodeRequest(public_key=_pem(key), heartbeat_interval=HEARTBEAT_S)
        self._node = NodeMessage(node_id=self._client.ActivateNode(request).node_id)

    def pull(self) -> list[Any]:
        """The tasks that are handed out; waits for one as long as the gateway does.

        Raises:
            httpx.HTTPStatusError: The site is turned away.
        """
        from flwr.proto.fleet_pb2 import PullMessagesRequest

        return list(self._client.PullMessages(PullMessagesRequest(node=self._node)).messages_list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
