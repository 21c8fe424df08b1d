"""Records as the API shows them: public fields only, never keys, secrets or wrapped keys."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from audit.reader import Entry
from gateway.batch.errors import RowsRefused
from gateway.batch.records import Batch, Part, Progress
from gateway.federation.records import Federation, Run, Site
from gateway.identity.records import Client, Tenant
from gateway.names import split_shared
from gateway.registry.delivery import DELIVERED
from gateway.registry.records import Model, ModelVersion, Release, Upload
from gateway.registry.uploads import ROWS
from gateway.tenancy.key_list import KeyFacts
from gateway.tenancy.overview import Overview
from gateway.web.administration_answers import ClientAnswer, KeyAnswer, OverviewAnswer, TenantAnswer
from gateway.web.answers import (
    BatchAnswer,
    EntryAnswer,
    FederationAnswer,
    JobAnswer,
    ModelAnswer,
    Page,
    PartAnswer,
    ReleaseAnswer,
    RuleAnswer,
    RunAnswer,
    SiteAnswer,
    UploadAnswer,
    VersionAnswer,
)
from gateway.work.jobs import Job
from policies.nearest import Rule

T = TypeVar("T")


def page_body(items: list[T], following: str | None) -> Page[T]:
    """A page of a list; `next` is the cursor of the page after, None when nothing follows."""
    return {"items": items, "next": following}


def model_body(model: Model) -> ModelAnswer:
    """A model."""
    return {
        "name": model.name,
        "personal": model.personal,
        "data_class": model.data_class,
        "shared_with": sorted(one.tenant for one in model.sharings if one.accepted is not None),
        "created": model.created,
        "created_by": model.created_by,
    }


def version_body(version: ModelVersion, called: str) -> VersionAnswer:
    """A version; of its payloads only those that can be delivered.

    Args:
        version: It.
        called: Name of the model to who asks. Of another tenant's neither who made it there nor
            how it was measured is told.
    """
    lent = split_shared(called) is not None
    return {
        "model": called,
        "version": version.version,
        "state": version.state,
        "reason": version.reason,
        "source": "shared" if lent else version.source,
        "facts": {} if lent else dict(version.facts),
        "created": version.created,
        "created_by": "" if lent else version.created_by,
        "payloads": [
            {"role": p.role, "digest": p.digest, "length": p.length, "plain_length": p.plain_length}
            for p in version.payloads
            if p.role in DELIVERED
        ],
    }


def release_body(release: Release) -> ReleaseAnswer:
    """One move of the release pointer."""
    return {
        "model": release.model,
        "version": release.version,
        "previous": release.previous,
        "action": release.action,
        "by": release.by,
        "at": release.at,
        "sequence": release.sequence,
    }


def upload_body(upload: Upload) -> UploadAnswer:
    """A sealed upload and what to do with it."""
    return {
        "id": upload.id,
        "digest": upload.payload.plain_digest,
        "length": upload.payload.plain_length,
        "use": "rows" if upload.payload.role == ROWS else "artifact",
        "created": upload.created,
        "expires": upload.expires,
        "next": (
            "POST /v1/batches"
            if upload.payload.role == ROWS
            else "POST /v1/models/{model}/versions"
        ),
    }


def job_body(job: Job) -> JobAnswer:
    """A job."""
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "stage": job.stage,
        "done": job.done,
        "total": job.total,
        "result": job.result or None,
        "error": (
            {
                "code": job.error,
                "detail": job.message,
                "reason": job.reason,
                "next": job.remedy or None,
            }
            if job.error
            else None
        ),
    }


def batch_body(batch: Batch, done: Progress) -> BatchAnswer:
    """A batch: where it stands, never for whom or about whom."""
    return {
        "id": batch.id,
        "model": batch.model,
        "version": batch.version,
        "purpose": batch.purpose,
        "format": batch.format,
        "recipient": batch.recipient,
        "state": batch.state,
        "reason": batch.reason or None,
        "detail": RowsRefused.REASONS.get(batch.reason.removeprefix("rows.")),
        "row": batch.row if batch.row >= 0 else None,
        "input": batch.column if batch.column >= 0 else None,
        "rows": batch.rows,
        "chunks": batch.chunks,
        "done": {"chunks": done.chunks, "rows": done.rows, "refused": done.refused},
        "created": batch.created,
        "expires": batch.expires,
    }


def part_body(part: Part) -> PartAnswer:
    """A part of a batch: which rows, and the result if there is one."""
    return {
        "number": part.number,
        "first": part.first,
        "rows": part.rows,
        "refused": part.refused,
        "state": part.state,
        "digest": part.digest or None,
        "length": part.length,
    }


def entry_body(entry: Entry) -> EntryAnswer:
    """An event of the log, decoded from its verified bytes."""
    return {"index": entry.index, "receipt": str(entry), "event": msgspec.to_builtins(entry.event)}


def tenant_body(tenant: Tenant) -> TenantAnswer:
    """A tenant."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "region": tenant.region,
        "suspended": tenant.suspended,
        "purposes": sorted(tenant.purposes),
    }


