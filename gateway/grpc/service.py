"""The methods of `inference.GRPCInferenceService`, and the check of gRPC's health service.

A thin skin over the pipeline and the directory of models. Liveness, readiness and the server's
metadata are public, as over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.grpc import messages
from gateway.grpc.call import Answer, Call, Method, Methods
from gateway.grpc.infer_codec import GrpcCodec, Names, names_so_far
from gateway.grpc.stream_infer import StreamInfer
from gateway.grpc.wire import write
from gateway.inference.directory import EXTENSIONS, ModelDirectory, configuration
from gateway.inference.errors import ModelNotFound, ModelUnavailable
from gateway.inference.pipeline import InferCall, Pipeline

SERVICE: Final = "/inference.GRPCInferenceService/"
HEALTH: Final = "/grpc.health.v1.Health/Check"
PUBLIC: Final = "public"
"""In whose name the empty messages of public methods are held."""


@dataclass(frozen=True, slots=True)
class Service:
    """The methods.

    Args:
        pipeline: The way of an inference request.
        directory: Answers about models.
        version: The gateway's own version.
        is_ready: Whether requests are taken.
        new_id: Draws the id of a request.
    """

    pipeline: Pipeline
    directory: ModelDirectory
    version: str
    is_ready: Callable[[], bool]
    new_id: Callable[[], str]

    def methods(self) -> Methods:
        """Return the methods by path."""
        named: dict[str, Method] = {
            "ModelInfer": self.infer,
            "ModelStreamInfer": StreamInfer(self.pipeline, self.new_id),
            "ServerLive": self.live,
            "ServerReady": self.ready,
            "ServerMetadata": self.server,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model,
            "ModelConfig": self.configuration,
            "ModelStatistics": self.statistics,
            "RepositoryIndex": self.index,
        }
        return {**{SERVICE + name: method for name, method in named.items()}, HEALTH: self.health}

    async def infer(self, call: Call) -> Answer:
        """Answer one request."""
        codec = GrpcCodec()

        async def names(tenant: str) -> Names:
            found, least = None, 1
            while found is None:
                beginning, whole = await call.incoming.beginning(tenant, least)
                found = names_so_far(beginning, whole=whole)
                least = 2 * len(beginning) + 1
            codec.names = found
            return found

        asked = InferCall(
            credentials=call.head.credentials,
            model="",
            version=None,
            codec=codec,
            read=call.incoming.only,
            request_id=call.request_id,
            trace=call.trace,
            names=names,
        )
        answer = await self.pipeline.infer(asked)
        return Answer(answer.rendered, ((b"sealgate-audit", str(answer.receipt).encode()),))

    async def live(self, call: Call) -> Answer:
        """Tell that the process runs."""
        await call.incoming.question(PUBLIC)
        return Answer([write(messages.LIVE, {"live": True})])

    async def ready(self, call: Call) -> Answer:
        """Tell whether requests are taken."""
        await call.incoming.question(PUBLIC)
        return Answer([write(messages.READY, {"ready": self.is_ready()})])

    async def health(self, call: Call) -> Answer:
        """Tell the same to probes that speak gRPC's health protocol."""
        service, _ = messages.named(await call.incoming.question(PUBLIC))
        if service not in ("", SERVICE.strip("/")):
            raise ModelNotFound("the gateway does not have this service")
        status = messages.SERVING if self.is_ready() else messages.NOT_SERVING
        return Answer([write(messages.HEALTH, {"status": status})])

    async def server(self, call: Call) -> Answer:
        """Name the server and its protocol extensions."""
        await call.incoming.question(PUBLIC)
        told = {"name": "sealgate", "version": self.version, "extensions": EXTENSIONS}
        return Answer([write(messages.SERVER, told)])

    async def model_ready(self, call: Call) -> Answer:
        """Tell whether a model answers; one that is absent or not allowed does not."""
        known = await self.directory.call(call.head.credentials)
        name, version = messages.named(await call.incoming.question(known.principal.tenant))
        try:
            await self.directory.ready(await self.directory.target(known, name, version))
        except (ModelNotFound, ModelUnavailable):
            return Answer([b""])
        return Answer([write(messages.READY, {"ready": True})])

    async def model(self, call: Call) -> Answer:
        """Describe a model's inputs and outputs."""
        known = await self.directory.call(call.head.credentials)
        name, version = messages.named(await call.incoming.question(known.principal.tenant))
        target = await self.directory.target(known, name, version)
        return Answer([write(messages.MODEL, await self.directory.describe(target))])

    async def configuration(self, call: Call) -> Answer:
        """Describe a model in Triton's terms."""
        known = await self.directory.call(call.head.credentials)
        name, version = messages.named(await call.incoming.question(known.principal.tenant))
        target = await self.directory.target(known, name, version)
        told = configuration(await self.directory.describe(target))
        return Answer([write(messages.CONFIGURATION, {"config": messages.numbered(told)})])

    async def statistics(self, call: Call) -> Answer:
        """Tell what was counted of a model; without a name, of all that the caller may know of."""
        known = await self.directory.call(call.head.credentials)
        name, version = messages.named(await call.incoming.question(known.principal.tenant))
        if name:
            targets = [await self.directory.target(known, name, version)]
        else:
            targets = await self.directory.known(known)
        told = self.directory.statistics(*targets)
        return Answer([write(messages.STATISTICS, told)])

    async def index(self, call: Call) -> Answer:
        """List the models that the caller may know of; all of them are ready."""
        known = await self.directory.call(call.head.credentials)
        await call.incoming.question(known.principal.tenant)
        return Answer([write(messages.INDEX, {"models": await self.directory.index(known)})])
