"""Which calls of a site a relay may pass on, and which node made them: pure, for reference.

A SuperNode sends protobuf over HTTP/1.1, POST only. Each request carries
- `flwr-public-key`: base64 of the node's public key as PEM SubjectPublicKeyInfo;
- `flwr-signature`: base64 of an ECDSA-SHA256 signature over the text of the next header;
- `flwr-timestamp`: ISO 8601 time, accepted for about 305 seconds.

The signature covers neither path nor body, so a relay that ends TLS is trusted with both. What
authenticates is the SuperLink; the relay only routes by key, to the one tenant that registered it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

KEY_HEADER: Final = "flwr-public-key"

PATHS: Final[frozenset[str]] = frozenset(
    "/v1/fleet/" + name
    for name in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
        "get-fab",
        "pull-object",
        "push-object",
        "confirm-message-received",
    )
)
"""Everything that a registered SuperNode calls; `register-node` and `unregister-node` are not."""

HOLDING_PATH: Final = "/v1/fleet/pull-messages"
"""The SuperLink may hold this one for 20 s: do not time out earlier."""

REQUEST_HEADERS: Final[tuple[str, ...]] = (
    "content-type",
    "accept",
    "flwr-public-key",
    "flwr-signature",
    "flwr-timestamp",
    "flwr-package-name",
    "flwr-package-version",
    "flwr-component-name",
)
"""Headers to pass on to the SuperLink; no other one is needed."""

MAX_KEY_HEADER: Final = 1024
"""Characters: a P-384 key as PEM in base64 has about 290."""


def node_key(headers: Mapping[str, str]) -> str | None:
    """Return the key in a request's headers as an OpenSSH line, as sites register it.

    Args:
        headers: Lowercase names.

    Returns:
        The line without comment, or None when there is no EC P-384 key.
    """
    encoded = headers.get(KEY_HEADER, "")
    if not 0 < len(encoded) <= MAX_KEY_HEADER:
        return None
    try:
        key = load_pem_public_key(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        return None
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def may_pass(method: str, path: str) -> bool:
    """Whether a relay passes this call on."""
    return method == "POST" and path in PATHS
