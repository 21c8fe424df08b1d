"""A recipient stanza of an age header, and its strict base64 (C2SP age.md, "Recipient stanza")."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from typing import Final

from gateway.artifacts.errors import HeaderInvalid

FILE_KEY_LENGTH: Final = 16
WRAPPED_KEY_LENGTH: Final = FILE_KEY_LENGTH + 16  # a ChaCha20-Poly1305 tag follows
BODY_COLUMNS: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class Stanza:
    """One wrapping of the file key.

    Attributes:
        kind: The recipient type, such as `X25519`.
        arguments: What follows the type on the first line.
        body: The decoded body.
    """

    kind: str
    arguments: tuple[str, ...]
    body: bytes

    def encode(self) -> bytes:
        """Write the stanza with its line ends; a full last line is followed by an empty one."""
        body = encode_base64(self.body)
        lines = [body[i : i + BODY_COLUMNS] for i in range(0, len(body) + 1, BODY_COLUMNS)]
        return "\n".join(["-> " + " ".join((self.kind, *self.arguments)), *lines, ""]).encode()


def encode_base64(data: bytes) -> str:
    """Encode without padding (RFC 4648 section 4 and 3.2)."""
    return base64.b64encode(data).rstrip(b"=").decode()


def decode_base64(text: str) -> bytes:
    """Decode canonical base64 without padding.

    Raises:
        HeaderInvalid: Another alphabet, padding, or bits that the canonical form leaves zero.
    """
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise HeaderInvalid from None
    if encode_base64(data) != text:
        raise HeaderInvalid
    return data


def decode_argument(stanza: Stanza, length: int) -> bytes:
    """Return the only argument of a stanza, and check its body's length.

    Both must hold before any cryptography: a longer body could be opened by several keys.

    Raises:
        HeaderInvalid: Another number of arguments, or another length of argument or body.
    """
    if len(stanza.arguments) != 1 or len(stanza.body) != WRAPPED_KEY_LENGTH:
        raise HeaderInvalid
    data = decode_base64(stanza.arguments[0])
    if len(data) != length:
        raise HeaderInvalid
    return data
