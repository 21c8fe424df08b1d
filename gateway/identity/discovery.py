"""Where an issuer says that its keys are (OpenID Connect Discovery section 4, RFC 8414 section 3).

1. The document must be of exactly the issuer that is trusted, or nothing in it counts.
2. What it points at is https, or of this machine where the entry allows that. It may be another
   host, as with several makers, but no literal address and no name of this machine: a lying
   document does not send the gateway into its own network.
3. What is sent a secret is at the issuer's own origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.errors import ConfigurationError
from gateway.identity.errors import IssuerUnavailable
from gateway.identity.trust import IssuerTrust, require_safe_url
from gateway.settings import is_loopback
from gateway.strict_json import strict_json

Fetch = Callable[[str], Awaitable[bytes]]
"""Reads a URL, see `gateway.identity.fetching`."""
OPENID: Final = "/.well-known/openid-configuration"
OAUTH: Final = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the gateway takes from a discovery document.

    Attributes:
        jwks_uri: Where the keys are.
        introspection_endpoint: Where it is asked about opaque tokens; None if it does not say, or
            says another origin than its own.
    """

    jwks_uri: str
    introspection_endpoint: str | None


def addresses(issuer: str) -> tuple[str, str]:
    """Return where the discovery document of an issuer may be, the usual place first."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return issuer.rstrip("/") + OPENID, f"{origin}{OAUTH}{path}"


async def discover(trust: IssuerTrust, fetch: Fetch) -> Discovered:
    """Fetch and read the discovery document of a trusted issuer.

    Raises:
        IssuerUnavailable: There is none, or it must not be believed.
        ValueError: It is no JSON.
    """
    first, second = addresses(trust.issuer)
    try:
        body = await fetch(first)
    except IssuerUnavailable as fault:
        try:
            body = await fetch(second)
        except IssuerUnavailable:
            raise fault from None
    return read_discovery(strict_json(body), trust)


def read_discovery(document: Any, trust: IssuerTrust) -> Discovered:
    """Take from a discovery document what the gateway needs.

    Raises:
        IssuerUnavailable: It is of another issuer, or points where it must not.
    """
    if not isinstance(document, dict) or document.get("issuer") != trust.issuer:
        raise IssuerUnavailable("the discovery document is of another issuer")
    keys, asked = document.get("jwks_uri"), document.get("introspection_endpoint")
    if not isinstance(keys, str) or not _may_be_asked(keys, trust):
        raise IssuerUnavailable("the discovery document points at keys where they must not be")
    own = isinstance(asked, str) and _may_be_asked(asked, trust) and _same_origin(asked, trust)
    return Discovered(keys, asked if own else None)


def _may_be_asked(address: str, trust: IssuerTrust) -> bool:
    try:
        host = require_safe_url(address, loopback_http=trust.loopback_http).hostname or ""
    except ConfigurationError:
        return False
    if host == urlsplit(trust.issuer).hostname:
        return True
    return not (is_loopback(host) or _is_literal(host) or host.endswith(".localhost"))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _same_origin(address: str, trust: IssuerTrust) -> bool:
    return urlsplit(address)[:2] == urlsplit(trust.issuer)[:2]
