"""The two parts whose making needs more than a constructor call: identity and federation."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx

from gateway.bootstrap import FOUNDED, SOLO
from gateway.companion import Companion
from gateway.errors import ConfigurationError
from gateway.foundation import Foundation, Surroundings
from gateway.identity.authenticate import Authenticator
from gateway.identity.authorization_server import AuthorizationServer
from gateway.identity.client_authentication import ClientAuthenticator
from gateway.identity.dpop import ProofChecker
from gateway.identity.issuers import Issuers, fetch_document
from gateway.identity.records import PLATFORM_TENANT
from gateway.identity.tokens import TokenMinter
from gateway.identity.trust import IssuerTrust
from gateway.lifecycle.coordinator import HttpCoordinator
from gateway.settings import Settings, TrustedIssuer

SOCKET: Final = "run/coordinator.sock"
SECRET: Final = "run/coordinator.secret"  # noqa: S105 - a file name
STATE: Final = "federation"
LOG: Final = "federation/coordinator.log"
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """Who knows callers, and who gives them tokens."""

    authenticator: Authenticator
    server: AuthorizationServer
    issuers: Issuers

    def refusals(self) -> Counter[str]:
        """Return how many were refused before a tenant was known, by error code."""
        return Counter(dict(self.authenticator.refusals)) + Counter(dict(self.server.refusals))


@dataclass(frozen=True, slots=True)
class Federation:
    """The supervised coordinator and the client that asks it."""

    companion: Companion
    client: HttpCoordinator

    def close(self) -> None:
        """End the coordinator."""
        self.companion.close()
        self.client.close()


def assemble_identity(base: Foundation) -> Identity:
    """Make the embedded authorization server and the authenticator of all trusted issuers.

    Raises:
        ConfigurationError: A trust entry is unsafe or doubled.
    """
    around, url = base.around, base.settings.public_url.rstrip("/")
    minter = TokenMinter(
        url,
        url,
        [base.keys.signing_key("token")],
        clock=around.clock,
        random_bytes=around.random_bytes,
        loopback_http=url.startswith("http://"),
    )
    client = httpx.AsyncClient(follow_redirects=False)

    async def fetch(address: str) -> bytes:
        return await fetch_document(client, address)

    issuers = Issuers(
        minter.trust,
        minter.trusted_keys(),
        [_trust(entry) for entry in base.settings.issuers],
        fetch=fetch,
        monotonic=around.monotonic,
    )
    proofs = ProofChecker(url, clock=around.clock)
    clients = ClientAuthenticator(base.standing, url, clock=around.clock)
    return Identity(
        Authenticator(issuers, base.standing, proofs, public_url=url, clock=around.clock),
        AuthorizationServer(minter, clients, proofs, base.standing, clock=around.clock),
        issuers,
    )


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


def solo_since(base: Foundation) -> int | None:
    """Return when the recorded solo mode began (Unix seconds), or `None` if it never did."""
    entries = base.reader.events(PLATFORM_TENANT, limit=1)
    first = entries[0].event if entries else None
    if first is None or (first.action, first.reason) != (FOUNDED, SOLO):
        return None
    return first.ts // 1_000_000_000


def assemble_federation(settings: Settings, around: Surroundings) -> Federation | None:
    """Make the coordinator's companion and client; `None` when federation is off.

    Raises:
        ConfigurationError: Federation is asked for and its extra is not installed.
    """
    installed = find_spec("federated") is not None and find_spec("flwr") is not None
    if settings.federation == "off" or (settings.federation == "auto" and not installed):
        return None
    if not installed:
        raise ConfigurationError(
            "`federation = on` needs the extra: pip install sealgate[federated]"
        )
    data, secret = settings.data_dir.absolute(), around.random_bytes(SECRET_BYTES).hex()
    _write_secret(data / SECRET, secret)
    command = [
        # -P: a folder `federated` where the gateway was started is not the package.
        *(sys.executable, "-P", "-m", "federated.coordinator"),
        *("--with-parent", str(os.getpid())),
        *("--socket", str(data / SOCKET)),
        *("--secret-file", str(data / SECRET)),
        *("--state", str(data / STATE)),
    ]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(data / STATE)}
    companion = Companion(
        "coordinator", command, environment, data / LOG, monotonic=around.monotonic
    )
    return Federation(companion, HttpCoordinator(data / SOCKET, secret))


def _write_secret(path: Path, secret: str) -> None:
    """Write a fresh secret for this run; the folder is the gateway's own."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
