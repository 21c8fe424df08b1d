"""The two records that identity keeps: tenants and the clients that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

ROLES: Final = frozenset(
    {"administrator", "owner", "caller", "officer", "site", "convenor", "delegate"}
)
"""What a client can be; `administrator` only in the platform tenant."""
SCOPES: Final = frozenset(
    {"infer", "models", "artifacts", "audit", "policies", "admin", "federate"}
)
"""What a token can be good for."""

AuthMethod = Literal[
    "private_key_jwt", "client_secret_basic", "self_signed_tls_client_auth", "none"
]
TokenBinding = Literal["none", "dpop", "mtls"]


def admitted_after(before: int, now: int) -> int:
    """Return the `not_before` of what is shut out now.

    Tokens that were issued in this very second are among those of before: `iat` cannot tell them
    apart. It is never more than a second ahead, or whoever is let in again had to wait. So a token
    that was got between two exclusions within one second counts as one of after them.

    Args:
        before: Its `not_before` until now.
        now: Unix seconds.
    """
    return max(before, now + 1)


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation whose models, data and evidence are kept apart from everyone else's.

    Attributes:
        id: Stable identifier, see `gateway.names.NAME`.
        name: Name for people.
        region: Where its data may live, for instance `eu`.
        suspended: No client of a suspended tenant is authenticated.
        purposes: The purposes of processing that the tenant has registered.
        not_before: Unix seconds: as of `Client`, for everybody of the tenant.
    """

    id: str
    name: str
    region: str
    suspended: bool = False
    purposes: frozenset[str] = frozenset()
    not_before: int = 0


@dataclass(frozen=True, slots=True)
class FormerCredential:
    """What a client authenticated with before, and still may for a while.

    Attributes:
        until: Unix seconds at which it ends.
        secret_hash: As of `Client`.
        jwks: As of `Client`.
    """

    until: int
    secret_hash: bytes | None = field(default=None, repr=False)
    jwks: Mapping[str, Any] | None = None


MAX_FORMER: Final = 4
"""Former credentials of a client that are accepted at a time."""


@dataclass(frozen=True, slots=True)
class Client:
    """A registered OAuth client: the only source of roles and purposes.

    Attributes:
        id: Stable identifier, unique over all tenants.
        tenant: Id of the tenant it acts for.
        name: Name for people.
        kind: What it is; `user` for what stands for a person, which is never stored.
        roles: For instance `caller`, `owner`, `officer`, `site`, `convenor`, `administrator`,
            `delegate` (may exchange tokens, RFC 8693).
        scopes: The most that a token of this client may carry.
        purposes: The purposes it may name in a request.
        default_purpose: The one that a request without a purpose has, or None.
        auth_method: How it authenticates; `client_secret_basic` also covers the form fields. With
            `none` it does not, and acts for people only (RFC 6749 section 2.1, a public client).
        secret_hash: SHA-256 of its 256-bit random secret, or None with `private_key_jwt`.
        jwks: Its public keys as a JWK set (`{"keys": [...]}`), or None with a secret.
        token_binding: `dpop` binds every token to a key of the client (RFC 9449), `mtls` to the
            certificate of its connection (RFC 8705).
        disabled: A disabled client gets no token and none of its tokens is accepted.
        redirect_uris: Where a browser may be sent with a code (`gateway.identity.redirects`).
        former: What it authenticated with before, newest first; some of it may have ended.
        not_before: Unix seconds; tokens that were issued earlier are not accepted. A client that
            was shut out and let in again has none of its tokens of before.
    """

    id: str
    tenant: str
    name: str
    kind: Literal["service", "user"] = "service"
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    purposes: frozenset[str] = frozenset()
    default_purpose: str | None = None
    auth_method: AuthMethod = "private_key_jwt"
    secret_hash: bytes | None = field(default=None, repr=False)
    jwks: Mapping[str, Any] | None = None
    token_binding: TokenBinding = "dpop"  # noqa: S105 - a kind of binding, no secret
    disabled: bool = False
    former: tuple[FormerCredential, ...] = ()
    not_before: int = 0
    redirect_uris: tuple[str, ...] = ()
