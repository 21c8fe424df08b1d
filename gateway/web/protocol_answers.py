"""What answers of other people's protocols are made of: OAuth and the Open Inference Protocol.

Told in the API's document only: the parts that make these answers know no web framework.
"""

from __future__ import annotations

from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # pydantic wants these before Python 3.12
)

from pydantic import Field
from typing_extensions import TypedDict


class Token(TypedDict):
    """An access token (RFC 6749, section 5.1)."""

    access_token: Annotated[str, Field(examples=["eyJ…"])]
    token_type: Literal["Bearer", "DPoP"]
    expires_in: Annotated[int, Field(description="Seconds.")]
    scope: str
    refresh_token: NotRequired[Annotated[str, Field(description="Where a person is signed in.")]]
    issued_token_type: NotRequired[
        Annotated[str, Field(description="Of an exchange (RFC 8693, section 2.2.1).")]
    ]


class Introspected(TypedDict):
    """What is told about a token (RFC 7662, section 2.2); only `active` where it is not."""

    active: bool
    iss: NotRequired[str]
    sub: NotRequired[str]
    aud: NotRequired[str]
    client_id: NotRequired[str]
    scope: NotRequired[str]
    iat: NotRequired[int]
    exp: NotRequired[int]
    jti: NotRequired[str]
    token_type: NotRequired[Literal["Bearer", "DPoP"]]
    tenant: NotRequired[str]
    cnf: NotRequired[dict[str, str]]
    act: NotRequired[Annotated[dict[str, Any], Field(description="Who acts (RFC 8693).")]]


class PushedRequest(TypedDict):
    """A request that was pushed (RFC 9126, section 2.2)."""

    request_uri: Annotated[str, Field(examples=["urn:ietf:params:oauth:request_uri:6esc…"])]
    expires_in: Annotated[int, Field(description="Seconds.")]


class DeviceCode(TypedDict):
    """What a device goes on with (RFC 8628, section 3.2)."""

    device_code: str
    user_code: Annotated[str, Field(examples=["WDJB-MJHT"])]
    verification_uri: str
    expires_in: Annotated[int, Field(description="Seconds.")]
    interval: Annotated[int, Field(description="Seconds between two questions.")]


class OAuthFault(TypedDict):
    """Why there is no token (RFC 6749, section 5.2)."""

    error: Annotated[str, Field(description="A registered code.")]
    error_description: Annotated[str, Field(description="For people.")]


class KeySet(TypedDict):
    """A JWK set (RFC 7517, section 5)."""

    keys: list[dict[str, Any]]


class ServerMetadata(TypedDict):
    """Metadata of the authorization server (RFC 8414, section 2)."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    authorization_endpoint: str
    pushed_authorization_request_endpoint: str
    device_authorization_endpoint: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    response_modes_supported: list[str]
    code_challenge_methods_supported: list[str]
    authorization_response_iss_parameter_supported: bool
    acr_values_supported: list[str]
    scopes_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    token_endpoint_auth_signing_alg_values_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_signing_alg_values_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_signing_alg_values_supported: list[str]
    dpop_signing_alg_values_supported: list[str]
    tls_client_certificate_bound_access_tokens: bool
    sealgate_oauth_profile: Literal["rfc7523", "fapi2"]
    sealgate_client_assertion_audiences: list[str]
    sealgate_client_assertion_seconds: int


class ResourceMetadata(TypedDict):
    """Metadata of the protected resource (RFC 9728, section 2)."""

    resource: str
    authorization_servers: list[str]
    scopes_supported: list[str]
    bearer_methods_supported: list[str]
    dpop_signing_alg_values_supported: list[str]
    dpop_bound_access_tokens_required: bool
    tls_client_certificate_bound_access_tokens: bool
    resource_name: str


class ServerAnswer(TypedDict):
    """The server and its protocol extensions."""

    name: str
    version: str
    extensions: list[str]


class LiveAnswer(TypedDict):
    """That the process runs."""

    live: bool


class ReadyAnswer(TypedDict):
    """Whether requests are taken."""

    ready: bool


class IndexEntry(TypedDict):
    """A model that the caller may know of."""

    name: str
    version: str
    state: str
    reason: str


class TensorAnswer(TypedDict):
    """An input or output of a model."""

    name: str
    datatype: str
    shape: Annotated[list[int], Field(description="-1: as many as there are.")]


class MetadataAnswer(TypedDict):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorAnswer]
    outputs: list[TensorAnswer]


class ModelReadyAnswer(TypedDict):
    """That a model answers."""

    name: str
    ready: bool


class ConfiguredTensor(TypedDict):
    """An input or output in Triton's terms."""

    name: str
    data_type: str
    dims: list[int]


class ConfigurationAnswer(TypedDict):
    """A model in Triton's terms."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    version_policy: dict[str, Any]
    input: list[ConfiguredTensor]
    output: list[ConfiguredTensor]


class Counted(TypedDict):
    """How many, and how long all of them took."""

    count: int
    ns: int


class InferenceStatistics(TypedDict):
    """Requests by how they ended; the others are expected by clients, and not collected."""

    success: Counted
    fail: Counted
    queue: NotRequired[Counted]
    compute_input: NotRequired[Counted]
    compute_infer: NotRequired[Counted]
    compute_output: NotRequired[Counted]


class VersionStatistics(TypedDict):
    """Requests to a version since the process began."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStatistics
    batch_stats: list[Any]


class StatisticsAnswer(TypedDict):
    """Requests to versions since the process began."""

    model_stats: list[VersionStatistics]
