"""Who knows callers, and who gives them tokens."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass

import httpx

from audit.event import PLATFORM_TENANT
from gateway.client.certificates import public_trust
from gateway.composition.foundation import Foundation
from gateway.composition.trusted_issuers import trusted
from gateway.identity.authenticate import Authenticator
from gateway.identity.authorization_server import AuthorizationServer
from gateway.identity.client_authentication import ClientAuthenticator
from gateway.identity.dpop import ProofChecker
from gateway.identity.dpop_nonces import Nonces
from gateway.identity.failure_bounds import MemoryFailureBounds
from gateway.identity.fetching import fetch_document, post_form
from gateway.identity.issuers import Issuers
from gateway.identity.opaque_tokens import Introspection
from gateway.identity.public_clients import PersonClients
from gateway.identity.token_keys import PURPOSE, TokenKeys
from gateway.identity.tokens import TokenMinter
from gateway.identity.trust import IssuerTrust


@dataclass(frozen=True, slots=True)
class Identity:
    """Who knows callers, and who gives them tokens."""

    authenticator: Authenticator
    server: AuthorizationServer
    issuers: Issuers
    token_keys: TokenKeys
    nonces: Nonces | None
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
    client = httpx.AsyncClient(follow_redirects=False, verify=public_trust())

    async def fetch(address: str) -> bytes:
        return await fetch_document(client, address)

    async def post(address: str, form: bytes, authorization: bytes) -> tuple[int, bytes]:
        return await post_form(client, address, form, authorization)

    def asking(trust: IssuerTrust) -> Introspection:
        return Introspection(trust, fetch, post, environment.clock, environment.monotonic)

    issuers = Issuers(
        minter.trust,
        keys,
        trusted(base.settings),
        fetch=fetch,
        monotonic=environment.monotonic,
        asking=asking,
    )
    nonces = _nonces(base)
    proofs = ProofChecker(url, clock=environment.clock, nonces=nonces)
    clients = ClientAuthenticator(
        base.revocation_state,
        url,
        clock=environment.clock,
        failures=MemoryFailureBounds(environment.monotonic),
        profile=base.settings.oauth_profile,
    )
    return Identity(
        Authenticator(
            issuers, base.revocation_state, proofs, public_url=url, clock=environment.clock
        ),
        AuthorizationServer(
            minter,
            clients,
            proofs,
            base.revocation_state,
            clock=environment.clock,
            certificates=bool(
                base.settings.tls_client_ca or base.settings.proxy_certificate_header
            ),
        ),
        issuers,
        keys,
        nonces,
        minter,
        proofs,
        PersonClients(clients, base.revocation_state),
    )


def _nonces(base: Foundation) -> Nonces | None:
    """Return the nonces of all replicas: their key follows from one that all of them can open."""
    if not base.settings.dpop_nonce:
        return None
    secret = base.keys.mac_key(PLATFORM_TENANT)
    return Nonces(hmac.digest(secret, b"dpop nonces", hashlib.sha256), base.environment.clock)
