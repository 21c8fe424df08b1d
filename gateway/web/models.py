"""Models, versions, publishing and releases."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field, StrictBool

from gateway.errors import InvalidRequest
from gateway.registry.catalogue import Catalogue
from gateway.registry.publish import Publisher, PublishOrder
from gateway.registry.releases import Releases
from gateway.web.answers import (
    JobAnswer,
    ModelAnswer,
    ModelWithRelease,
    Page,
    ReleaseAnswer,
    SignaturesAnswer,
    VersionAnswer,
)
from gateway.web.bodies import Body, Name, Reference, Title, VersionName
from gateway.web.dependencies import CallDep, PageDep, provided
from gateway.web.operations import described, says, sends
from gateway.web.shapes import job_body, model_body, page_body, release_body, version_body
from gateway.web.strict_route import StrictRoute
from gateway.work.jobs import Jobs

router = APIRouter(route_class=StrictRoute, prefix="/v1/models", tags=["models"])


@dataclass(frozen=True, slots=True)
class Models:
    """What these routes need.

    Attributes:
        release_keys: Returns a tenant's public release key as PEM, and how it followed others.
    """

    catalogue: Catalogue
    publisher: Publisher
    releases: Releases
    jobs: Jobs
    release_keys: Callable[[str], tuple[str, list[str]]]


Use = Annotated[Models, provided(Models)]


MAX_BUNDLE = 64 << 10
"""Base64 of an owner's bundle: a DSSE envelope over a few file names."""
MAX_PEM = 1024
WATCH: dict[int | str, Any] = {202: {"headers": described({"Location": "The job to watch."})}}


class NewModel(Body):
    """A name to publish under."""

    name: Name
    personal: StrictBool
    data_class: Name = "internal"


class NewVersion(Body):
    """A version made of uploads that were sealed before."""

    version: VersionName
    upload: Reference
    owner_bundle: Annotated[str, Field(max_length=MAX_BUNDLE)]
    owner_key: Annotated[str, Field(max_length=MAX_PEM)]
    calibration: Reference | None = None
    sample: Reference | None = None
    allow_nan: Annotated[
        frozenset[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=256)
    ] = frozenset()
    licence: Title = ""
    lineage: Annotated[
        tuple[Annotated[str, Field(max_length=2000)], ...], Field(max_length=32)
    ] = ()

    def order(self, model: str) -> PublishOrder:
        """Return what the use case takes."""
        try:
            bundle = base64.b64decode(self.owner_bundle, validate=True)
        except (binascii.Error, ValueError) as cause:
            raise InvalidRequest("`owner_bundle` must be base64") from cause
        return PublishOrder(
            model=model,
            version=self.version,
            upload=self.upload,
            calibration=self.calibration,
            sample=self.sample,
            allow_nan=self.allow_nan,
            owner_bundle=bundle,
            owner_key_pem=self.owner_key.encode(),
            licence=self.licence,
            lineage=self.lineage,
        )


class RollBack(Body):
    """Where to roll back to; without a version to the release before."""

    version: VersionName | None = None


@router.get("")
def list_models(call: CallDep, use: Use, page: PageDep) -> Page[ModelAnswer]:
    """List models."""
    models, following = use.catalogue.models(call, after=page.after, limit=page.limit)
    return page_body([model_body(model) for model in models], following)


@router.post(
    "",
    status_code=201,
    openapi_extra=says("already_exists", decides="uploadArtifact", on="Model"),
)
def create_model(body: NewModel, call: CallDep, use: Use) -> ModelAnswer:
    """Register a name."""
    model = use.catalogue.create_model(
        call,
        body.name,
        personal=body.personal,
        data_class=body.data_class,
    )
    return model_body(model)


@router.get(
    "/{model}",
    openapi_extra=says(decides="readMetadata", on="Model"),
)
def get_model(model: str, call: CallDep, use: Use) -> ModelWithRelease:
    """Show a model and what is served."""
    found = use.catalogue.model(call, model)
    current = use.catalogue.current(call, model)
    return {**model_body(found), "current": release_body(current) if current else None}


