"""Uploads, and the versions that are published from them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.artifacts.signature import owner_statement
from gateway.authorization.recorder import Call
from gateway.composition.foundation import Foundation
from gateway.registry.errors import PublishRefused
from gateway.registry.publish import PublishOrder
from gateway.registry.records import SealedPayload, Upload
from gateway.work.jobs import Jobs
from tests.gateway.screening.classifiers import classifier, clouds, npz
from tests.gateway.work.test_jobs import Later
from tests.kills.registry_changes import OWNER, add_model
from tests.kills.scenario import Notes, Scenario, never
from tests.kills.world import World

CONTENT = b"a model, as far as an upload is concerned"


def keep(world: World, content: bytes, by: Call = OWNER) -> Upload:
    """Receive an upload and keep it, as the route does."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    arrived = asyncio.run(world.base.sealer.stage_stream("acme", chunks(), limit=1 << 30))
    return world.use.uploads.keep(by, "m", arrived)


def _kept(base: Foundation) -> list[Upload]:
    return base.stores.uploads.list_uploads("acme", after="", limit=9)


def _stored(base: Foundation, payload: SealedPayload) -> bool:
    return base.artifacts.exists(payload.digest)


def _waiting(world: World) -> Notes:
    add_model(world)
    return {"upload": keep(world, CONTENT)}


@cache
def _calibration() -> bytes:
    x, y = clouds(1200, seed=1)
    return npz(x=x, y=y)


def _ready(world: World, *, signed: bytes | None = None, screened: bool = False) -> Notes:
    add_model(world)
    graph, key = classifier(), ec.generate_private_key(ec.SECP256R1())
    digest = hashlib.sha256(graph if signed is None else signed).hexdigest()
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    uploads = [keep(world, graph), *([keep(world, _calibration())] if screened else [])]
    order = PublishOrder(
        "m",
        "1",
        uploads[0].id,
        uploads[1].id if screened else None,
        json.dumps(owner_statement({"model.onnx": digest}, key)).encode(),
        pem,
    )
    return {"uploads": uploads, "order": order}


def _publish(world: World, notes: Notes) -> None:
    later = Later()
    jobs = Jobs(later, lambda: "job")
    world.use.publisher.start(OWNER, notes["order"], jobs)
    later.run()
    job = jobs.get("acme", "job")
    assert job is not None
    if job.reason == "owner_signature":
        raise PublishRefused(job.reason)
    if job.state != "done":
        raise RuntimeError(json.dumps(asdict(job)))


def _published(base: Foundation, notes: Notes) -> bool:
    version = base.stores.registry.get_version("acme", "m", "1")
    if version is None or version.state != "candidate" or _kept(base):
        return False
    graph, *calibration = notes["uploads"]
    roles = ["graph", "fused", "profile"] if calibration else ["graph"]
    return (
        [payload.role for payload in version.payloads] == roles
        and version.payloads[0].digest == graph.payload.digest
        and all(_stored(base, payload) for payload in version.payloads)
        and not any(_stored(base, upload.payload) for upload in calibration)
    )


def _not_published(base: Foundation, notes: Notes) -> bool:
    version = base.stores.registry.get_version("acme", "m", "1")
    ended = version is None or (version.state, version.payloads) == ("rejected", ())
    uploads: list[Any] = notes["uploads"]
    waiting = sorted(upload.id for upload in _kept(base))
    return (
        ended
        and waiting == sorted(upload.id for upload in uploads)
        and all(_stored(base, upload.payload) for upload in uploads)
    )


def _given_back(base: Foundation, notes: Notes) -> bool:
    """Refused: an upload is kept whole, to expire, or gone with its payload."""
    version = base.stores.registry.get_version("acme", "m", "1")
    ended = version is None or (version.state, version.payloads) == ("rejected", ())
    kept = {upload.id for upload in _kept(base)}
    return ended and all(
        upload.id not in kept or _stored(base, upload.payload) for upload in notes["uploads"]
    )


SCENARIOS = (
    Scenario(
        "upload",
        add_model,
        lambda world, _: keep(world, CONTENT),
        finished=lambda base, _: (
            [_stored(base, upload.payload) for upload in _kept(base)] == [True]
        ),
        undone=lambda base, _: not _kept(base),
    ),
    Scenario(
        "discard",
        _waiting,
        lambda world, notes: world.use.uploads.give_up(OWNER, notes["upload"].id),
        finished=lambda base, notes: not _kept(base) and not _stored(base, notes["upload"].payload),
        undone=lambda base, notes: bool(_kept(base)) and _stored(base, notes["upload"].payload),
    ),
    Scenario("publish", _ready, _publish, finished=_published, undone=_not_published),
    Scenario(
        "publish",
        lambda world: _ready(world, screened=True),
        _publish,
        way="with a screen",
        finished=_published,
        undone=_not_published,
    ),
    Scenario(
        "publish",
        lambda world: _ready(world, signed=b"another model"),
        _publish,
        way="refused",
        finished=never,
        undone=_given_back,
        refused=PublishRefused,
    ),
)
