"""Which client a request about people comes from: one that proves who it is, or a public one.

1. A client that is registered with a secret or keys must prove who it is, everywhere.
2. A public one has nothing to prove with (RFC 6749 section 2.1): it gets nothing for itself. What
   it does for people is bound to their consent, and to its redirect addresses with PKCE.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.identity.client_authentication import NOWHERE, ClientAuthenticator, Connection
from gateway.identity.errors import OAuthRefusal
from gateway.identity.records import Client
from gateway.identity.revocation import RevocationState

_PROOFS = ("client_secret", "client_assertion", "client_assertion_type")


class PersonClients:
    """Finds clients that act for people. Blocks.

    Args:
        authenticator: Of the clients that prove who they are.
        revocation_state: The registered clients, and whether they are valid.
    """

    def __init__(
        self, authenticator: ClientAuthenticator, revocation_state: RevocationState
    ) -> None:
        self._authenticator = authenticator
        self._revocation_state = revocation_state

    def authenticate(
        self,
        form: Mapping[str, str],
        authorization: bytes | None,
        connection: Connection = NOWHERE,
    ) -> Client:
        """Return the client of a request, public or not.

        Raises:
            OAuthRefusal: See `ClientAuthenticator.authenticate`.
        """
        if authorization is None and not any(name in form for name in _PROOFS):
            client = self.registered(form.get("client_id", ""))
            if client is not None and client.auth_method == "none":
                return client
        return self._authenticator.authenticate(form, authorization, connection)

    def registered(self, client_id: str) -> Client | None:
        """Return a client that is not shut out, or None."""
        client, tenant = self._revocation_state.look_up(client_id)
        if client is None or client.disabled or tenant is None or tenant.suspended:
            return None
        return client if client.kind == "service" else None

    def refused(self) -> OAuthRefusal:
        """Return the refusal of a client that may not do this."""
        return OAuthRefusal("unauthorized_client", "the client may not use this grant")
