"""`demo.json`: what a script needs to know to use a running demo. Version 1."""

from __future__ import annotations

from typing import Literal

import msgspec


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a model, in the terms of the Open Inference Protocol.

    Attributes:
        example: One ordinary row, flat: a request with it is answered.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    example: tuple[float, ...]


class DemoModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the tenant's client may call.

    Attributes:
        personal: Each request names its data subject in the parameter `subject`.
    """

    name: str
    version: str
    inputs: tuple[Input, ...]
    personal: bool = False


class DemoTenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant and its calling client."""

    name: str
    client_id: str
    client_secret: str
    token_binding: Literal["none"]
    models: tuple[DemoModel, ...]


class DemoUser(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody with a role; `credential` is the profile file for the command line."""

    name: str
    tenant: str
    role: str
    credential: str


class DemoSite(msgspec.Struct, frozen=True, kw_only=True):
    """A partner site."""

    name: str
    tenant: str


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """The contract.

    Attributes:
        issuer: Of the access tokens.
        ca_file: Authority of the site door's certificate.
        log_keys: Verifier key of each audit log, by origin.
    """

    version: Literal[1] = 1
    profile: Literal["demo"] = "demo"
    base_url: str
    issuer: str
    ca_file: str
    log_keys: dict[str, str]
    tenants: tuple[DemoTenant, ...]
    users: tuple[DemoUser, ...]
    sites: tuple[DemoSite, ...]


def schema() -> dict[str, object]:
    """Return the JSON Schema of the contract."""
    return msgspec.json.schema(Demo)
