"""Clients of each kind, registered as an operator would, for OAuth libraries to play."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from joserfc.jwk import RSAKey

from tests.e2e.house import House


@dataclass(frozen=True, slots=True)
class OAuthCast:
    """What libraries are told of the clients, and the key of the one that has one.

    Attributes:
        secret: A client with a secret whose tokens are not bound.
        delegate: Another, which may act for it.
        machine: One with an RSA key whose tokens are bound.
    """

    secret: dict[str, str]
    delegate: dict[str, str]
    machine: str
    key: RSAKey


def register(house: House) -> OAuthCast:
    """Register the clients at the gateway of a house."""
    key = RSAKey.generate_key(2048)
    common: dict[str, Any] = {
        "tenant": "clinic",
        "name": "made by a test",
        "scopes": ["infer", "models"],
        "purposes": ["diagnosis"],
        "default_purpose": "diagnosis",
        "roles": ["caller"],
    }
    kinds: dict[str, dict[str, Any]] = {
        "stock-secret": {"auth_method": "client_secret_basic", "token_binding": "none"},
        "stock-delegate": {
            "auth_method": "client_secret_basic",
            "token_binding": "none",
            "roles": ["caller", "delegate"],
        },
        "stock-machine": {"jwks": {"keys": [key.as_dict(private=False)]}},
    }
    made: dict[str, dict[str, str]] = {}
    with house.admin() as admin:
        for name, kind in kinds.items():
            answer = admin.post("/v1/clients", {"id": name, **common, **kind})
            made[name] = {"id": name, "secret": answer["client_secret"]}
    return OAuthCast(made["stock-secret"], made["stock-delegate"], "stock-machine", key)
