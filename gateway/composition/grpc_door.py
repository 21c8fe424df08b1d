"""The gRPC door: inference and what callers may know of models, where a port is set for it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from gateway.composition.foundation import Foundation
from gateway.grpc.ended import CallsEnded
from gateway.grpc.incoming import Bounds
from gateway.grpc.server import GrpcServer
from gateway.grpc.service import Service
from gateway.inference.body_budget import BodyBudget
from gateway.inference.directory import ModelDirectory
from gateway.inference.pipeline import Pipeline
from gateway.process.doors import ProtocolDoor
from gateway.traces import Traces

VERSION: Final = version("sealgate")
ALPN: Final = ("h2",)


def grpc_door(
    base: Foundation,
    pipeline: Pipeline,
    directory: ModelDirectory,
    ready: Callable[[], bool],
    budget: BodyBudget,
    traces: Traces,
    ended: CallsEnded,
) -> ProtocolDoor | None:
    """Make the door; `None` where `grpc_port` is not set.

    Args:
        base: The settings.
        pipeline: The way of a request, the same as over HTTP.
        directory: Answers about models.
        ready: Tells whether requests are taken.
        budget: What the bodies of both doors share.
        traces: Begins traces.
        ended: Notes how calls ended.
    """
    settings = base.settings
    if settings.grpc_port is None:
        return None
    new_id = pipeline.records.new_id
    service = Service(pipeline, directory, VERSION, ready, new_id)
    bounds = Bounds(settings.max_body_bytes, settings.body_timeout_seconds, budget)
    return ProtocolDoor(
        "grpc",
        GrpcServer(service.methods(), bounds, new_id, traces, ended),
        settings.grpc_host,
        settings.grpc_port,
        settings.tls_certificate,
        settings.tls_key,
        ALPN,
        "grpc_port",
    )
