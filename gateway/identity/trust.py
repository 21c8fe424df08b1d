"""What is trusted of one token issuer. Entries that are not safe cannot be made.

An empty audience or an empty list of algorithms would switch a check off in many libraries, and a
plain-text issuer hands its keys to whoever sits on the wire. Each refuses to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, urlsplit

from gateway.errors import ConfigurationError
from gateway.identity.key_admission import KNOWN_ALGORITHMS
from gateway.settings import is_loopback

MAX_TOKEN_SECONDS: Final = 86_400
"""No trust entry may accept tokens that live longer than a day."""


@dataclass(frozen=True, slots=True)
class IssuerTrust:
    """One issuer whose access tokens are accepted, and for whom.

    Attributes:
        issuer: Its exact `iss`.
        audience: What `aud` must contain.
        allowed_tenants: The tenants that its tokens can ever act for.
        algorithms: The JWS algorithms it may sign with.
        jwks_uri: Where its keys are, or None to learn that from its discovery document.
        clients: Its `client_id` to the id of the registered client that stands for it here. Roles,
            scopes and purposes come from that registration. Empty for our own issuer.
        tenant_claim: A claim that must equal the tenant of that client, or None.
        max_token_seconds: Longest lifetime of a token that is accepted.
        own: It is this gateway's own issuer, whose tokens alone can be about its people.
        loopback_http: Accept `http://` on a loopback address, for a demonstration on one machine.

    Raises:
        ConfigurationError: The entry would switch a check off.
    """

    issuer: str
    audience: str
    allowed_tenants: frozenset[str]
    algorithms: frozenset[str]
    jwks_uri: str | None = None
    clients: Mapping[str, str] = field(default_factory=dict)
    tenant_claim: str | None = None
    max_token_seconds: int = 3600
    loopback_http: bool = False
    own: bool = False

    def __post_init__(self) -> None:
        """Refuse what would switch a check off."""
        require_safe_url(self.issuer, loopback_http=self.loopback_http)
        if self.jwks_uri is not None:
            require_safe_url(self.jwks_uri, loopback_http=self.loopback_http)
        if not self.audience:
            raise ConfigurationError("a trusted issuer needs an audience")
        if not self.algorithms or not self.algorithms <= KNOWN_ALGORITHMS:
            raise ConfigurationError("a trusted issuer needs a list of known signature algorithms")
        if not 0 < self.max_token_seconds <= MAX_TOKEN_SECONDS:
            raise ConfigurationError("the longest token lifetime must be within a day")


def require_safe_url(url: str, *, loopback_http: bool) -> SplitResult:
    """Return the parts of an `https` URL, or of an `http` one on a loopback address if allowed.

    Raises:
        ConfigurationError: The scheme, host or form is not acceptable; a query, a fragment and
            user information are never.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as cause:
        raise ConfigurationError("an issuer's URL is malformed") from cause
    if not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError("an issuer's URL is malformed")
    if parts.scheme == "http" and loopback_http and is_loopback(host):
        return parts
    if parts.scheme != "https":
        raise ConfigurationError("an issuer's URL must use https")
    return parts