@router.get(
    "/{model}/versions",
    openapi_extra=says(decides="readMetadata", on="Model"),
)
def list_versions(model: str, call: CallDep, use: Use, page: PageDep) -> Page[VersionAnswer]:
    """List versions."""
    found, following = use.catalogue.versions(call, model, after=page.after, limit=page.limit)
    return page_body([version_body(version, model) for version in found], following)


@router.post(
    "/{model}/versions",
    status_code=202,
    responses=WATCH,
    openapi_extra=says(
        "already_exists", "limit_reached", "state_conflict", decides="uploadArtifact", on="Model"
    ),
)
def publish_version(
    model: str, body: NewVersion, call: CallDep, use: Use, response: Response
) -> JobAnswer:
    """Start publishing a version; answers with a job to watch."""
    job = use.publisher.start(call, body.order(model), use.jobs)
    response.headers["location"] = f"/v1/jobs/{job.id}"
    return job_body(job)


@router.get(
    "/{model}/versions/{version}",
    openapi_extra=says(decides="readMetadata", on="ModelVersion"),
)
def get_version(model: str, version: str, call: CallDep, use: Use) -> VersionAnswer:
    """Show a version."""
    return version_body(use.catalogue.version(call, model, version)[1], model)


@router.get(
    "/{model}/versions/{version}/manifest",
    openapi_extra=says(decides="readMetadata", on="ModelVersion"),
    responses=sends("application/json", "The manifest.", schema={"type": "object"}),
    response_class=Response,
)
def get_manifest(model: str, version: str, call: CallDep, use: Use) -> Response:
    """Return the exact bytes of the manifest; their digest is signed."""
    found = use.catalogue.version(call, model, version)[1]
    return Response(found.manifest, media_type="application/json")


@router.get(
    "/{model}/versions/{version}/signatures",
    openapi_extra=says(decides="readMetadata", on="ModelVersion"),
)
def get_signatures(model: str, version: str, call: CallDep, use: Use) -> SignaturesAnswer:
    """Return both signatures: the owner's over the files, the tenant's over the link.

    The release key is here so that it can be compared with one that came another way; only such a
    pinned key proves anything. One that is in a chain of `successions` with it was named by it, or
    named it, and may have signed the link while it was not replaced.
    """
    found = use.catalogue.version(call, model, version)[1]
    release_key, successions = use.release_keys(found.tenant)
    return {
        "release_key": release_key,
        "successions": successions,
        "owner_bundle": base64.b64encode(found.owner_bundle).decode(),
        "owner_key": found.owner_key_pem.decode("ascii", "replace"),
        "link": base64.b64encode(found.link).decode(),
    }


@router.post(
    "/{model}/versions/{version}/promote",
    operation_id="promote_version",
    openapi_extra=says("illegal_move", "state_conflict", decides="promote", on="ModelVersion"),
)
def promote(model: str, version: str, call: CallDep, use: Use) -> ReleaseAnswer:
    """Serve a version by default."""
    return release_body(use.releases.promote(call, model, version))


@router.post(
    "/{model}/versions/{version}/retire",
    operation_id="retire_version",
    openapi_extra=says("illegal_move", "state_conflict", decides="uploadArtifact", on="Model"),
)
def retire(model: str, version: str, call: CallDep, use: Use) -> VersionAnswer:
    """Take a version out of service for good."""
    return version_body(use.releases.retire(call, model, version), model)


@router.get(
    "/{model}/release",
    openapi_extra=says(decides="readMetadata", on="Model"),
)
def release_history(model: str, call: CallDep, use: Use, page: PageDep) -> Page[ReleaseAnswer]:
    """Show what was served when."""
    entries = use.releases.history(call, model, after=page.position, limit=page.limit)
    following = str(entries[-1].sequence) if len(entries) == page.limit else None
    return page_body([release_body(entry) for entry in entries], following)


@router.post(
    "/{model}/release",
    openapi_extra=says("illegal_move", "state_conflict", decides="rollback", on="ModelVersion"),
)
def roll_back(model: str, body: RollBack, call: CallDep, use: Use) -> ReleaseAnswer:
    """Serve an earlier release again."""
    return release_body(use.releases.rollback(call, model, body.version))
