"""Who knows callers, and who gives them tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import httpx

from gateway.client.certificates import check_variables
from gateway.composition.foundation import Foundation
from gateway.identity.authenticate import Authenticator
from gateway.identity.authorization_server import AuthorizationServer
from gateway.identity.client_authentication import ClientAuthenticator
from gateway.identity.dpop import ProofChecker
from gateway.identity.issuers import Issuers, fetch_document
from gateway.identity.public_clients import PersonClients
from gateway.identity.token_keys import PURPOSE, TokenKeys
from gateway.identity.tokens import TokenMinter
from gateway.identity.trust import IssuerTrust
from gateway.settings import Settings, TrustedIssuer


@dataclass(frozen=True, slots=True)
class Identity:
    """Who knows callers, and who gives them tokens."""

    authenticator: Authenticator
    server: AuthorizationServer
    issuers: Issuers
    token_keys: TokenKeys
    minter: TokenMinter
    proofs: ProofChecker
    person_clients: PersonClients

    def refusals(self) -> Counter[str]:
        """Return how many were refused before a tenant was known, by error code."""
        return Counter(dict(self.authenticator.refusals)) + Counter(dict(self.server.refusals))


def make_identity(base: Foundation) -> Identity:
    """Make the embedded authorization server and the authenticator of all trusted issuers.

    Raises:
        ConfigurationError: A trust entry is unsafe or doubled.
        ClientFault: A variable names certificates that cannot be used.
    """
    check_variables()
    environment, url = base.environment, base.settings.public_url.rstrip("/")
    keys = TokenKeys(lambda: base.keys.ring(PURPOSE), environment.clock)
    minter = TokenMinter(
        url,
        url,
        keys,
        clock=environment.clock,
        random_bytes=environment.random_bytes,
        loopback_http=url.startswith("http://"),
    )
    client = httpx.AsyncClient(follow_redirects=False)

    async def fetch(address: str) -> bytes:
        return await fetch_document(client, address)

    issuers = Issuers(
        minter.trust,
        keys,
        trusted(base.settings),
        fetch=fetch,
        monotonic=environment.monotonic,
    )
    proofs = ProofChecker(url, clock=environment.clock)
    clients = ClientAuthenticator(base.revocation_state, url, clock=environment.clock)
    return Identity(
        Authenticator(
            issuers, base.revocation_state, proofs, public_url=url, clock=environment.clock
        ),
        AuthorizationServer(
            minter, clients, proofs, base.revocation_state, clock=environment.clock
        ),
        issuers,
        keys,
        minter,
        proofs,
        PersonClients(clients, base.revocation_state),
    )


def trusted(settings: Settings) -> list[IssuerTrust]:
    """Return the trust entries of the issuers that the settings name."""
    return [_trust(entry) for entry in settings.issuers]


def _trust(entry: TrustedIssuer) -> IssuerTrust:
    return IssuerTrust(
        issuer=entry.issuer,
        audience=entry.audience,
        allowed_tenants=frozenset(entry.tenants),
        algorithms=frozenset(entry.algorithms),
        jwks_uri=entry.jwks_uri,
        clients=entry.clients,
        tenant_claim=entry.tenant_claim,
    )
