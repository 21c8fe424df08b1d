"""Stores, clock, issuer and clients for the identity tests, all behind the real ports."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from gateway.artifacts.keys import SigningRing
from gateway.identity.assertion_rules import Profile
from gateway.identity.authenticate import Authenticator
from gateway.identity.authorization_server import AuthorizationServer
from gateway.identity.client_assertions import ASSERTION_TYPE
from gateway.identity.client_authentication import ClientAuthenticator, secret_hash
from gateway.identity.dpop import ProofChecker
from gateway.identity.dpop_nonces import Nonces
from gateway.identity.failure_bounds import MemoryFailureBounds
from gateway.identity.issuers import Issuers
from gateway.identity.key_admission import TrustedKey
from gateway.identity.records import Client, Tenant
from gateway.identity.revocation import RevocationState
from gateway.identity.token_keys import TokenKeys
from gateway.identity.tokens import TokenMinter
from gateway.identity.trust import IssuerTrust
from gateway.storage.errors import StorageUnavailable
from gateway.storage.memory_identity import (
    MemoryClientStore,
    MemoryRevocationStore,
    MemoryTenantStore,
)

URL = "https://gateway.example"
NOW = 1_800_000_000.0
ED25519 = OKPKey.generate_key("Ed25519")
OTHER = OKPKey.generate_key("Ed25519")
P256 = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
SECRET = "made-up-secret-of-the-tests"
ALGORITHM = {"OKP": "Ed25519", "EC": "ES256", "RSA": "PS256"}


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


class CountingClients(MemoryClientStore):
    """Counts how often it is read."""

    reads = 0

    def get(self, client_id: str) -> Client | None:
        self.reads += 1
        return super().get(client_id)


class FailingRevocations(MemoryRevocationStore):
    """Fails like a database that is gone, once a test says so."""

    broken = False

    def revoke_token(self, issuer: str, token_id: str, expires: int) -> int:
        self._check()
        return super().revoke_token(issuer, token_id, expires)

    def bump(self) -> int:
        self._check()
        return super().bump()

    def _check(self) -> None:
        if self.broken:
            raise StorageUnavailable


def b64u(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(header: Any, claims: Any, key: Any, algorithm: str | None = None) -> str:
    """Sign whatever is given, sense or nonsense; text is taken as the segment's very bytes."""
    parts = [p if isinstance(p, str) else json.dumps(p) for p in (header, claims)]
    signed = ".".join(b64u(part.encode()) for part in parts)
    model = JWSRegistry.algorithms[algorithm or ALGORITHM[key.key_type]]
    return signed + "." + b64u(model.sign(signed.encode(), key))


_ids = itertools.count()


def proof(
    key: Any,
    method: str,
    url: str,
    token: str | None = None,
    *,
    header: dict[str, Any] | None = None,
    drop: str | None = None,
    now: float = NOW,
    **claims: Any,
) -> bytes:
    made: dict[str, Any] = {
        "jti": f"proof-{next(_ids):08}",
        "htm": method,
        "htu": url,
        "iat": int(now),
    }
    if token is not None:
        made["ath"] = b64u(hashlib.sha256(token.encode()).digest())
    made.update(claims)
    made.pop(drop or "", None)
    head = {
        "typ": "dpop+jwt",
        "alg": ALGORITHM[key.key_type],
        "jwk": key.as_dict(private=False),
        **(header or {}),
    }
    return sign(head, made, key).encode()


def assertion(
    key: Any, client_id: str = "machine", *, header: dict[str, Any] | None = None, **claims: Any
) -> dict[str, str]:
    made = {
        "iss": client_id,
        "sub": client_id,
        "aud": URL,
        "iat": int(NOW),
        "exp": int(NOW) + 60,
        "jti": f"assertion-{next(_ids):08}",
        **claims,
    }
    made = {name: value for name, value in made.items() if value is not ...}
    head = {"alg": ALGORITHM[key.key_type], **(header or {})}
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": sign(head, made, key),
    }


def basic(client_id: str = "service", secret: str = SECRET) -> bytes:
    return b"Basic " + base64.b64encode(f"{client_id}:{secret}".encode())


