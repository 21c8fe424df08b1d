"""Registering clients: what a record may say, and the one time a secret is seen.

A registration that contradicts itself is refused here, so that nobody has to check it again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from audit.event import PLATFORM_TENANT
from gateway.errors import LimitReached
from gateway.identity.client_authentication import secret_hash
from gateway.identity.client_keys import client_keys
from gateway.identity.errors import KeyRefused, RegistrationRefused
from gateway.identity.people import is_person_id
from gateway.identity.ports import ClientStore, TenantStore
from gateway.identity.records import (
    MAX_FORMER,
    ROLES,
    SCOPES,
    AuthMethod,
    Client,
    FormerCredential,
    Tenant,
    TokenBinding,
)
from gateway.identity.redirects import check_redirects
from gateway.names import is_name

SECRET_BYTES: Final = 32
"""256 bits: beyond guessing, so no slow hash is needed."""
MAX_NAME: Final = 200
"""Characters of a name for people."""


def register_client(
    clients: ClientStore,
    tenants: TenantStore,
    tenant_id: str,
    client_id: str,
    name: str,
    *,
    roles: frozenset[str] = frozenset(),
    scopes: frozenset[str] = frozenset(),
    purposes: frozenset[str] = frozenset(),
    default_purpose: str | None = None,
    auth_method: AuthMethod = "private_key_jwt",
    jwks: Mapping[str, Any] | None = None,
    token_binding: TokenBinding = "dpop",  # noqa: S107 - a kind of binding, no secret
    redirect_uris: tuple[str, ...] = (),
    random_bytes: Callable[[int], bytes],
) -> tuple[Client, str | None]:
    """Make a client record, and its secret where it has one, and store it. Blocks.

    Args:
        clients: Where it is stored.
        tenants: Where its tenant is.
        tenant_id: Whom it acts for.
        client_id: Unique over all tenants.
        name: For people.
        roles: Out of `ROLES`.
        scopes: Out of `SCOPES`.
        purposes: Out of the tenant's.
        default_purpose: One of the purposes, or None.
        auth_method: `private_key_jwt` needs `jwks`, unless only a foreign issuer vouches for it.
        jwks: Public keys; none with a secret.
        token_binding: `dpop` unless there is a reason.
        redirect_uris: Where a browser may be sent with a code.
        random_bytes: Source of the secret.

    Returns:
        The record, and the secret to hand over once, or None.

    Raises:
        RegistrationRefused: There is no such tenant, or the record would contradict itself, the
            tenant or the platform.
        AlreadyExists: The id is taken.
    """
    tenant = tenants.get(tenant_id)
    if tenant is None:
        raise RegistrationRefused("the tenant does not exist")
    client = Client(
        id=client_id,
        tenant=tenant.id,
        name=name,
        roles=roles,
        scopes=scopes,
        purposes=purposes,
        default_purpose=default_purpose,
        auth_method=auth_method,
        jwks=jwks,
        token_binding=token_binding,
        redirect_uris=redirect_uris,
    )
    check_client(client, tenant)
    secret = None
    if auth_method == "client_secret_basic":
        client, secret = with_new_secret(client, random_bytes)
    clients.add(client)
    return client, secret


def with_new_secret(client: Client, random_bytes: Callable[[int], bytes]) -> tuple[Client, str]:
    """Return the client with a fresh secret in place of its old one, and that secret.

    Raises:
        RegistrationRefused: The client authenticates with keys.
    """
    if client.auth_method != "client_secret_basic":
        raise RegistrationRefused("a client that authenticates with keys has no secret")
    secret = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    return replace(client, secret_hash=secret_hash(secret)), secret


def with_new_credential(
    client: Client,
    jwks: Mapping[str, Any] | None,
    *,
    now: int,
    overlap: int,
    random_bytes: Callable[[int], bytes],
) -> tuple[Client, str | None]:
    """Return the client with another secret or other keys, and its secret, if it has one.

    Args:
        client: As it is registered.
        jwks: Its new public keys; None for a client with a secret.
        now: Unix seconds.
        overlap: Seconds for which what it has now goes on; 0 ends that and all of before at once.
        random_bytes: Source of the secret.

    Raises:
        RegistrationRefused: Keys for a client with a secret, or none for one with keys; keys that
            are not acceptable, or that cannot be told apart from those of before.
        LimitReached: Too much of before is accepted still.
    """
    former = [one for one in client.former if now < one.until] if overlap else []
    if overlap and (client.secret_hash is not None or client.jwks is not None):
        if len(former) >= MAX_FORMER:
            raise LimitReached(
                "too many former credentials are accepted still: wait for one to end, or end all "
                "with an overlap of 0"
            ).again_in(min(one.until for one in former) - now)
        former = [FormerCredential(now + overlap, client.secret_hash, client.jwks), *former]
    if client.auth_method == "none":
        raise RegistrationRefused("a client without credentials has nothing to replace")
    if client.auth_method == "client_secret_basic":
        if jwks is not None:
            raise RegistrationRefused("a client with a secret has no keys")
        fresh, secret = with_new_secret(client, random_bytes)
        return replace(fresh, former=tuple(former)), secret
    if jwks is None:
        raise RegistrationRefused("a client that authenticates with keys needs its new public keys")
    fresh = replace(client, jwks=jwks, former=tuple(former))
    _check_credentials(fresh)
    _check_told_apart(jwks, [one.jwks for one in former])
    return fresh, None


def _check_told_apart(jwks: Mapping[str, Any], former: Sequence[Mapping[str, Any] | None]) -> None:
    """Refuse a key that has the id of another one that is accepted at the same time."""
    named = {key.kid: key.thumbprint for key in client_keys(jwks) if key.kid is not None}
    for earlier in former:
        for key in client_keys(earlier) if earlier is not None else []:
            if named.get(key.kid or "", key.thumbprint) != key.thumbprint:
                raise RegistrationRefused(
                    "a new key has the `kid` of one that goes on: give it another one"
                )


def check_client(client: Client, tenant: Tenant) -> None:
    """Check a record, new or changed, against itself and its tenant.

    Raises:
        RegistrationRefused: Something in it does not hold.
    """
    if not is_name(client.id) or is_person_id(client.id) or client.tenant != tenant.id:
        raise RegistrationRefused("the client id is not acceptable")
    if not 1 <= len(client.name) <= MAX_NAME or not client.name.isprintable():
        raise RegistrationRefused("the client's name is not acceptable")
    if not client.roles <= ROLES:
        raise RegistrationRefused("`roles` names one that does not exist").among("roles", ROLES)
    if not client.scopes <= SCOPES:
        raise RegistrationRefused("`scopes` names one that does not exist").among("scopes", SCOPES)
    if "administrator" in client.roles and tenant.id != PLATFORM_TENANT:
        raise RegistrationRefused("only the platform tenant has administrators")
    if not client.purposes <= tenant.purposes:
        what = "`purposes` names one that is not registered for the tenant"
        raise RegistrationRefused(what).among("purposes", tenant.purposes)
    if client.default_purpose is not None and client.default_purpose not in client.purposes:
        raise RegistrationRefused("the default purpose is not one of the purposes")
    check_redirects(client.redirect_uris)
    if client.auth_method == "none" and client.roles:
        raise RegistrationRefused(
            "a client without credentials acts for people only: it has no roles of its own"
        )
    _check_credentials(client)


def _check_credentials(client: Client) -> None:
    if client.auth_method == "client_secret_basic":
        if client.jwks is not None:
            raise RegistrationRefused("a client with a secret has no keys")
        return
    if client.auth_method == "none" and client.jwks is not None:
        raise RegistrationRefused("a client without credentials has no keys")
    if client.secret_hash is not None:
        raise RegistrationRefused("a client that authenticates with keys has no secret")
    if client.jwks is None and client.auth_method == "self_signed_tls_client_auth":
        raise RegistrationRefused(
            "a client that shows certificates needs their public keys: `jwks`"
        )
    if client.jwks is not None:
        try:
            client_keys(client.jwks)
        except KeyRefused as cause:
            raise RegistrationRefused("a public key of the client is not acceptable") from cause
