"""The Dead Simple Signing Envelope (DSSE v1): what is signed, and how it is wrapped.

Source: secure-systems-lab/dsse, protocol.md and envelope.md. The signature covers the type and
the payload through the pre-authentication encoding, so neither can be taken for another.
"""

from __future__ import annotations

import base64
from typing import Any

from gateway.artifacts.canonical import MALFORMED, well_formed
from gateway.artifacts.errors import StatementInvalid


def preauthentication(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed (DSSE `PAE`)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope(payload_type: str, payload: bytes, signature: bytes, key_id: str) -> dict[str, Any]:
    """Wrap a payload and its one signature."""
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": key_id}],
    }


def unwrap(value: object, payload_type: str) -> tuple[bytes, bytes]:
    """Take an envelope apart.

    Args:
        value: Parsed JSON of anybody's.
        payload_type: The only type that is accepted.

    Returns:
        The payload and the signature, neither of them verified.

    Raises:
        StatementInvalid: It is no envelope of that type with exactly one signature.
    """
    match value:
        case {
            "payload": str(payload),
            "payloadType": str(kind),
            "signatures": [{"sig": str(signature)}],
        } if kind == payload_type:
            return _decode(payload), _decode(signature)
    raise StatementInvalid(MALFORMED)


def _decode(text: str) -> bytes:
    with well_formed():
        return base64.b64decode(text, validate=True)
