"""Examples of values, made from their schemas: so they fit, and stay fitting.

What a field is called says what it may hold; `VALUES` is the one place that knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

VALUES: Final[Mapping[str, Any]] = {
    "access_token": "eyJhbGciOi…",
    "error": "invalid_scope",
    "error_description": "the client may not have that scope",
    "expires_in": 300,
    "scope": "infer",
    "action": "infer",
    "after": "",
    "auth_method": "client_secret_basic",
    "author": "clinic-owner",
    "by": "clinic-owner",
    "calibration": "up_4f2c",
    "client": "clinic-app",
    "client_id": "clinic-app",
    "client_secret": None,
    "confirm": "sub_0123456789abcdef0123456789abcdef",
    "created": 1780000000,
    "created_by": "clinic-owner",
    "data_class": "internal",
    "default_purpose": "care",
    "expires": 1780003600,
    "federation": "tumour",
    "format": "jsonl",
    "id": "clinic",
    "identifier": "patient-7",
    "issuer": "https://gateway.example",
    "kind": "publish",
    "limit": 50,
    "model": "digits",
    "name": "digits",
    "next": None,
    "origin": "gateway.example/clinic",
    "owner_bundle": "eyJwYXlsb2FkIjogIiJ9",
    "owner_key": "-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----\n",
    "ref": "sub_0123456789abcdef0123456789abcdef",
    "purpose": "care",
    "purposes": ["care"],
    "quorum": 2,
    "receipt": "gateway.example/clinic/15",
    "recipient": "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    "region": "eu",
    "roles": ["caller"],
    "rounds": 3,
    "scopes": ["infer"],
    "shared_with": [],
    "state": "released",
    "task": "logistic-regression",
    "tenant": "clinic",
    "text": "permit (principal, action, resource);",
    "token_binding": "dpop",
    "upload": "up_9b1d",
    "verdict": "pass",
    "version": "1",
    "versions": ["1"],
}
"""Name of a field → a value of it, used where the field's schema takes it."""


def example_of(schema: Mapping[str, Any], parts: Mapping[str, Any], name: str = "") -> Any:
    """Return a value that fits a schema.

    Args:
        schema: JSON Schema, of those that this API has.
        parts: What `#/components/schemas/…` refers to.
        name: Of the field that has this schema.
    """
    while "$ref" in schema:
        schema = parts[schema["$ref"].rpartition("/")[2]]
    for given in ("example", "const", "default"):
        if given in schema:
            return schema[given]
    if name in VALUES and _takes(schema, VALUES[name]):
        return VALUES[name]
    if "enum" in schema:
        return schema["enum"][0]
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return example_of(schema[either][0], parts, name)
    return _of_type(schema, parts, name)


def _of_type(schema: Mapping[str, Any], parts: Mapping[str, Any], name: str) -> Any:
    match schema.get("type"):
        case "object":
            return {
                key: example_of(one, parts, key)
                for key, one in schema.get("properties", {}).items()
                if key in schema.get("required", ()) or "default" not in one
            }
        case "array":
            if "prefixItems" in schema:
                return [example_of(one, parts) for one in schema["prefixItems"]]
            return [example_of(schema["items"], parts, name)] if schema.get("items") else []
        case "integer":
            return max(1, schema.get("minimum", 1))
        case "number":
            return 1.0
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return _text(schema.get("pattern", ""))


def _text(pattern: str) -> str:
    """Return a text for the patterns that this API has: digests and references."""
    if pattern == "^[0-9a-f]{64}$":
        return "0" * 64
    if pattern.startswith("^sub_"):
        return str(VALUES["ref"])
    if pattern.startswith("^[0-9a-f]{8}-"):
        return "0197f3c2-5d1e-7c3a-9b1f-2f6f0f6f8a11"
    return "clinic" if pattern.startswith("^[a-z") else "text"


def _takes(schema: Mapping[str, Any], value: Any) -> bool:
    """Tell whether a value has a type that a schema takes, and is one of its choices."""
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return any(_takes(choice, value) for choice in choices)
    kinds = {"string": str, "integer": int, "array": list, "null": type(None), "boolean": bool}
    kind = kinds.get(schema.get("type", ""))
    if kind is None or not isinstance(value, kind):
        return False
    pattern = schema.get("pattern", "")
    return value in schema.get("enum", (value,)) and (not pattern or value == _text(pattern))
