"""Which certificate the caller of a request has shown, to us or to a proxy that we trust.

1. On a connection of our own TLS it is the certificate of that connection, and no header counts.
2. The header of a proxy counts only when the connection comes from an address of `trusted_proxies`:
   the address of the connection itself, not one that a header names.
3. The header is taken out of every request, whoever sent it, and nothing behind this layer can
   mistake it for something else. One that is repeated counts as none.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.identity.client_certificate import ClientCertificate, from_header

LINE: Final = "sealgate.line"
"""Key of the scope: address and certificate of the connection, as its protocol saw them."""
_KEY: Final = "sealgate.client_certificate"


class ClientCertificates:
    """Finds the caller's certificate. The outermost layer of a door.

    Args:
        app: The application behind.
        header: In which trusted proxies hand certificates over; empty where none does.
        proxies: Their addresses and networks.
    """

    def __init__(self, app: ASGIApp, *, header: str, proxies: Iterable[str]) -> None:
        self._app = app
        self._header = header.lower().encode("ascii")
        self._networks = [ipaddress.ip_network(proxy) for proxy in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            peer, certificate = scope.get(LINE, ("", None))
            given = self._taken_out(scope) if self._header else []
            if certificate is None and len(given) == 1 and self._trusted(peer):
                certificate = from_header(given[0])
            scope[_KEY] = certificate
        await self._app(scope, receive, send)

    def _taken_out(self, scope: Scope) -> list[bytes]:
        headers = scope["headers"]
        given = [value for name, value in headers if name.lower() == self._header]
        if given:
            scope["headers"] = [one for one in headers if one[0].lower() != self._header]
        return given

    def _trusted(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._networks)


def certificate_of(scope: Scope) -> ClientCertificate | None:
    """Return the certificate of the caller of a request, or None."""
    found: ClientCertificate | None = scope.get(_KEY)
    return found


def thumbprint_of(scope: Scope) -> str:
    """Return the thumbprint of that certificate, or an empty text."""
    found = certificate_of(scope)
    return "" if found is None else found.thumbprint
