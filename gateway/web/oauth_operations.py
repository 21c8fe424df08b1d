"""What the OAuth endpoints say about themselves: the framework sees that they take a request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Response

from gateway.identity.metadata import GRANTS
from gateway.identity.token_exchange import ACCESS_TOKEN
from gateway.web.operations import described
from gateway.web.protocol_answers import (
    DeviceCode,
    Introspected,
    KeySet,
    OAuthFault,
    PushedRequest,
    ResourceMetadata,
    ServerMetadata,
    Token,
)

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TEXT: Final = {"type": "string"}
_CREDENTIALS: Final = {
    "client_id": {
        **_TEXT,
        "description": "With `client_secret`, instead of `Authorization`.",
    },
    "client_secret": _TEXT,
    "client_assertion_type": {**_TEXT, "enum": [ASSERTION_TYPE]},
    "client_assertion": {**_TEXT, "description": "Signed with the client's key (RFC 7523)."},
}
_SECURITY: Final[list[dict[str, list[str]]]] = [{"client": []}, {}]


def _form(fields: Mapping[str, Any], *required: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": list(required),
        "properties": {**fields, **_CREDENTIALS},
    }
    example = {name: one["enum"][0] for name, one in fields.items() if "enum" in one}
    example |= {name: one["example"] for name, one in fields.items() if "example" in one}
    content = {"application/x-www-form-urlencoded": {"schema": schema, "example": example}}
    return {"required": True, "content": content}


_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": OAuthFault, "description": "`error` says why (RFC 6749, section 5.2)."},
    401: {
        "model": OAuthFault,
        "description": "The client is not known, or did not prove who it is.",
        "headers": described({"WWW-Authenticate": "How a client may authenticate."}),
    },
    429: {
        "model": OAuthFault,
        "description": "As 401, and that too often for this client or address; what is right is"
        " accepted all the same.",
        "headers": described(
            {
                "Retry-After": "Whole seconds.",
                "WWW-Authenticate": "How a client may authenticate.",
            }
        ),
    },
    503: {
        "model": OAuthFault,
        "description": "What happened cannot be recorded, so it did not happen.",
        "headers": described({"Retry-After": "Whole seconds."}),
    },
}
TOKEN: Final[dict[str, Any]] = {
    "operation_id": "issue_token",
    "response_model": None,
    "responses": {200: {"model": Token, "description": "A token for five minutes."}, **_REFUSALS},
    "openapi_extra": {
        "security": _SECURITY,
        "parameters": [
            {
                "in": "header",
                "name": "DPoP",
                "description": "Proof of the key that the token is to be bound to (RFC 9449);"
                " a must unless the client is registered with `token_binding: none`.",
                "schema": _TEXT,
            }
        ],
        "requestBody": _form(
            {
                "grant_type": {**_TEXT, "enum": GRANTS},
                "code": {**_TEXT, "description": "Of `authorization_code`."},
                "code_verifier": {**_TEXT, "description": "Of PKCE, with `code`."},
                "redirect_uri": {**_TEXT, "description": "As in the request, with `code`."},
                "device_code": {**_TEXT, "description": "Of a device."},
                "refresh_token": {**_TEXT, "description": "Good once; the answer has the next."},
                "scope": {
                    **_TEXT,
                    "description": "Scopes, spaces between; by default all of the client's.",
                    "example": "infer",
                },
                "resource": {**_TEXT, "description": "The gateway's public URL, if anything."},
                "audience": {**_TEXT, "description": "Likewise (RFC 8693)."},
                "subject_token": {
                    **_TEXT,
                    "description": "For an exchange (RFC 8693): the access token of whom the"
                    " client acts for. The client needs the role `delegate`.",
                },
                "subject_token_type": {**_TEXT, "description": f"`{ACCESS_TOKEN}`."},
                "requested_token_type": {**_TEXT, "description": "The same, if anything."},
            },
            "grant_type",
        ),
    },
}
PUSH: Final[dict[str, Any]] = {
    "operation_id": "push_authorization_request",
    "response_model": None,
    "status_code": 201,
    "responses": {
        201: {"model": PushedRequest, "description": "To be named at `/oauth/authorize`, once."},
        **_REFUSALS,
    },
    "openapi_extra": {
        "security": _SECURITY,
        "parameters": [
            {
                "in": "header",
                "name": "DPoP",
                "description": "Proof of the key that the code is bound to (RFC 9449).",
                "schema": _TEXT,
            }
        ],
        "requestBody": _form(
            {
                "response_type": {**_TEXT, "enum": ["code"]},
                "redirect_uri": {**_TEXT, "example": "https://app.example/back"},
                "code_challenge": {
                    **_TEXT,
                    "example": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
                },
                "code_challenge_method": {**_TEXT, "enum": ["S256"]},
                "scope": {**_TEXT, "example": "infer"},
                "state": _TEXT,
                "max_age": {**_TEXT, "description": "Seconds since the person signed in."},
                "acr_values": {**_TEXT, "description": "Levels, spaces between."},
                "dpop_jkt": {**_TEXT, "description": "Thumbprint of the key of proofs."},
            },
            "response_type",
            "code_challenge",
            "code_challenge_method",
        ),
    },
}
DEVICE: Final[dict[str, Any]] = {
    "operation_id": "begin_device",
    "response_model": None,
    "responses": {
        200: {"model": DeviceCode, "description": "What to show, and what to ask with."},
        **_REFUSALS,
    },
    "openapi_extra": {
        "security": _SECURITY,
        "requestBody": _form(
            {
                "scope": {**_TEXT, "example": "infer"},
                "dpop_jkt": {**_TEXT, "description": "Thumbprint of the key of proofs."},
            }
        ),
    },
}
REVOKE: Final[dict[str, Any]] = {
    "operation_id": "revoke_token",
    "response_class": Response,
    "response_model": None,
    "responses": {
        200: {"description": "Revoked, or never one of ours."},
        **_REFUSALS,
    },
    "openapi_extra": {
        "security": _SECURITY,
        "requestBody": _form({"token": {**_TEXT, "example": "eyJ…"}}, "token"),
    },
}


INTROSPECT: Final[dict[str, Any]] = {
    "operation_id": "introspect_token",
    "response_model": None,
    "responses": {
        200: {
            "model": Introspected,
            "description": "What a token of the caller's tenant is good for; of all others only"
            " that it is not active.",
        },
        **_REFUSALS,
    },
    "openapi_extra": {
        "security": _SECURITY,
        "requestBody": _form({"token": {**_TEXT, "example": "eyJ…"}}, "token"),
    },
}


def _document(name: str, what: str, kind: Any) -> dict[str, Any]:
    return {
        "operation_id": name,
        "description": what,
        "response_model": None,
        "responses": {200: {"model": kind, "description": "The document."}},
        "openapi_extra": {"security": []},
    }


KEYS: Final = _document("get_keys", "Public keys that tokens are verified with (RFC 7517).", KeySet)
SERVER: Final = _document(
    "get_server_metadata", "Describe the authorization server (RFC 8414).", ServerMetadata
)
RESOURCE: Final = _document(
    "get_resource_metadata",
    "Describe the resource and name its issuers (RFC 9728).",
    ResourceMetadata,
)
