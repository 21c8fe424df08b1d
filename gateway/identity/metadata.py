"""What the well-known documents say: only what this gateway does.

RFC 8414 for the embedded authorization server, RFC 9728 for the protected resource.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gateway.identity.assertion_rules import DEFAULT_PROFILE, Profile, rules_of
from gateway.identity.dpop import ALGORITHMS
from gateway.identity.introspection import INTROSPECTION_PATH
from gateway.identity.records import SCOPES
from gateway.identity.token_exchange import EXCHANGE
from gateway.identity.token_grant import GRANT_TYPE, TOKEN_PATH

AUTHORIZE_PATH: Final = "/oauth/authorize"
DEVICE_PATH: Final = "/oauth/device_authorization"
PUSH_PATH: Final = "/oauth/par"
REVOCATION_PATH: Final = "/oauth/revoke"
JWKS_PATH: Final = "/oauth/jwks"
SERVER_METADATA_PATH: Final = "/.well-known/oauth-authorization-server"

_METHODS: Final = ["private_key_jwt", "client_secret_basic", "client_secret_post"]
_BY_CERTIFICATE: Final = "self_signed_tls_client_auth"
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
OF_SERVICES: Final = [GRANT_TYPE, EXCHANGE]
GRANTS: Final = [*OF_SERVICES, "authorization_code", "refresh_token", DEVICE_GRANT]


def server_metadata(
    issuer: str,
    profile: Profile = DEFAULT_PROFILE,
    *,
    certificates: bool = False,
    people: bool = False,
) -> dict[str, Any]:
    """Return the authorization server metadata (RFC 8414 section 2).

    `response_types_supported` is required by section 2 and must not be empty by section 3.2. `code`
    is the only response type that is ever accepted; where there is no `authorization_endpoint`
    there is nowhere to ask for it, and `grant_types_supported` says so.

    Members that no RFC has begin with `sealgate_`: which rules hold for assertions.

    Args:
        issuer: Our issuer.
        profile: Which rules hold for the assertions of clients.
        certificates: Whether clients may show certificates (RFC 8705).
        people: Whether people sign in here.
    """
    rules = rules_of(profile, issuer)
    algorithms = sorted(rules.algorithms)
    proving = [*_METHODS, _BY_CERTIFICATE] if certificates else _METHODS
    methods = [*proving, "none"] if people else proving
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "revocation_endpoint": issuer + REVOCATION_PATH,
        "introspection_endpoint": issuer + INTROSPECTION_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "grant_types_supported": GRANTS if people else OF_SERVICES,
        "response_types_supported": ["code"],
        "scopes_supported": sorted(SCOPES),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": proving,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": certificates,
        "sealgate_oauth_profile": rules.profile,
        "sealgate_client_assertion_audiences": sorted(rules.audiences),
        "sealgate_client_assertion_seconds": rules.seconds,
        **(_of_people(issuer) if people else {}),
    }


def _of_people(issuer: str) -> dict[str, Any]:
    """Return what is there where people sign in (RFC 7636, 8628, 9126, 9207)."""
    return {
        "authorization_endpoint": issuer + AUTHORIZE_PATH,
        "pushed_authorization_request_endpoint": issuer + PUSH_PATH,
        "device_authorization_endpoint": issuer + DEVICE_PATH,
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "acr_values_supported": ["1", "2"],
    }


def resource_metadata(
    resource: str, issuers: Sequence[str], *, certificates: bool = False
) -> dict[str, Any]:
    """Return the protected resource metadata (RFC 9728 section 2).

    Args:
        resource: Our public URL.
        issuers: The `iss` of every trusted issuer, our own first.
        certificates: Whether clients may show certificates (RFC 8705).
    """
    return {
        "resource": resource,
        "authorization_servers": list(issuers),
        "scopes_supported": sorted(SCOPES),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_bound_access_tokens_required": False,
        "tls_client_certificate_bound_access_tokens": certificates,
        "resource_name": "sealgate",
    }
