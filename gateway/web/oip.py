"""The rest of the Open Inference Protocol v2: health, metadata, configuration, statistics, index.

Inference itself is `gateway.web.infer`. Health and server metadata are public; everything
that names a model is decided (`readMetadata`), and what is not allowed looks absent. Nothing here
is recorded: it tells nothing of anybody's data. What a model takes and gives is in its signed
manifest: nobody makes the gateway open a model by asking for that.

Stock clients need exact bodies: kserve reads `{"live": true}` and `{"ready": true}`, tritonclient
calls `config`, `stats` and the repository index. Whatever answers GET answers HEAD (RFC 9110,
section 9.3.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request, Response

from gateway.artifacts.manifest import TensorSpec
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.identity.authenticate import Authenticator, Credentials
from gateway.inference.errors import ModelNotFound
from gateway.inference.models import Models
from gateway.inference.routing import Routes, Target
from gateway.inference.signed_manifest import SignedManifests
from gateway.inference.statistics import Duration, Statistics, VersionStatistics
from gateway.pages import every
from gateway.registry.ports import Registry
from gateway.registry.records import Model

EXTENSIONS = [
    "model_configuration",
    "model_repository",
    "statistics",
    "binary_tensor_data",
    "classification",
]
F = TypeVar("F", bound=Callable[..., Any])
MAX_INDEX = 100_000
"""Models of one tenant in the answer, which has no pages: beyond any registry that we know of."""


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """Answers questions about models for one caller at a time."""

    authenticator: Authenticator
    guard: Guard
    routes: Routes
    models: Models
    registry: Registry
    manifests: SignedManifests
    statistics: Statistics

    async def call(self, request: Request) -> Call:
        """Authenticate the request."""
        path = request.scope["raw_path"].decode("ascii")
        principal = await self.authenticator.identify(
            Credentials(request.headers.raw, request.method, path)
        )
        return Call(principal, principal.default_purpose, "")

    async def target(self, request: Request, model: str, version: str | None) -> Target:
        """Return the version that the caller may know of.

        Raises:
            ModelNotFound: Absent or not allowed.
        """
        call = await self.call(request)
        tenant = call.principal.tenant
        target = await asyncio.to_thread(self.routes.resolve, tenant, model, version)
        if not self.guard.decide(call, "readMetadata", target.facts).allowed:
            raise ModelNotFound
        return target

    async def describe(self, target: Target) -> dict[str, Any]:
        """OIP model metadata."""
        manifest = await asyncio.to_thread(self.manifests, target.version)
        return {
            "name": target.model.name,
            "versions": [target.version.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_tensor(spec) for spec in manifest.inputs],
            "outputs": [_tensor(spec) for spec in manifest.outputs],
        }

    def counted(self, target: Target) -> dict[str, Any]:
        """OIP statistics of a version."""
        version = target.version
        return _statistics(
            version.model,
            version.version,
            self.statistics.of((version.tenant, version.model, version.version)),
        )

    async def known(self, request: Request) -> list[Target]:
        """Return what is released and the caller may know of, by name."""
        call = await self.call(request)
        tenant = call.principal.tenant

        def page(after: str, limit: int) -> list[Model]:
            return self.registry.list_models(tenant, after=after, limit=limit)

        models = await asyncio.to_thread(
            lambda: list(islice(every(page, lambda model: model.name, ""), MAX_INDEX))
        )
        found: list[Target] = []
        for model in models:
            try:
                target = await asyncio.to_thread(self.routes.resolve, tenant, model.name, None)
            except ModelNotFound:
                continue
            if self.guard.decide(call, "readMetadata", target.facts).allowed:
                found.append(target)
        return found


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _configuration(described: Mapping[str, Any]) -> dict[str, Any]:
    """Triton's model configuration, as far as it is true here: the batch size is unbounded."""
    return {
        "name": described["name"],
        "platform": described["platform"],
        "backend": "onnxruntime",
        "max_batch_size": 0,
        "version_policy": {"specific": {"versions": []}},
        "input": [_configured(tensor) for tensor in described["inputs"]],
        "output": [_configured(tensor) for tensor in described["outputs"]],
    }


