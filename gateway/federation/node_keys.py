"""Public keys of site nodes: one canonical form, and the check of a node's request headers.

A node signs the text of a timestamp with its EC P-384 key (ECDSA, SHA-256) and sends the key, the
timestamp and the signature in three headers (Flower 1.41, `supernode/node_auth_http_interceptor`).

Safety argument:
1. A key has one stored form, the OpenSSH line without comment, so one key is one site.
2. Other curves and malformed keys are refused before they are compared.
3. The signature proves possession of the key at the time of the timestamp, not the body; the body
   is protected by the TLS of the site door only.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import InvalidRequest

MAX_KEY_TEXT: Final = 1024
"""A P-384 key takes under 300 characters as PEM; four times that is generous."""
MAX_SIGNATURE_TEXT: Final = 256
"""A P-384 ECDSA signature is at most 104 bytes, 140 characters of base64."""
MAX_SKEW_S: Final = 300.0
"""What Flower itself tolerates between the two clocks."""


def canonical_node_key(text: str) -> str:
    """Return the OpenSSH line of an EC P-384 public key given as an OpenSSH line or PEM.

    Raises:
        InvalidRequest: It is no such key.
    """
    return _line(_load(text.strip().encode("utf-8", "surrogatepass")))


@lru_cache(maxsize=4096)
def node_key_of_header(header: str) -> str:
    """Return the canonical line of the key in a `flwr-public-key` header (base64 of PEM).

    Raises:
        InvalidRequest: It is no such key.
    """
    if len(header) > 2 * MAX_KEY_TEXT:
        raise InvalidRequest("the node key is too long")
    try:
        return _line(_load(base64.b64decode(header, validate=True)))
    except (binascii.Error, ValueError) as cause:
        raise InvalidRequest("the node key is not base64") from cause


def signed_recently(line: str, timestamp: str, signature: str, now: float) -> bool:
    """Tell whether `signature` over `timestamp` is by the key `line` and not older than 300 s.

    Args:
        line: A canonical key line.
        timestamp: ISO 8601 with offset, as the node sent it.
        signature: Base64 of an ECDSA signature in DER.
        now: Unix seconds.
    """
    if len(signature) > MAX_SIGNATURE_TEXT or len(timestamp) > MAX_SIGNATURE_TEXT:
        return False
    try:
        signed_at = datetime.fromisoformat(timestamp)
        if signed_at.tzinfo is None or abs(now - signed_at.timestamp()) > MAX_SKEW_S:
            return False
        raw = base64.b64decode(signature, validate=True)
        _load(line.encode()).verify(raw, timestamp.encode(), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, InvalidRequest, ValueError, OverflowError):
        return False
    return True


def _load(data: bytes) -> ec.EllipticCurvePublicKey:
    if len(data) > MAX_KEY_TEXT:
        raise InvalidRequest("the node key is too long")
    pem = data.startswith(b"-----BEGIN")
    load = serialization.load_pem_public_key if pem else serialization.load_ssh_public_key
    try:
        key = load(data)
    except (ValueError, UnsupportedAlgorithm, TypeError) as cause:
        raise InvalidRequest("the node key is not a public key") from cause
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise InvalidRequest("the node key is not on curve P-384")
    return key


def _line(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode("ascii")
