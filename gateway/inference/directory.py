"""What a caller may know of models: metadata, readiness, configuration, statistics, index.

Every door that speaks the Open Inference Protocol v2 asks here. What names a model is decided
(`readMetadata`); what is absent and what is not allowed raise the same `ModelNotFound`. Nothing of
it is recorded: it tells nothing of anybody's data. What a model takes and gives is in its signed
manifest: nobody makes the gateway open a model by asking for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

from gateway.artifacts.manifest import TensorSpec
from gateway.authorization.guard import Guard
from gateway.authorization.recorder import Call
from gateway.identity.authenticate import Authenticator, Credentials
from gateway.identity.errors import IdentityError
from gateway.inference.errors import ModelNotFound
from gateway.inference.models import Models
from gateway.inference.routing import Routes, Target
from gateway.inference.signed_manifest import SignedManifests
from gateway.inference.statistics import Duration, Statistics, VersionStatistics
from gateway.names import shared_name
from gateway.pages import every
from gateway.registry.ports import Registry
from gateway.registry.records import Model, Sharing

MAX_INDEX: Final = 100_000
"""Models of one tenant in the answer, which has no pages: beyond any registry that we know of."""
EXTENSIONS: Final = (
    "model_configuration",
    "model_repository",
    "statistics",
    "binary_tensor_data",
    "classification",
)
NOT_COLLECTED: Final = ("queue", "compute_input", "compute_infer", "compute_output")
"""Statistics that clients expect to be there."""


@dataclass(frozen=True, slots=True)
class ModelDirectory:
    """Answers questions about models for one caller at a time."""

    authenticator: Authenticator
    guard: Guard
    routes: Routes
    models: Models
    registry: Registry
    manifests: SignedManifests
    counts: Statistics
    refused: Callable[[str], None] = lambda _code: None
    """Told the code of a refusal before a tenant was known."""

    async def call(self, credentials: Credentials) -> Call:
        """Authenticate the request."""
        try:
            principal = await self.authenticator.identify(credentials)
        except IdentityError as refusal:
            self.refused(refusal.code)
            raise
        return Call(principal, principal.default_purpose, "")

    async def target(self, call: Call, model: str, version: str | None) -> Target:
        """Return the version that the caller may know of.

        Raises:
            ModelNotFound: Absent or not allowed.
        """
        tenant = call.principal.tenant
        target = await asyncio.to_thread(self.routes.resolve, tenant, model, version)
        if not self.guard.decide(call, "readMetadata", target.facts).allowed:
            raise ModelNotFound
        return target

    async def ready(self, target: Target) -> None:
        """Make sure that a version answers.

        Raises:
            ModelUnavailable: It cannot be opened.
            SetAside: It ended its engines again and again, and rests.
        """
        model = await self.models.get(target.version)
        model.engine.check()

    async def describe(self, target: Target) -> dict[str, Any]:
        """OIP model metadata.

        Raises:
            ModelUnavailable: What is stored is not what was signed, or has expired.
        """
        manifest = await asyncio.to_thread(self.manifests, target.version)
        return {
            "name": target.model.called,
            "versions": [target.version.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_tensor(spec) for spec in manifest.inputs],
            "outputs": [_tensor(spec) for spec in manifest.outputs],
        }

    def statistics(self, *targets: Target) -> dict[str, Any]:
        """OIP statistics of versions since the process began."""
        return {"model_stats": [self._counted(target) for target in targets]}

    def _counted(self, target: Target) -> dict[str, Any]:
        """Count for who asks: of a shared model each tenant is told of its own requests."""
        version, lent = target.version, target.model.lent
        if lent is not None:
            counted = self.counts.of((lent.tenant, target.model.called, version.version))
            runs = counted.success.count
            return _statistics(target.model.called, version.version, counted, runs)
        key = (version.tenant, version.model, version.version)
        return _statistics(
            version.model, version.version, self.counts.of(key), self.models.runs(key)
        )

    async def index(self, call: Call) -> list[dict[str, str]]:
        """List what is released and the caller may know of, by name."""
        return [
            {
                "name": target.model.called,
                "version": target.version.version,
                "state": "READY",
                "reason": "",
            }
            for target in await self.known(call)
        ]

    async def known(self, call: Call) -> list[Target]:
        """Return what is released and the caller may know of, by name."""
        tenant = call.principal.tenant
        names = await asyncio.to_thread(lambda: list(islice(self._names(tenant), MAX_INDEX)))
        found: list[Target] = []
        for name in names:
            try:
                target = await asyncio.to_thread(self.routes.resolve, tenant, name, None)
            except ModelNotFound:
                continue
            if self.guard.decide(call, "readMetadata", target.facts).allowed:
                found.append(target)
        return found

    def _names(self, tenant: str) -> Iterator[str]:
        """Yield the tenant's own models, and then what may be shared with it. Blocks."""

        def own(after: str, limit: int) -> list[Model]:
            return self.registry.list_models(tenant, after=after, limit=limit)

        def shared(after: tuple[str, str], limit: int) -> list[Sharing]:
            return self.registry.shared_to(tenant, after=after, limit=limit)

        yield from (model.name for model in every(own, lambda model: model.name, ""))
        for one in every(shared, lambda one: (one.owner, one.model), ("", "")):
            yield shared_name(one.owner, one.model)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def configuration(described: Mapping[str, Any]) -> dict[str, Any]:
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


def _statistics(model: str, version: str, counted: VersionStatistics, runs: int) -> dict[str, Any]:
    """Triton's statistics of a version; what is not looked at was never collected."""
    return {
        "name": model,
        "version": version,
        "last_inference": counted.last_inference,
        "inference_count": counted.inference_count,
        "execution_count": runs,
        "inference_stats": {
            "success": asdict(counted.success),
            "fail": asdict(counted.fail),
            **dict.fromkeys(NOT_COLLECTED, asdict(Duration())),
        },
        "batch_stats": [],
    }
