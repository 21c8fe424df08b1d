"""Six makers' issuers, on a loopback port: what each publishes and how its tokens look.

The claims are those that each maker's documentation shows, with made-up values.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from joserfc.jwk import RSAKey

from gateway.composition.trusted_issuers import trust_of
from gateway.identity.fetching import fetch_document
from gateway.identity.principal import Principal
from gateway.identity.trust import IssuerTrust
from gateway.issuer_settings import TrustedIssuer

from .fakes import NOW, SecondIssuer, World, sign

KEY = RSAKey.generate_key(2048)
DIRECTORY = "72f988bf-86f1-41af-91ab-2d7cd011db47"
WIDGET = "6e74172b-be56-4843-9ff4-e66a39bb12e3"
PERSON = "b3f1a9de-0000-4000-8000-00000000a001"


@dataclass(frozen=True)
class Maker:
    """How one maker writes.

    Attributes:
        kind: Its name in the settings.
        path: Of its issuer, below the server's address.
        toml: The five lines; `BASE` stands for the server's address.
        header: Of its access tokens, but for `alg` and `kid`.
        claims: Of an access token of a client, but for `iss`, `iat` and `exp`.
        person: Those that a person's token has otherwise.
        identity: An ID token: header and claims.
        client: Which claim names the client.
        life: Seconds, as the product does unless told otherwise.
    """

    kind: str
    path: str
    toml: str
    header: dict[str, Any]
    claims: dict[str, Any]
    person: dict[str, Any]
    identity: tuple[dict[str, Any], dict[str, Any]]
    client: str
    life: int = 3600


MAKERS = [
    Maker(
        "rfc9068",
        "/as",
        """
        issuer = "BASE/as"
        audience = "https://gw.example"
        tenants = ["north"]
        clients = { "svc" = "service" }
        """,
        {"typ": "at+jwt"},
        {
            "aud": "https://gw.example",
            "client_id": "svc",
            "sub": "svc",
            "jti": "j",
            "scope": "infer",
        },
        {"sub": PERSON, "auth_time": int(NOW) - 9, "acr": "urn:x:gold"},
        ({"typ": "JWT"}, {"aud": "svc", "sub": PERSON, "nonce": "n"}),
        "client_id",
    ),
    Maker(
        "keycloak",
        "/realms/hospital",
        """
        kind = "keycloak"
        issuer = "BASE/realms/hospital"
        audience = "gw"
        tenants = ["north"]
        clients = { "svc" = "service" }
        """,
        {"typ": "JWT"},
        {
            "jti": "trrtcc:0b1c2d3e-0000-4000-8000-000000000001",
            "aud": ["gw", "account"],
            "sub": PERSON,
            "typ": "Bearer",
            "azp": "svc",
            "acr": "1",
            "allowed-origins": ["/*"],
            "realm_access": {"roles": ["offline_access", "default-roles-hospital", "caller"]},
            "resource_access": {
                "account": {"roles": ["view-profile"]},
                "gw": {"roles": ["caller"]},
            },
            "scope": "email profile infer",
            "clientHost": "10.0.0.9",
            "email_verified": False,
            "preferred_username": "service-account-svc",
            "clientAddress": "10.0.0.9",
            "client_id": "svc",
        },
        {"sid": "s", "session_state": "s", "nonce": "of-keycloak-23", "client_id": ...},
        (
            {"typ": "JWT"},
            {
                "aud": "svc",
                "azp": "svc",
                "sub": PERSON,
                "typ": "ID",
                "jti": "i",
                "nonce": "n",
                "at_hash": "h",
                "sid": "s",
                "acr": "1",
            },
        ),
        "azp",
        300,
    ),
    Maker(
        "entra",
        f"/{DIRECTORY}/v2.0",
        f"""
        kind = "entra"
        issuer = "BASE/{DIRECTORY}/v2.0"
        audience = "{WIDGET}"
        tenants = ["north"]
        clients = {{ "svc" = "service" }}
        """,
        {"typ": "JWT", "x5t": "certificate"},
        {
            "aud": WIDGET,
            "nbf": int(NOW) - 300,
            "aio": "opaque",
            "azp": "svc",
            "azpacr": "1",
            "idtyp": "app",
            "oid": PERSON,
            "rh": "opaque",
            "roles": ["infer"],
            "sub": PERSON,
            "tid": DIRECTORY,
            "uti": "Yx3hT2",
            "ver": "2.0",
            "xms_ftd": "opaque",
        },
        {
            "scp": "infer models",
            "roles": ["caller"],
            "name": "Ada",
            "preferred_username": "ada@north.example",
            "idtyp": "user",
            "xms_cc": ["cp1"],
        },
        (
            {"typ": "JWT"},
            {
                "aud": WIDGET,
                "sub": PERSON,
                "oid": PERSON,
                "tid": DIRECTORY,
                "ver": "2.0",
                "nonce": "n",
                "name": "Ada",
                "roles": ["caller"],
                "uti": "i",
            },
        ),
        "azp",
        5399,
    ),
    Maker(
        "okta",
        "/oauth2/default",
        """
        kind = "okta"
        issuer = "BASE/oauth2/default"
        audience = "api://default"
        tenants = ["north"]
        clients = { "svc" = "service" }
        """,
        {},
        {
            "ver": 1,
            "jti": "AT.MNAo",
            "aud": "api://default",
            "cid": "svc",
            "scp": ["infer"],
            "sub": "svc",
        },
        {"uid": "00u1", "sub": "ada@north.example", "auth_time": int(NOW) - 30, "groups": ["a"]},
        (
            {},
            {
                "ver": 1,
                "jti": "ID.rad",
                "aud": "svc",
                "sub": "00u1",
                "amr": ["pwd"],
                "idp": "00o1",
                "auth_time": int(NOW) - 30,
                "at_hash": "h",
            },
        ),
        "cid",
    ),
    Maker(
        "auth0",
        "/",
        """
        kind = "auth0"
        issuer = "BASE/"
        audience = "https://gw.example/api"
        tenants = ["north"]
        clients = { "svc" = "service" }
        """,
        {"typ": "JWT"},
        {
            "aud": "https://gw.example/api",
            "sub": "svc@clients",
            "azp": "svc",
            "gty": "client-credentials",
            "scope": "infer",
            "permissions": ["infer"],
        },
        {
            "aud": ["https://gw.example/api", "https://north.eu.auth0.example/userinfo"],
            "sub": "auth0|6553da",
            "gty": ...,
            "scope": "openid profile infer",
        },
        (
            {"typ": "JWT"},
            {
                "aud": "svc",
                "sub": "auth0|6553da",
                "sid": "s",
                "nickname": "ada",
                "email": "ada@north.example",
            },
        ),
        "azp",
        86_400,
    ),
    Maker(
        "cognito",
        "/eu-west-1_Ab12cd34E",
        """
        kind = "cognito"
        issuer = "BASE/eu-west-1_Ab12cd34E"
        audience = "gw"
        tenants = ["north"]
        clients = { "svc" = "service" }
        """,
        {},
        {
            "sub": "svc",
            "token_use": "access",
            "scope": "gw/infer",
            "auth_time": int(NOW),
            "version": 2,
            "jti": "c0ffee",
            "client_id": "svc",
        },
        {
            "sub": PERSON,
            "device_key": "d",
            "cognito:groups": ["testers"],
            "event_id": "e",
            "origin_jti": "o",
            "scope": "phone openid gw/infer gw/models",
            "username": "ada",
        },
        (
            {},
            {
                "sub": PERSON,
                "aud": "svc",
                "token_use": "id",
                "client_id": "svc",
                "scope": "gw/infer",
                "jti": "i",
                "cognito:username": "ada",
                "cognito:groups": ["testers"],
            },
        ),
        "client_id",
    ),
]


class MakerHouse:
    """A gateway that trusts one maker's issuer, which runs on a loopback port."""

    def __init__(self, maker: Maker, **settings: Any) -> None:
        self.maker = maker
        self.server = SecondIssuer()
        self.issuer = self.server.url + maker.path
        well_known = maker.path.rstrip("/") + "/.well-known/openid-configuration"
        self.server.put(
            well_known, {"issuer": self.issuer, "jwks_uri": self.server.url + "/jwks.json"}
        )
        self.publish({**KEY.as_dict(private=False), "kid": "k1", "use": "sig", "alg": "RS256"})
        if maker.kind == "rfc9068":  # its default are the newer algorithms
            self.publish({**KEY.as_dict(private=False), "kid": "k1"})
            settings = {"algorithms": ("RS256", "PS256"), **settings}
        lines = tomllib.loads(maker.toml.replace("BASE", self.server.url))
        self.trust: IssuerTrust = trust_of(
            TrustedIssuer(**{**lines, **settings}), loopback_http=True
        )
        self.world = World(self.trust, fetch=self.fetch)

    async def fetch(self, url: str) -> bytes:
        async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
            return await fetch_document(client, url)

    def publish(self, *keys: Any) -> None:
        self.server.put("/jwks.json", {"keys": list(keys)})

    def token(self, header: Mapping[str, Any] | None = None, /, **claims: Any) -> bytes:
        """An access token of a client, with changes; `...` takes something out."""
        return self.signed_by(KEY, "RS256", header, **claims)

    def signed_by(
        self, key: Any, alg: str, header: Mapping[str, Any] | None = None, /, **claims: Any
    ) -> bytes:
        head = {**self.maker.header, **(header or {})}
        return self.written(head, self.claims(**claims), key, alg)

    def claims(self, **claims: Any) -> dict[str, Any]:
        made = {
            "iss": self.issuer,
            "iat": int(NOW),
            "exp": int(NOW) + self.maker.life,
            **self.maker.claims,
            **claims,
        }
        return {name: value for name, value in made.items() if value is not ...}

    def written(
        self, header: dict[str, Any], claims: Any, key: Any = KEY, alg: str = "RS256"
    ) -> bytes:
        head = {"alg": alg, "kid": "k1", **header}
        head = {name: value for name, value in head.items() if value is not ...}
        return sign(head, claims, key, alg).encode()

    def identity_token(self) -> bytes:
        header, claims = self.maker.identity
        times = {"iss": self.issuer, "iat": int(NOW), "exp": int(NOW) + 3600}
        return self.written(header, {**times, **claims})

    def call(self, token: bytes) -> Principal:
        return asyncio.run(
            self.world.authenticator.authenticate(b"Bearer " + token, None, "GET", "/")
        )

    @contextmanager
    def running(self) -> Iterator[MakerHouse]:
        with self.server.running():
            yield self
