"""The certificate with which a client opened its TLS connection, as OAuth uses it (RFC 8705). Pure.

1. It comes from the connection itself, or from the header of a proxy that is trusted to have seen
   it (`gateway.web.client_certificates`); never from anybody else.
2. It proves possession of its key and no more: no name in it is believed. A token is bound to the
   very certificate (section 3.1), and a client authenticates with a key that it registered
   (section 2.2), whoever signed the certificate.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.client.shown import key_of_certificate

MAX_HEADER: Final = 16_384
"""Characters of a proxy's header: a certificate with many names, percent-encoded, has 9,000."""
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"


@dataclass(frozen=True)
class ClientCertificate:
    """A client's certificate.

    Attributes:
        der: As it was shown.
    """

    der: bytes

    @cached_property
    def thumbprint(self) -> str:
        """`x5t#S256`: the base64url SHA-256 of the certificate (RFC 8705 section 3.1)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.der).digest()).rstrip(b"=").decode()

    @cached_property
    def key_thumbprint(self) -> str:
        """RFC 7638 thumbprint of its public key; empty where the key is of no kind we know."""
        key = key_of_certificate(self.der)
        return "" if key is None else key.thumbprint()


def from_header(value: bytes) -> ClientCertificate | None:
    """Read a percent-encoded PEM certificate, as nginx's `$ssl_client_escaped_cert` gives it.

    Returns:
        The first certificate, or None where there is none that can be read.
    """
    if not value or len(value) > MAX_HEADER:
        return None
    _, begun, rest = unquote_to_bytes(value).partition(_BEGIN)
    text, ended, _ = rest.partition(_END)
    if not begun or not ended:
        return None
    try:
        return ClientCertificate(base64.b64decode(b"".join(text.split()), validate=True))
    except binascii.Error:
        return None