def _configured(tensor: Mapping[str, Any]) -> dict[str, Any]:
    datatype = "TYPE_STRING" if tensor["datatype"] == "BYTES" else f"TYPE_{tensor['datatype']}"
    return {"name": tensor["name"], "data_type": datatype, "dims": tensor["shape"]}


def _listed(target: Target) -> dict[str, str]:
    version = target.version.version
    return {"name": target.model.name, "version": version, "state": "READY", "reason": ""}


def _statistics(model: str, version: str, counted: VersionStatistics) -> dict[str, Any]:
    """Triton's statistics of a version; what is not looked at was never collected."""
    never = asdict(Duration())
    return {
        "name": model,
        "version": version,
        "last_inference": counted.last_inference,
        "inference_count": counted.inference_count,
        "execution_count": counted.execution_count,
        "inference_stats": {
            "success": asdict(counted.success),
            "fail": asdict(counted.fail),
            **dict.fromkeys(_NOT_COLLECTED, never),
        },
        "batch_stats": [],
    }


_NOT_COLLECTED: Final = ("queue", "compute_input", "compute_infer", "compute_output")
"""Clients expect them to be there."""


def _reading(router: APIRouter) -> Callable[[str], Callable[[F], F]]:
    """Return a decorator for routes that answer GET and, not worth a line in the schema, HEAD."""

    def at(path: str) -> Callable[[F], F]:
        def add(endpoint: F) -> F:
            router.add_api_route(path, endpoint, methods=["GET"])
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
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

    reading = _reading(router)

    @reading("")
    @router.get("/", include_in_schema=False)
    @router.head("/", include_in_schema=False)
    def server() -> dict[str, Any]:
        """Name the server and its protocol extensions."""
        return {"name": "sealgate", "version": version, "extensions": EXTENSIONS}

    @reading("/health/live")
    def live() -> dict[str, bool]:
        """Tell that the process runs."""
        return {"live": True}

    @reading("/health/ready")
    def ready(response: Response) -> dict[str, bool]:
        """Tell whether requests are taken."""
        taken = is_ready()
        response.status_code = 200 if taken else 503
        return {"ready": taken}

    @router.post("/repository/index")
    async def index(request: Request) -> list[dict[str, str]]:
        """List the models that the caller may know of."""
        return [_listed(target) for target in await directory.known(request)]

    @reading("/models/stats")
    async def all_stats(request: Request) -> dict[str, Any]:
        """Count the requests to each model that the caller may know of."""
        return {"model_stats": [directory.counted(each) for each in await directory.known(request)]}

    @reading("/models/{model}")
    @reading("/models/{model}/versions/{number}")
    async def metadata(request: Request, model: str, number: str | None = None) -> dict[str, Any]:
        """Describe a model's inputs and outputs."""
        return await directory.describe(await directory.target(request, model, number))

    @reading("/models/{model}/ready")
    @reading("/models/{model}/versions/{number}/ready")
    async def model_ready(
        request: Request, model: str, number: str | None = None
    ) -> dict[str, Any]:
        """Tell that a model answers."""
        target = await directory.target(request, model, number)
        await directory.models.get(target.version)
        return {"name": model, "ready": True}

    @reading("/models/{model}/config")
    @reading("/models/{model}/versions/{number}/config")
    async def config(request: Request, model: str, number: str | None = None) -> dict[str, Any]:
        """Describe a model in Triton's terms."""
        target = await directory.target(request, model, number)
        return _configuration(await directory.describe(target))

    @reading("/models/{model}/stats")
    @reading("/models/{model}/versions/{number}/stats")
    async def stats(request: Request, model: str, number: str | None = None) -> dict[str, Any]:
        """Count the requests to a version since the gateway's start."""
        target = await directory.target(request, model, number)
        return {"model_stats": [directory.counted(target)]}

    return router