def key_body(key: KeyFacts) -> KeyAnswer:
    """A key: its public half, and those of before that are accepted."""
    return {
        "kind": key.kind,
        "tenant": key.tenant,
        "number": key.number,
        "id": key.id or None,
        "made": key.made,
        "former": [
            {
                "number": one.number,
                "id": one.id or None,
                "replaced": one.replaced,
                "ends": one.ends,
                "endorsement": one.endorsement or None,
            }
            for one in key.former
        ],
    }


def overview_body(overview: Overview) -> OverviewAnswer:
    """A tenant at a glance."""
    policy = overview.policy
    return {
        **tenant_body(overview.tenant),
        "clients": dict(overview.clients),
        "clients_disabled": overview.disabled,
        "models": overview.models,
        "versions": dict(overview.versions),
        "shares_with": dict(overview.shares_with),
        "policy": policy and {"epoch": policy[0], "author": policy[1], "created": policy[2]},
        "keys": [key_body(key) for key in overview.keys],
        "rate_limit": overview.rate_limit,
        "limits": [
            {"name": limit.name, "used": limit.used, "most": limit.most, "near": limit.near}
            for limit in overview.limits
        ],
    }


def client_body(client: Client) -> ClientAnswer:
    """A client, without its credentials."""
    return {
        "id": client.id,
        "tenant": client.tenant,
        "name": client.name,
        "roles": sorted(client.roles),
        "scopes": sorted(client.scopes),
        "purposes": sorted(client.purposes),
        "default_purpose": client.default_purpose,
        "auth_method": client.auth_method,
        "token_binding": client.token_binding,
        "redirect_uris": list(client.redirect_uris),
        "disabled": client.disabled,
        "former_until": [one.until for one in client.former],
    }


def federation_body(federation: Federation) -> FederationAnswer:
    """A federation."""
    return {
        "name": federation.name,
        "model": federation.model,
        "sites": list(federation.sites),
        "task": federation.task,
        "config": federation.config,
        "quorum": federation.quorum,
        "deadline_s": federation.deadline_s,
        "calibrated": federation.calibration is not None,
        "created": federation.created,
        "created_by": federation.created_by,
    }


def site_body(site: Site) -> SiteAnswer:
    """A site."""
    return {
        "name": site.name,
        "public_key": site.public_key,
        "node_id": site.node_id,
        "revoked": site.revoked,
        "created": site.created,
    }


def run_body(run: Run) -> RunAnswer:
    """A run."""
    return {
        "id": run.id,
        "federation": run.federation,
        "version": run.version,
        "rounds": run.rounds,
        "state": run.state,
        "reason": run.reason,
        "started": run.started,
        "started_by": run.started_by,
        "events": run.cursor,
    }


def rule_body(rule: Rule, *, text: bool = True) -> RuleAnswer:
    """A policy that has, or could have, a say; its text only where the caller may see it."""
    return {
        "id": rule.id,
        "effect": rule.effect,
        "text": (rule.text or None) if text else None,
        "applies": rule.applies,
        "ways": [list(way) for way in rule.ways],
    }
