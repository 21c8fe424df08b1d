"""What goes wrong on the caller's machine.

ClientFault
├── ProfileInvalid      the profile or its key cannot be used
├── AddressRefused      a request goes to another address than the profile's
├── CertificateRefused  the gateway's certificate is not trusted
└── TokenRefused        the gateway gives no token

What the gateway answers to a request is no fault of these: it is an answer.
"""

from __future__ import annotations


class ClientFault(Exception):
    """Base of what this package raises.

    Attributes:
        what: One line: lowercase, no full stop, never a token or a secret.
        advice: One step that helps, or empty.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(f"{what}: {advice}" if advice else what)
        self.what = what
        self.advice = advice


class ProfileInvalid(ClientFault):
    """The profile, or the key or secret that it names, cannot be used."""


class AddressRefused(ClientFault):
    """A request would take the token to an address that is not the profile's gateway."""


class CertificateRefused(ClientFault):
    """The certificate that was shown for the gateway is not trusted; nothing was sent."""


class TokenRefused(ClientFault):
    """The gateway gives no token.

    Attributes:
        status: HTTP status of its answer.
        error: Its `error` (RFC 6749, section 5.2), or empty.
    """

    def __init__(self, what: str, advice: str, status: int, error: str) -> None:
        super().__init__(what, advice)
        self.status = status
        self.error = error
