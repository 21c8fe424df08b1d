"""A client as a caller, without a token of it: for explaining what it would be answered."""

from __future__ import annotations

from gateway.authorization.guard import Guard
from gateway.identity.people import HIGHEST_ACR
from gateway.identity.principal import AGE_MARGIN_SECONDS, Principal
from gateway.identity.records import Client


def as_registered(client: Client, guard: Guard) -> Principal:
    """Return the widest caller that a client can be: its tokens may have been narrower.

    At best a person comes by the command line, which binds its tokens.
    """
    person = client.kind == "user"
    return Principal(
        issuer="",
        client_id=client.id,
        subject=client.id,
        tenant=client.tenant,
        kind=client.kind,
        roles=client.roles,
        scopes=client.scopes,
        purposes=client.purposes & guard.tenant(client.tenant).purposes,
        default_purpose=client.default_purpose,
        binding="dpop" if person else client.token_binding,
        acr=HIGHEST_ACR if person else 0,
        auth_age=AGE_MARGIN_SECONDS,
        token_id="",
        expires=0,
    )
