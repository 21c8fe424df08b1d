"""For whom a batch acts, long after the token that it was started with has ended. Pure.

1. What is kept is what the token stood for when the batch was started, never the token.
2. Each time it is used it is narrowed to what client and tenant are registered for at that moment;
   it never becomes wider than it was.
3. A person's batch ends with the sign-in that it was started from, however long that is after the
   token's end, when revocations of the token itself are forgotten.
4. A client or tenant that is shut out or changed, or a token that was revoked, ends it: the
   pipeline looks at the caller again for every chunk (`Authenticator.reconfirm`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from gateway.identity.errors import InvalidToken
from gateway.identity.principal import Principal, still_valid
from gateway.identity.records import Client, Tenant


def kept(principal: Principal) -> str:
    """Return what is stored of a caller."""
    return msgspec.json.encode(principal, order="deterministic").decode()


def renewed(
    text: str, client: Client | None, tenant: Tenant | None, lasts: Callable[[str], bool]
) -> Principal:
    """Return the caller as it stands now.

    Args:
        text: What `kept` returned.
        client: The registered client of its id, now.
        tenant: The tenant of that client, now.
        lasts: Tells whether a sign-in has not ended.

    Raises:
        InvalidToken: It is not valid any more.
    """
    principal = msgspec.json.decode(text, type=Principal)
    if not still_valid(principal, client, tenant) or client is None or tenant is None:
        raise InvalidToken
    if principal.sign_in and not lasts(principal.sign_in):
        raise InvalidToken
    return replace(
        principal,
        scopes=principal.scopes & client.scopes,
        purposes=principal.purposes & client.purposes & tenant.purposes,
    )
