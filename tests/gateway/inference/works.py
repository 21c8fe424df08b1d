"""The way of a request in one process: keys, a store, and models published for real."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import msgspec
import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit.log import AuditLog
from gateway.artifacts import admission_job
from gateway.artifacts.admission import AdmissionReport
from gateway.artifacts.age import SecretBuffer
from gateway.artifacts.manifest import Manifest
from gateway.artifacts.own_release_keys import verify_release
from gateway.artifacts.sandbox import SandboxResult
from gateway.artifacts.signature import owner_statement
from gateway.composition.inference import make_pipeline
from gateway.engine.pool import Engines, Room
from gateway.engine.ports import PLAIN
from gateway.engine.process import Bounds
from gateway.identity.authenticate import Credentials
from gateway.identity.records import SCOPES, Client
from gateway.identity.tokens import TokenMinter
from gateway.inference.loading import ModelLoader
from gateway.inference.measuring import Measuring
from gateway.inference.models import Models, ServableModel
from gateway.inference.oip import OipBody, OipCodec
from gateway.inference.pipeline import InferAnswer, InferCall, Pipeline
from gateway.inference.signed_manifest import SignedManifests
from gateway.inference.warming import Warming
from gateway.registry.packaging import Material, Packager, Plain
from gateway.registry.records import Model, ModelVersion, Release
from gateway.screening import calibration
from gateway.telemetry import Metrics
from policies.compiled import starter_text
from tests.gateway.engine.threads import Gate, ThreadServer
from tests.gateway.identity.fakes import URL
from tests.gateway.parts import NOW, TENANT, House, house
from tests.gateway.screening.classifiers import CENTRES, classifier, clouds, npz

OWNER = ec.generate_private_key(ec.SECP256R1())
OWNER_PEM = OWNER.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
CLASSIFIER = classifier()
STRANGE = np.full((1, 6), 7.0, np.float32)
CLEAN = CENTRES[[0, 1, 2, 0, 1, 2, 2, 0]].astype(np.float32)


def ask(shop: Works, *arguments: Any, **options: Any) -> InferAnswer[OipBody]:
    """Send one request through the pipeline and wait for its end."""
    return asyncio.run(shop.infer(*arguments, **options))


def head(answer: InferAnswer[OipBody]) -> Any:
    """The JSON part of an answer."""
    return json.loads(answer.rendered.parts[0])


def secret(content: bytes) -> SecretBuffer:
    buffer = SecretBuffer(len(content))
    buffer[:] = content
    return buffer


def row(x: Any = CLEAN[:1], **parameters: Any) -> dict[str, Any]:
    """A request about some rows of the classifier."""
    tensor = {"name": "in", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
    return {"inputs": [tensor], "parameters": parameters}


@dataclass
class Works:
    """Everything between a token and an answer, as it is composed; loaded models can be changed."""

    house: House
    made: Pipeline
    engines: Engines
    server: ThreadServer
    minter: TokenMinter
    prepare: Callable[[ServableModel], ServableModel] = lambda model: model
    loads: list[ModelVersion] = field(default_factory=list)
    log: AuditLog | None = None

    def __post_init__(self) -> None:
        base = self.house.base
        self.keys, self.sealer, self.vault = base.keys, base.sealer, base.vault
        self.store, self.metrics, self.routes = base.artifacts, self.made.metrics, self.made.routes
        self.authenticator, self.records = self.made.authenticator, self.made.records
        self.loader = ModelLoader(
            base.sealer.open_payload,
            partial(verify_release, base.keys),
            self.engines.serve,
            kinds=self.engines.kinds.keys(),
            clock=base.environment.clock,
        )
        self.models = Models(self._load)
        self.manifests = SignedManifests(
            partial(verify_release, base.keys),
            lambda: base.revocation_state.epoch,
            base.environment.clock,
        )

    def _load(self, version: ModelVersion) -> ServableModel:
        self.loads.append(version)
        return self.prepare(self.loader(version))

    @property
    def pipeline(self) -> Pipeline:
        log = self.log or self.house.log
        return replace(self.made, models=self.models, routes=self.routes, log=log)

    def gate(self) -> Gate:
        """Make every engine that is started from now on wait in the middle of each run."""
        self.server.gate = gate = Gate()
        return gate

    def warming(self, *, room: bool = True) -> Warming:
        """What makes released versions ready at the start."""
        return Warming(
            self.models, self.house.stores.registry, lambda: iter([TENANT]), lambda _: room
        )

    def allow_unscreened(self) -> None:
        """Replace the tenant's policies by the starter set without `screened-only`."""
        rules = starter_text().split("@id(")
        kept = [rule for rule in rules if not rule.startswith('"screened-only"')]
        assert len(kept) == len(rules) - 1
        self.house.author.publish(TENANT, "@id(".join(kept), "test")
        self.house.changed()

    def publish(
        self,
        version: str = "1",
        *,
        model: str = "m",
        graph: bytes = CLASSIFIER,
        screened: bool = True,
        release: bool = True,
        personal: bool = False,
        tenant: str = TENANT,
        allow_nan: frozenset[str] = frozenset(),
    ) -> ModelVersion:
        """Publish a version as the control plane does, without its HTTP and its processes."""
        registry = self.house.stores.registry
        if registry.get_model(tenant, model) is None:
            registry.add_model(
                Model(tenant, model, personal, "internal", frozenset(), int(NOW), "test")
            )
        self.keys.create_tenant(tenant)
        signed = owner_statement({"model.onnx": hashlib.sha256(graph).hexdigest()}, OWNER)
        material = Material(
            tenant=tenant,
            model=model,
            version=version,
            plain=secret(graph),
            sealed=None,
            calibration=secret(b"unused") if screened else None,
            owner_bundle=json.dumps(signed).encode(),
            owner_key_pem=OWNER_PEM,
            allow_nan=allow_nan,
        )
        parts = Packager(
            self.sealer,
            self.keys.release_key,
            admit=lambda plain, *, sample, rows: _admitted(bytes(plain)),
            run_sandboxed=lambda module, inputs, args, limits: _calibrated(bytes(inputs["model"])),
            measure=_measured,
            clock=lambda: NOW,
        ).package(material, lambda _: None, lambda *_: None)
        registry.add_version(
            ModelVersion(
                tenant=tenant,
                model=model,
                version=version,
                state="candidate",
                created=int(NOW),
                created_by="test",
                manifest=parts.manifest,
                owner_bundle=material.owner_bundle,
                owner_key_pem=material.owner_key_pem,
                link=parts.link,
                payloads=parts.payloads,
                facts=parts.facts,
            )
        )
        if release:
            self.release(version, model, tenant)
        self.house.changed()
        return self.version(version, model, tenant)

    def release(self, version: str, model: str = "m", tenant: str = TENANT) -> None:
        """Move the release pointer."""
        registry = self.house.stores.registry
        current = registry.current(tenant, model)
        previous = current.version if current else None
        entry = Release(tenant, model, version, previous, "promote", "test", int(NOW))
        registry.release(entry, expected=previous)
        self.house.changed()

    def version(self, version: str = "1", model: str = "m", tenant: str = TENANT) -> ModelVersion:
        """The version as it is stored now."""
        found = self.house.stores.registry.get_version(tenant, model, version)
        assert found is not None
        return found

    def set_state(self, state: Any, version: str = "1") -> None:
        """Put a version into a state, whatever the table of moves says."""
        stored = self.version(version)
        self.house.stores.registry.replace_version(replace(stored, state=state))
        self.house.changed()

    def client(self, role: str = "caller", tenant: str = TENANT) -> Client:
        """The registered client of that role, whose tokens need no key."""
        clients = self.house.stores.clients
        found = clients.get(f"{tenant}-{role}")
        if found is not None and found.token_binding == "none":
            return found
        made = Client(
            id=f"{tenant}-{role}",
            tenant=tenant,
            name=role,
            roles=frozenset({role}),
            scopes=frozenset(SCOPES),
            purposes=frozenset({"care"}),
            default_purpose="care",
            token_binding="none",
        )
        if found is None:
            clients.add(made)
        else:
            clients.update(made)
            self.house.changed()
        return made

    def bearer(self, role: str = "caller", tenant: str = TENANT) -> str:
        """A token of such a client."""
        return self.minter.mint(self.client(role, tenant), frozenset(SCOPES)).text

    async def infer(
        self,
        body: dict[str, Any] | bytes | None = None,
        *,
        token: str | None = None,
        model: str = "m",
        version: str | None = None,
        read: Callable[[str], Any] | None = None,
        codec: OipCodec | None = None,
    ) -> InferAnswer[OipBody]:
        """Send one request through the pipeline."""
        content = body if isinstance(body, bytes) else json.dumps(body or row()).encode()

        async def given(_: str) -> bytes:
            return content

        sent = self.bearer() if token is None else token
        headers = [(b"authorization", b"Bearer " + sent.encode())] if sent else []
        call = InferCall(
            credentials=Credentials(headers, "POST", f"/v2/models/{model}/infer"),
            model=model,
            version=version,
            codec=codec or OipCodec(None),
            read=read or given,
        )
        return await self.pipeline.infer(call)

    def events(self) -> list[dict[str, Any]]:
        """What the tenant's log holds, oldest first."""
        return self.house.events()


