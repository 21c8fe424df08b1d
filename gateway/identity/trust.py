"""What is trusted of one token issuer. Entries that are not safe cannot be made.

An empty audience or an empty list of algorithms would switch a check off in many libraries, and a
plain-text issuer hands its keys to whoever sits on the wire. Each refuses to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from gateway.errors import ConfigurationError
from gateway.identity.key_admission import KNOWN_ALGORITHMS
from gateway.identity.profiles import RFC9068, Profile
from gateway.settings import is_loopback

MAX_TOKEN_SECONDS: Final = 100_800
"""No trust entry may accept tokens that live longer than 28 hours: Entra's longest, for clients
that it can call back. A day is the longest of Auth0, Cognito and Okta."""
MAX_LEEWAY_SECONDS: Final = 300
"""No clock of an issuer may be trusted that is further ahead."""
MAX_INTROSPECTION_SECONDS: Final = 300
"""No answer about an opaque token may be relied on for longer: so long a revoked one works."""


@dataclass(frozen=True, slots=True)
class IntrospectionTrust:
    """Where an issuer tells what an opaque token is (RFC 7662).

    Attributes:
        endpoint: The address, or None to learn it from the discovery document; it is then at the
            issuer's own host.
        client_id: Whom the gateway is at the issuer.
        secret_file: File with the secret of that client.
        seconds: How long an answer is relied on at most.

    Raises:
        ConfigurationError: A member is empty or out of bounds.
    """

    endpoint: str | None
    client_id: str
    secret_file: Path
    seconds: int = 30

    def __post_init__(self) -> None:
        """Refuse what would switch a bound off."""
        if self.endpoint is not None:
            # Not even in a trial: what is sent there is a secret and a token.
            require_safe_url(self.endpoint, loopback_http=True)
        if not self.client_id:
            raise ConfigurationError("introspection needs a client id")
        if not 1 <= self.seconds <= MAX_INTROSPECTION_SECONDS:
            raise ConfigurationError("answers of introspection may be kept for 1 to 300 seconds")


@dataclass(frozen=True, slots=True)
class IssuerTrust:
    """One issuer whose access tokens are accepted, and for whom.

    Attributes:
        issuer: Its exact `iss`.
        audience: What `aud` must contain.
        allowed_tenants: The tenants that its tokens can ever act for.
        algorithms: The JWS algorithms it may sign with.
        jwks_uri: Where its keys are, or None to learn that from its discovery document.
        clients: Its client ids to the id of the registered client that stands for each here. Roles,
            scopes and purposes come from that registration. Empty for our own issuer.
        tenant_claim: A claim that must equal the tenant of that client, or None.
        max_token_seconds: Longest lifetime of a token that is accepted.
        own: It is this gateway's own issuer, whose tokens alone can be about its people.
        loopback_http: Accept `http://` on a loopback address, for a demonstration on one machine.
        name: What the operator calls it, in logs, metrics and `sealgate issuer`.
        profile: How its tokens are written.
        leeway_seconds: How far its clock may be ahead.
        tenant_names: What the tenant claim says to the tenant here; empty if it says the latter.
        role_names: Its roles to roles here: a token without one of them is refused, and one with
            some has no others of the registered ones. Empty to pass its roles over.
        default_scopes: Scopes of a token that has none that the gateway knows.
        scope_prefix: What its scopes for this gateway begin with; it is cut off, and others do not
            count. Empty to take them as they are.
        acr_levels: What the claim of `profile.acr` says to a level; what is not here is level 0.
        introspection: How it is asked about opaque tokens, or None to refuse them.

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
    name: str = ""
    profile: Profile = RFC9068
    leeway_seconds: int = 5
    tenant_names: Mapping[str, str] = field(default_factory=dict)
    role_names: Mapping[str, str] = field(default_factory=dict)
    default_scopes: frozenset[str] = frozenset()
    scope_prefix: str = ""
    acr_levels: Mapping[str, int] = field(default_factory=dict)
    introspection: IntrospectionTrust | None = None

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
            raise ConfigurationError("the longest token lifetime must be within 28 hours")
        if not 0 <= self.leeway_seconds <= MAX_LEEWAY_SECONDS:
            raise ConfigurationError("the leeway for an issuer's clock is 0 to 300 seconds")
        self._check_profile()

    def _check_profile(self) -> None:
        profile = self.profile
        if not profile.types or not profile.client or not profile.subject:
            raise ConfigurationError("a trusted issuer needs types, a client and a subject")
        if profile.client_is_no_audience and self.audience in self.clients:
            raise ConfigurationError(
                "`audience` of an issuer is one of its `clients`: ID tokens are for these",
                "make an API of its own there, and name its identifier as `audience`",
            )
        if profile.audience_in_scopes and not self.scope_prefix:
            raise ConfigurationError("an issuer whose tokens have no `aud` needs a scope prefix")
        if not set(self.tenant_names.values()) <= self.allowed_tenants:
            raise ConfigurationError("`tenant_names` of an issuer lead to tenants not in `tenants`")
        if self.tenant_names and self.tenant_claim is None:
            raise ConfigurationError("`tenant_names` of an issuer need its `tenant_claim`")


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
