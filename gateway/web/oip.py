"""The rest of the Open Inference Protocol v2: health, metadata, configuration, statistics, index.

Inference itself is `gateway.web.infer`; who may know what is decided in
`gateway.inference.directory`. Health and server metadata are public.

Stock clients need exact bodies: kserve reads `{"live": true}` and `{"ready": true}`, tritonclient
calls `config`, `stats` and the repository index. Whatever answers GET answers HEAD (RFC 9110,
section 9.3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol, TypeVar

from fastapi import APIRouter, Depends, Request, Response

from gateway.authorization.recorder import Call
from gateway.identity.authenticate import Credentials
from gateway.inference.directory import EXTENSIONS, ModelDirectory, configuration
from gateway.inference.routing import Target
from gateway.web.client_certificates import thumbprint_of
from gateway.web.operations import says
from gateway.web.protocol_answers import (
    ConfigurationAnswer,
    IndexEntry,
    LiveAnswer,
    MetadataAnswer,
    ModelReadyAnswer,
    ReadyAnswer,
    ServerAnswer,
    StatisticsAnswer,
)
from gateway.web.strict_route import StrictRoute

UNKNOWN: Final = (
    "model_not_found",
    "model_unavailable",
    "too_many_requests",
    "interrupted",
    "issuer_unavailable",
    "storage_unavailable",
)

MODEL: Final = says(*UNKNOWN, decides="readMetadata", on="ModelVersion")
OPENED: Final = says(
    *UNKNOWN, "model_set_aside", "engines_down", decides="readMetadata", on="ModelVersion"
)
NUMBER: Final = {"in": "path", "name": "number", "required": True, "schema": {"type": "string"}}


def _number(request: Request) -> str | None:
    """Return the version that a path names, and no other place: it would be a query parameter."""
    return request.path_params.get("number")


Number = Annotated[str | None, Depends(_number)]
F = TypeVar("F", bound=Callable[..., Any])


async def caller(directory: ModelDirectory, request: Request) -> Call:
    """Authenticate the request."""
    path = request.scope["raw_path"].decode("ascii")
    shown = thumbprint_of(request.scope)
    return await directory.call(
        Credentials(request.headers.raw, request.method, path, certificate=shown)
    )


class _At(Protocol):
    def __call__(self, path: str, answer: Any, **more: Any) -> Callable[[F], F]: ...


def _reading(router: APIRouter) -> _At:
    """Return a decorator for routes that answer GET and, not worth a line in the schema, HEAD."""

    def at(path: str, answer: Any, **more: Any) -> Callable[[F], F]:
        def add(endpoint: F) -> F:
            name = f"{endpoint.__name__}{'_of_version' if '{number}' in path else ''}"
            told = {"operation_id": name, "responses": {200: {"model": answer}}, **more}
            if "{number}" in path:
                told["openapi_extra"] = {**told.get("openapi_extra", {}), "parameters": [NUMBER]}
            router.add_api_route(path, endpoint, methods=["GET"], response_model=None, **told)
            router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
            return endpoint

        return add

    return at


def build_router(
    directory: ModelDirectory, version: str, is_ready: Callable[[], bool]
) -> APIRouter:
    """Build the routes.

    Args:
        directory: Answers about models.
        version: The gateway's own version.
        is_ready: Whether the audit log takes records.
    """
    router = APIRouter(route_class=StrictRoute, prefix="/v2", tags=["Open Inference Protocol"])
    reading = _reading(router)

    async def target_of(request: Request, model: str, number: str | None) -> Target:
        return await directory.target(await caller(directory, request), model, number)

    @reading("", ServerAnswer)
    @router.get("/", include_in_schema=False)
    @router.head("/", include_in_schema=False)
    def server() -> dict[str, Any]:
        """Name the server and its protocol extensions."""
        return {"name": "sealgate", "version": version, "extensions": list(EXTENSIONS)}

    @reading("/health/live", LiveAnswer)
    def live() -> dict[str, bool]:
        """Tell that the process runs."""
        return {"live": True}

    @reading(
        "/health/ready",
        ReadyAnswer,
        responses={200: {"model": ReadyAnswer}, 503: {"model": ReadyAnswer}},
    )
    def ready(response: Response) -> dict[str, bool]:
        """Tell whether requests are taken."""
        taken = is_ready()
        response.status_code = 200 if taken else 503
        if not taken:
            response.headers["retry-after"] = "1"  # as often as it may change
        return {"ready": taken}

    @router.post(
        "/repository/index",
        operation_id="index",
        openapi_extra=MODEL,
        response_model=None,
        responses={200: {"model": list[IndexEntry]}},
    )
    async def index(request: Request) -> list[dict[str, str]]:
        """List the models that the caller may know of."""
        return await directory.index(await caller(directory, request))

    @reading("/models/stats", StatisticsAnswer, openapi_extra=MODEL)
    async def all_stats(request: Request) -> dict[str, Any]:
        """Count the requests to each model that the caller may know of."""
        return directory.statistics(*await directory.known(await caller(directory, request)))

    @reading("/models/{model}", MetadataAnswer, openapi_extra=MODEL)
    @reading("/models/{model}/versions/{number}", MetadataAnswer, openapi_extra=MODEL)
    async def metadata(request: Request, model: str, number: Number) -> dict[str, Any]:
        """Describe a model's inputs and outputs."""
        return await directory.describe(await target_of(request, model, number))

    @reading("/models/{model}/ready", ModelReadyAnswer, openapi_extra=OPENED)
    @reading("/models/{model}/versions/{number}/ready", ModelReadyAnswer, openapi_extra=OPENED)
    async def model_ready(request: Request, model: str, number: Number) -> dict[str, Any]:
        """Tell that a model answers."""
        target = await target_of(request, model, number)
        await directory.ready(target)
        return {"name": model, "ready": True}

    @reading("/models/{model}/config", ConfigurationAnswer, openapi_extra=MODEL)
    @reading("/models/{model}/versions/{number}/config", ConfigurationAnswer, openapi_extra=MODEL)
    async def config(request: Request, model: str, number: Number) -> dict[str, Any]:
        """Describe a model in Triton's terms."""
        target = await target_of(request, model, number)
        return configuration(await directory.describe(target))

    @reading("/models/{model}/stats", StatisticsAnswer, openapi_extra=MODEL)
    @reading("/models/{model}/versions/{number}/stats", StatisticsAnswer, openapi_extra=MODEL)
    async def stats(request: Request, model: str, number: Number) -> dict[str, Any]:
        """Count the requests to a version since the gateway's start."""
        target = await target_of(request, model, number)
        return directory.statistics(target)

    return router