@cache
def _calibrated(graph: bytes) -> SandboxResult:
    x, y = clouds(1200, seed=1)
    inputs = {"model": memoryview(graph), "calibration": memoryview(npz(x=x, y=y))}
    report, outputs = calibration.main(inputs, {})
    return SandboxResult(report, outputs, network_isolated=True, user_dropped=True)


@cache
def _admitted(graph: bytes) -> AdmissionReport:
    seconds = {"run_seconds": 0.2, "search_seconds": 1.0}
    report, _ = admission_job.main({"model": memoryview(graph)}, seconds)
    return msgspec.convert(report, AdmissionReport)


_ROOM = Room(engines=32, memory_bytes=4 << 30, each=Bounds(), run_seconds=30.0)
_known: dict[bytes, dict[str, str]] = {}


def _measured(manifest: Manifest, graph: Plain, *, by_row: bool, screened: bool) -> dict[str, str]:
    """Measure a graph once, with engines of its own: a trial is more than a thousand runs."""
    told = (manifest.inputs, manifest.outputs, manifest.trial, by_row, screened)
    key = hashlib.sha256(graph).digest() + msgspec.json.encode(told)
    if key not in _known:
        engines = Engines({PLAIN: ThreadServer()}, _ROOM, lambda *_: None)
        try:
            measuring = Measuring(engines, time.monotonic)
            _known[key] = measuring(manifest, graph, by_row=by_row, screened=screened)
        finally:
            engines.close()
    return dict(_known[key])


@contextmanager
def works(
    *tenants: str,
    timeout: float = 30.0,
    rate: str = "100000/minute",
    clock: Callable[[], float] = lambda: NOW,
    **settings: Any,
) -> Iterator[Works]:
    """Open the works until the block ends."""
    changes: dict[str, Any] = {"run_timeout_seconds": timeout, "rate_limit": rate, **settings}
    with house(*tenants, clock=clock, **changes) as owned:
        base = owned.base
        server = ThreadServer()
        room = replace(_ROOM, run_seconds=timeout)
        engines = Engines({PLAIN: server}, room, lambda *_: None)
        made = make_pipeline(
            base, owned.identity.authenticator, owned.guard, owned.recorder, engines, Metrics()
        )
        keys = owned.identity.token_keys
        minter = TokenMinter(URL, URL, keys, clock=clock, random_bytes=secrets.token_bytes)
        try:
            yield Works(owned, made, engines, server, minter)
        finally:
            engines.close()
