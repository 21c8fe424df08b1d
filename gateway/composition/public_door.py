"""The application of the public door: inference and, on routes, everything else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from starlette.types import ASGIApp

from audit.errors import AuditError
from gateway.artifacts.keys import KeyProvider
from gateway.artifacts.own_release_keys import chain_of
from gateway.artifacts.signing_rings import release_purpose
from gateway.authorization.recorder import Recorder
from gateway.batch.intake import MAX_ROWS_BYTES
from gateway.composition.foundation import Foundation
from gateway.composition.identity import Identity
from gateway.composition.use_cases import UseCases
from gateway.errors import SealgateError
from gateway.identity.metadata import resource_metadata
from gateway.inference.body_budget import BodyBudget
from gateway.inference.directory import ModelDirectory
from gateway.inference.pipeline import Pipeline
from gateway.request_lines import RequestLines
from gateway.telemetry import Metrics
from gateway.traces import Traces
from gateway.web import (
    administration,
    approvals,
    artifacts,
    audit,
    authorize,
    batches,
    device,
    federations,
    jobs,
    keys,
    models,
    oauth,
    oip,
    passkey_pages,
    people,
    person_pages,
    policies,
    reasons,
    sharing,
    start,
    subjects,
    uploads,
)
from gateway.web.api_page import Pages
from gateway.web.authenticated import Authenticated
from gateway.web.boundary import Boundary
from gateway.web.bounded_body import BoundedBody
from gateway.web.client_certificates import ClientCertificates
from gateway.web.dependencies import provide
from gateway.web.description import describe
from gateway.web.forms import has_name, origin_of
from gateway.web.infer import UNVERSIONED, VERSIONED, InferEndpoint, PublicApp
from gateway.web.operations import operation_id
from gateway.web.problems import install_problems
from policies.errors import PolicyError

VERSION: Final = version("sealgate")
DOOR: Final = "public"


def public_app(
    base: Foundation,
    identity: Identity,
    recorder: Recorder,
    use: UseCases,
    pipeline: Pipeline,
    directory: ModelDirectory,
    budget: BodyBudget,
    ready: Callable[[], bool],
    traces: Traces,
    metrics: Metrics,
    lines: RequestLines,
) -> ASGIApp:
    """Make the application.

    Args:
        base: Keys, stores and settings.
        identity: Who knows callers.
        recorder: Gives requests their ids.
        use: What is behind the routes.
        pipeline: The way of an inference request.
        directory: Answers about models, through whatever door.
        budget: What the bodies of all doors share.
        ready: Tells whether requests are taken.
        traces: Begins traces.
        metrics: Count requests.
        lines: Where their log lines go.
    """
    settings = base.settings
    # A redirect would repeat what was sent, path and `Host`.
    app = FastAPI(
        title="sealgate",
        version=VERSION,
        openapi_url=None,  # `/openapi.json` is ours
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    pages = Pages(lambda: describe(app.openapi(), settings.public_url))
    app.include_router(pages.router())
    app.include_router(start.build_router(VERSION, ready))
    install_problems(app, SealgateError, AuditError, PolicyError)
    server, issuers = identity.server, identity.issuers

    def resource() -> dict[str, Any]:
        return resource_metadata(server.issuer, issuers.names, certificates=server.certificates)

    of_people = oauth.OfPeople(
        use.people.tokens, use.people.consents, use.people.devices, use.people.endings
    )
    app.include_router(
        oauth.build_router(server, resource, use.tokens, metrics.count_token, people=of_people)
    )
    app.include_router(authorize.build_router(_authorize_door(base, use)))
    origin = origin_of(settings.public_url)
    door = device.DeviceDoor(use.people.devices, use.people.browsers, origin)
    app.include_router(device.build_router(door))
    person_door = _person_door(base, use)
    app.include_router(person_pages.build_router(person_door))
    app.include_router(passkey_pages.build_router(person_door))
    app.include_router(oip.build_router(directory, VERSION, ready))
    _provide(app, base, use)
    app.add_middleware(
        Authenticated, authenticator=identity.authenticator, refused=metrics.count_refused
    )
    app.add_middleware(BoundedBody, seconds=settings.body_timeout_seconds)  # the outer one
    for part in (
        administration,
        approvals,
        artifacts,
        audit,
        batches,
        federations,
        jobs,
        keys,
        models,
        people,
        policies,
        reasons,
        sharing,
        subjects,
        uploads,
    ):
        app.include_router(part.router)
    endpoint = InferEndpoint(
        pipeline,
        max_body_bytes=settings.max_body_bytes,
        body_timeout=settings.body_timeout_seconds,
        budget=budget,
    )

    def count(route: str, status: int) -> None:
        if route not in (UNVERSIONED, VERSIONED):
            metrics.count_request(DOOR, route, status)

    nonces = identity.nonces
    boundary = Boundary(
        PublicApp(endpoint, app),
        recorder.new_id,
        traces,
        count,
        lines=lines,
        door=DOOR,
        nonce=None if nonces is None else nonces.current,
    )
    header = settings.proxy_certificate_header
    return ClientCertificates(boundary, header=header, proxies=settings.trusted_proxies)


def _provide(app: FastAPI, base: Foundation, use: UseCases) -> None:
    """Hand each part of `/v1` what it needs, and no more."""
    provide(
        app,
        use.administration,
        use.audit,
        use.credentials,
        use.federations,
        use.jobs,
        use.approvals,
        use.key_list,
        use.key_orders,
        use.overviews,
        use.explaining,
        use.policies,
        use.policy_rescue,
        use.reasons,
        use.runs,
        use.sharings,
        use.subjects,
        batches.BatchJobs(
            use.batch.batches, lambda digest, length: base.artifacts.read_range(digest, 0, length)
        ),
        artifacts.Deliveries(use.delivery, base.artifacts.read_range, use.results),
        models.Models(
            use.catalogue,
            use.publisher,
            use.releases,
            use.jobs,
            partial(_release_keys, base.keys),
        ),
        people.PeopleDesk(use.people.administration, base.settings.public_url.rstrip("/")),
        uploads.Receiving(
            use.uploads,
            base.sealer.stage_stream,
            base.settings.body_timeout_seconds,
            base.settings.max_upload_bytes,
            MAX_ROWS_BYTES,
        ),
    )


def _release_keys(keys: KeyProvider, tenant: str) -> tuple[str, list[str]]:
    """Return a tenant's public release key as PEM, and base64 of how it followed others."""
    ring = keys.ring(release_purpose(tenant))
    chain = [base64.b64encode(one.encode()).decode() for one in chain_of(ring)]
    return public_pem(ring.key), chain


def _person_door(base: Foundation, use: UseCases) -> person_pages.PersonDoor:
    return person_pages.PersonDoor(
        use.people.signing_in,
        use.people.browsers,
        use.people.endings,
        base.stores.sign_ins,
        use.people.details,
        use.people.passkeys,
        use.people.proofs,
        origin_of(base.settings.public_url),
        has_name(base.settings.public_url),
    )


def _authorize_door(base: Foundation, use: UseCases) -> authorize.AuthorizeDoor:
    origin = origin_of(base.settings.public_url)
    return authorize.AuthorizeDoor(use.people.consents, use.people.browsers, origin)


def public_pem(key: Ed25519PrivateKey) -> str:
    """Return the public half of a signing key as PEM."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode()
