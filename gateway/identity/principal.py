"""Who a valid token stands for: claims and registration to a principal. Pure.

1. Tenant, roles and purposes come from the registered client, never from a token or a header.
2. A token can only narrow: its scopes, and its roles where the issuer's entry maps them, count as
   far as the client is registered for them.
3. The client's tenant must be one that the issuer is trusted for, must not be suspended, and must
   agree with the token's own tenant claim where there is one.
4. A client that must bind its tokens is not accepted with one that is not bound.
5. A token from before its client was shut out stays shut out when the client is let in again.
6. A token of ours whose subject is a person stands for that person, as registered now: the client
   only narrows the scopes, says how tokens are bound, and must serve the person's tenant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from audit.event import PLATFORM_TENANT
from gateway.identity.errors import InvalidToken
from gateway.identity.people import is_person_id
from gateway.identity.records import Client, Tenant, TokenBinding
from gateway.identity.tokens import AccessClaims
from gateway.identity.trust import IssuerTrust

AGE_MARGIN_SECONDS: Final = 60
"""`auth_age` is rounded up by as long as a principal may be remembered, so it never understates."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: what decisions and audit records are about.

    Attributes:
        issuer: Who vouches for it.
        client_id: The registration that acts and owns: a client, or a person by its pseudonym.
        subject: `sub` of the token.
        tenant: The tenant that it acts for.
        kind: What it is.
        roles: From the registration; fewer where the token narrows them.
        scopes: What the token allows, within the registration.
        purposes: Purposes that it may name.
        default_purpose: The purpose when it names none, or None.
        binding: `dpop` when the token is bound to a key that was just proven, `mtls` when it is
            bound to the certificate of the connection.
        acr: Level of the authentication; 0 is the lowest and all that a service reaches, unless an
            issuer's entry maps more.
        auth_age: Seconds since it authenticated, rounded up.
        token_id: `jti`.
        expires: Unix seconds.
        issued: `iat` of the token, Unix seconds.
        acting_for: The other clients in a token by which one acts for another, see
            `gateway.identity.delegation`; roles, scopes and purposes are those all of them have.
        origins: `jti` of the tokens that such a token came from.
        app: Id of the client through which a person acts; empty for a service.
        sign_in: Where the person is signed in (`gateway.identity.people.SignIn`); empty likewise.
        amr: How the person authenticated (RFC 8176).
    """

    issuer: str
    client_id: str
    subject: str
    tenant: str
    kind: Literal["service", "user"]
    roles: frozenset[str]
    scopes: frozenset[str]
    purposes: frozenset[str]
    default_purpose: str | None
    binding: TokenBinding
    acr: int
    auth_age: int
    token_id: str
    expires: int
    issued: int = 0
    acting_for: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    app: str = ""
    sign_in: str = ""
    amr: frozenset[str] = frozenset()


def binding_of(claims: AccessClaims) -> TokenBinding:
    """Return what a token is bound to."""
    if claims.certificate is not None:
        return "mtls"
    return "none" if claims.thumbprint is None else "dpop"


def registered_id(claims: AccessClaims, trust: IssuerTrust, *, own: bool) -> str:
    """Return the id of the registered client that the token's client is here.

    Raises:
        InvalidToken: The issuer is foreign and its client has not been registered.
    """
    if own and is_person(claims):
        return claims.subject
    registered = claims.client_id if own else trust.clients.get(claims.client_id)
    if registered is None:
        raise InvalidToken(
            rule="client",
            why="its client is not in `clients`",
            advice="name it there, and whom it stands for here",
        )
    return registered


def is_person(claims: AccessClaims) -> bool:
    """Tell whether a token of our own is about a person who acts through a client."""
    return bool(claims.sign_in) and is_person_id(claims.subject)


def client_serves(app: Client | None, tenant: str) -> bool:
    """Tell whether a client may act for people of a tenant now.

    Those of the platform's tenant serve everybody's people: the command line is one.
    """
    if app is None or app.disabled or app.kind != "service":
        return False
    return app.tenant in {tenant, PLATFORM_TENANT}


def still_valid(principal: Principal, client: Client | None, tenant: Tenant | None) -> bool:
    """Tell whether client and tenant still are what the principal was made from.

    Args:
        principal: As it was authenticated.
        client: The registered client of its `client_id`, now.
        tenant: The tenant of that client, now.
    """
    return (
        client is not None
        and not client.disabled
        and principal.issued >= client.not_before
        and client.tenant == principal.tenant
        and principal.roles <= client.roles
        and tenant is not None
        and not tenant.suspended
    )


def principal_of(
    claims: AccessClaims,
    trust: IssuerTrust,
    client: Client | None,
    tenant: Tenant | None,
    now: float,
    *,
    own: bool,
    app: Client | None = None,
) -> Principal:
    """Combine what the token says with what is registered.

    Args:
        claims: Of a verified token.
        trust: The entry of its issuer.
        client: The registered client of `registered_id`.
        tenant: The tenant of that client.
        now: Unix seconds.
        own: The token is of our own issuer, which vouches for every tenant.
        app: For a token about a person: the registered client of `client_id`.

    Raises:
        InvalidToken: Client or tenant are absent, shut out or not the issuer's to name, or the
            binding is missing.
    """
    if client is None or client.disabled or tenant is None or tenant.suspended:
        raise InvalidToken(
            rule="registration",
            why="the client that it stands for here is not registered, or it or its tenant is out",
            advice="sealgate client list",
        )
    if claims.issued < client.not_before:
        raise InvalidToken(
            "the access token is older than its client's admission",
            rule="registration",
            why="the client was shut out after it was issued, and let in again",
            advice="ask for another token",
        )
    if tenant.id != client.tenant or not (own or client.tenant in trust.allowed_tenants):
        raise InvalidToken(
            rule="tenant",
            why="the client's tenant is not one of `tenants`",
            advice="name it there if this issuer may speak for it",
        )
    if trust.tenant_claim is not None and claims.tenant != client.tenant:
        raise InvalidToken(
            rule="tenant", why="`tenant_claim` names another tenant than the client's"
        )
    through = client
    if own and is_person(claims):
        if app is None or not client_serves(app, client.tenant):
            raise InvalidToken
        if claims.issued < app.not_before:
            raise InvalidToken("the access token is older than its client's admission")
        through = app
    elif client.kind != "service":
        raise InvalidToken  # a person is met through a client only
    if through.token_binding not in {"none", binding_of(claims)}:
        raise InvalidToken(
            "the access token must be bound as its client is registered",
            rule="binding",
            why="the client is registered with tokens that are bound to a key or a certificate",
            advice="bind it so at the issuer, or register the client with `none`",
        )
    return Principal(
        issuer=claims.issuer,
        client_id=client.id,
        subject=claims.subject,
        tenant=client.tenant,
        kind=client.kind,
        roles=client.roles if claims.roles is None else client.roles & claims.roles,
        scopes=claims.scopes & through.scopes,
        purposes=client.purposes & tenant.purposes,
        default_purpose=client.default_purpose,
        binding=binding_of(claims),
        acr=claims.acr if through is app or not own else 0,
        auth_age=max(0, int(now) - claims.authenticated) + AGE_MARGIN_SECONDS,
        token_id=claims.token_id,
        expires=claims.expires,
        issued=claims.issued,
        app=claims.client_id if through is app else "",
        sign_in=claims.sign_in if through is app else "",
        amr=claims.amr if through is app else frozenset(),
    )