class World:
    """Everything wired together: two tenants, a client with a secret, one with keys."""

    def __init__(
        self,
        *foreign: IssuerTrust,
        fetch: Any = None,
        url: str = URL,
        profile: Profile = "rfc7523",
        nonces: bool = False,
        asking: Any = None,
    ) -> None:
        self.clock = Clock()
        self.nonces = Nonces(bytes(32), self.clock) if nonces else None
        self.monotonic = Clock(0.0)
        purposes = frozenset({"care", "research"})
        self.tenants = MemoryTenantStore()
        for tenant in (Tenant("north", "North", "eu", False, purposes), Tenant("south", "S", "eu")):
            self.tenants.add(tenant)
        self.clients = CountingClients()
        common: dict[str, Any] = {
            "tenant": "north",
            "name": "a client",
            "roles": frozenset({"caller"}),
            "scopes": frozenset({"infer", "models"}),
            "purposes": frozenset({"care"}),
            "default_purpose": "care",
        }
        self.service = Client(
            id="service",
            auth_method="client_secret_basic",
            secret_hash=secret_hash(SECRET),
            token_binding="none",
            **common,
        )
        self.machine = Client(
            id="machine", jwks={"keys": [ED25519.as_dict(private=False)]}, **common
        )
        self.clients.add(self.service)
        self.clients.add(self.machine)
        self.revocations = FailingRevocations()
        self.revocation_state = RevocationState(
            self.revocations, self.clients, self.tenants, clock=self.clock
        )
        self.revocation_state.load()
        counter = itertools.count(1)
        self.key = Ed25519PrivateKey.generate()
        self.ring = SigningRing(1, int(NOW), self.key)
        self.token_keys = TokenKeys(lambda: self.ring, self.clock)
        self.minter = TokenMinter(
            url,
            url,
            self.token_keys,
            clock=self.clock,
            random_bytes=lambda n: next(counter).to_bytes(n, "big"),
        )
        self.issuers = Issuers(
            self.minter.trust,
            self.token_keys,
            foreign,
            fetch=fetch or no_fetch,
            monotonic=self.monotonic,
            asking=asking,
        )
        self.proofs = ProofChecker(url, clock=self.clock, nonces=self.nonces)
        self.authenticator = Authenticator(
            self.issuers, self.revocation_state, self.proofs, public_url=url, clock=self.clock
        )
        self.client_authenticator = ClientAuthenticator(
            self.revocation_state,
            url,
            clock=self.clock,
            failures=MemoryFailureBounds(self.monotonic),
            profile=profile,
        )
        self.server = AuthorizationServer(
            self.minter,
            self.client_authenticator,
            self.proofs,
            self.revocation_state,
            clock=self.clock,
        )

    @property
    def token_key(self) -> TrustedKey:
        """What our tokens are read back with."""
        found = self.token_keys.find(self.token_keys.signing[0])
        assert found is not None
        return found

    def bearer(self) -> str:
        return self.minter.mint(self.service, frozenset({"infer"})).text

    def bound(self, key: Any = ED25519) -> str:
        return self.minter.mint(self.machine, frozenset({"infer"}), key.thumbprint()).text

    def forged(self, header: Any = None, drop: str | None = None, **claims: Any) -> bytes:
        """A token signed with the gateway's own key, with the given changes."""
        made: dict[str, Any] = {
            "iss": URL,
            "sub": "service",
            "aud": URL,
            "client_id": "service",
            "iat": int(NOW),
            "exp": int(NOW) + 300,
            "jti": "forged-1",
            "scope": "infer",
            "tenant": "north",
            **claims,
        }
        made.pop(drop or "", None)
        own = OKPKey.import_key(self.key)
        head = {"alg": "Ed25519", "typ": "at+jwt", "kid": own.thumbprint(), **(header or {})}
        return sign(head, made, own).encode()


async def no_fetch(url: str) -> bytes:
    raise AssertionError("nothing may be fetched")


class SecondIssuer:
    """A real OIDC issuer on a loopback port, whose documents a test can change."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                status, headers, body = outer.documents.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.key = ECKey.generate_key("P-256")
        self.publish(self.key, kid="first")

    def put(self, path: str, document: Any, status: int = 200, **headers: str) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.documents[path] = (status, headers, body)

    def publish(self, *keys: Any, kid: str = "first") -> None:
        self.put(
            "/.well-known/openid-configuration",
            {"issuer": self.url, "jwks_uri": self.url + "/keys"},
        )
        jwks = [
            {**key.as_dict(private=False), "kid": kid if n == 0 else f"{kid}-{n}", "use": "sig"}
            for n, key in enumerate(keys)
        ]
        self.put("/keys", {"keys": jwks})

    def trust(self, **changes: Any) -> IssuerTrust:
        made: dict[str, Any] = {
            "issuer": self.url,
            "audience": URL,
            "allowed_tenants": frozenset({"north"}),
            "algorithms": frozenset({"ES256"}),
            "clients": {"abc-123": "service"},
            "loopback_http": True,
            **changes,
        }
        return IssuerTrust(**made)

    def token(self, key: Any = None, kid: str = "first", **claims: Any) -> bytes:
        made = {
            "iss": self.url,
            "sub": "subject-of-the-provider",
            "aud": [URL, "another"],
            "client_id": "abc-123",
            "iat": int(NOW),
            "exp": int(NOW) + 600,
            "jti": "foreign-1",
            "scope": "infer audit",
            **claims,
        }
        key = key or self.key
        header = {"alg": ALGORITHM[key.key_type], "typ": "at+jwt", "kid": kid}
        return sign(header, made, key).encode()

    @contextmanager
    def running(self) -> Iterator[SecondIssuer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
