"""Publishing: from a sealed upload to a candidate that somebody may promote.

Safety argument:
1. A publish is decided when it is asked for, and again when its turn has come: only what is allowed
   then begins. The intent is durable before anything is opened, the result before anything is
   acknowledged.
2. The plaintext exists in memory only, is read by confined jobs only, and is wiped at the end.
3. The owner's signature is checked over the very bytes that were admitted.
4. The tenant's release key signs the link from that signature to every stored payload.
5. Whatever fails, the version ends as `rejected` with a stable reason, and what was staged for it
   is removed. A publish that died with its process is ended so at the next start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from audit.event import Outcome, Phase
from gateway.artifacts.upload import Sealer
from gateway.authorization.guard import CATEGORIES, Guard
from gateway.authorization.ports import PendingStore
from gateway.authorization.recorder import Call, Details, Recorder
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, InvalidRequest, NotFound, SealgateError
from gateway.identity.principal import Principal
from gateway.names import VERSION
from gateway.registry.packaging import Material, Packaged, Packager
from gateway.registry.ports import Registry
from gateway.registry.records import ModelVersion, SealedPayload, Upload
from gateway.registry.states import moved
from gateway.registry.uploads import Uploads
from gateway.work.jobs import Job, Jobs, Progress
from policies.engine import Decision

CATEGORY: Final = CATEGORIES["uploadArtifact"]
MAX_CALIBRATION: Final = 512 << 20
"""Bytes of a calibration set: 20,000 colour images of 64 x 64 as float32 take half of it."""


@dataclass(frozen=True, slots=True)
class PublishOrder:
    """What the caller says about a new version.

    Attributes:
        upload: Id of the upload of the model.
        calibration: Id of the upload of the calibration set, or None.
        owner_bundle: The owner's signature over `model.onnx`.
        owner_key_pem: The public key that it is checked with.
        licence: An SPDX expression.
        lineage: Where the training data came from.
    """

    model: str
    version: str
    upload: str
    calibration: str | None
    owner_bundle: bytes
    owner_key_pem: bytes
    licence: str = ""
    lineage: tuple[str, ...] = ()


@dataclass(slots=True)
class _Publication:
    """A publish whose intent is durable.

    Attributes:
        version: As it is stored now.
        principal: Who asked; None when a federation's run did, which was decided at its start.
        details: Fields of its events.
    """

    version: ModelVersion
    principal: Principal | None
    decision: Decision | None
    details: Details


Open = Callable[[], Material]
"""Opens what a version is made from; what it opened is wiped by the publisher."""


class Publisher:
    """Publishes versions.

    Args:
        registry: Where versions are kept.
        uploads: Where the files come from.
        sealer: Opens and deletes stored payloads.
        assembly: Makes the sealed, signed parts.
        guard: Decides.
        recorder: Records intents and results.
        pending: Remembers publishes under way.
        changed: Raises the epoch under which routes are remembered.
        clock: Unix seconds.
    """

    def __init__(
        self,
        registry: Registry,
        uploads: Uploads,
        sealer: Sealer,
        packager: Packager,
        *,
        guard: Guard,
        recorder: Recorder,
        pending: PendingStore,
        changed: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._uploads = uploads
        self._sealer = sealer
        self._packager = packager
        self._guard = guard
        self._recorder = recorder
        self._pending = pending
        self._changed = changed
        self._clock = clock

    def start(self, call: Call, order: PublishOrder, jobs: Jobs) -> Job:
        """Decide, record the intent, and publish in the background.

        Raises:
            NotFound: The model or an upload is absent, or not this caller's.
            Forbidden: Policy says no.
            InvalidRequest: A field breaks its rule.
            AlreadyExists: The version name is taken.
            LimitReached: Too many jobs are under way.
        """
        self._decide(call, order)
        if order.calibration == order.upload:
            raise InvalidRequest("`upload` and `calibration` must be two uploads")
        wanted = [order.upload, *([order.calibration] if order.calibration else [])]
        for upload in [self._uploads.find(call, upload_id) for upload_id in wanted][1:]:
            if upload.payload.plain_length > MAX_CALIBRATION:
                raise InvalidRequest("the calibration set is too large")
        version = ModelVersion(
            tenant=call.principal.tenant,
            model=order.model,
            version=order.version,
            state="quarantined",
            created=int(self._clock()),
            created_by=call.principal.client_id,
            owner_bundle=order.owner_bundle,
            owner_key_pem=order.owner_key_pem,
        )

        def work(progress: Progress) -> str:
            decision, details = self._decide(call, order)
            with self._uploads.using(call, *wanted) as (graph, *calibration):
                publication = self._begin(version, call.principal, decision, details)
                self._complete(
                    publication, lambda: self._material(order, graph, *calibration), progress
                )
                self._uploads.spend(graph)
                for used_up in calibration:
                    self._uploads.discard(used_up)
            return f"/v1/models/{order.model}/versions/{order.version}"

        return jobs.start(call.principal.tenant, "publish", work)

    def publish_trained(self, version: ModelVersion, run_id: str, open_material: Open) -> None:
        """Publish what a federation trained; decided when its run was started.

        Args:
            version: The new version, quarantined.
            run_id: The run, as the request that this answers.
            open_material: Opens the model, the calibration set and the owner's statement.

        Raises:
            AlreadyExists: The version name is taken.
            SealgateError: The version was rejected.
        """
        details: Details = {
            "tenant": version.tenant,
            "model_id": version.model,
            "model_version": version.version,
            "resource": f"Model::{version.tenant}/{version.model}",
            "request_id": run_id,
        }
        publication = self._begin(version, None, None, details)
        self._complete(publication, open_material, _unwatched)

    def end_interrupted(self, pending: Pending) -> None:
        """End a publish that has an intent and perhaps no result."""
        facts = pending.facts
        found = self._registry.get_version(pending.tenant, facts["model"], facts["version"])
        survived = found is not None and found.state in {"candidate", "released", "retired"}
        if found is not None and found.state == "quarantined":
            self._discard(found, "interrupted")
        details: Details = {
            "tenant": pending.tenant,
            "model_id": facts["model"],
            "model_version": facts["version"],
            "phase": "result",
            "intent_id": pending.id,
            "reason": "reconciled" if survived else "interrupted",
        }
        outcome: Outcome = "done" if survived else "error"
        self._recorder.write(
            self._recorder.event_for(None, "uploadArtifact", outcome, category=CATEGORY, **details)
        )
        self._pending.remove_pending(pending.tenant, pending.id)

    def _decide(self, call: Call, order: PublishOrder) -> tuple[Decision, Details]:
        tenant = call.principal.tenant
        if VERSION.match(order.version) is None:
            raise InvalidRequest("`version` must be 1 to 32 letters, digits, dots, dashes")
        model = self._registry.get_model(tenant, order.model)
        if model is None:
            raise NotFound
        facts = self._guard.model(model)
        details: Details = {
            "model_id": order.model,
            "model_version": order.version,
            "resource": "::".join(facts.uid),
            "request_id": call.request_id,
        }
        decision = self._guard.require(call, "uploadArtifact", facts, **details)
        if self._registry.get_version(tenant, order.model, order.version) is not None:
            raise AlreadyExists
        return decision, details

    def _begin(
        self,
        version: ModelVersion,
        principal: Principal | None,
        decision: Decision | None,
        details: Details,
    ) -> _Publication:
        """Make the intent durable, then put the version in quarantine."""
        publication = _Publication(version, principal, decision, details)
        intent = self._record(publication, "allow", phase="intent")
        publication.details = {**details, "intent_id": intent}
        self._pending.add_pending(
            Pending(
                id=intent,
                tenant=version.tenant,
                kind="publish",
                facts={"model": version.model, "version": version.version},
                at=int(self._clock()),
            )
        )
        try:
            self._registry.add_version(version)
        except SealgateError as fault:
            self._end(publication, "error", fault.code)
            raise
        return publication

    def _complete(self, publication: _Publication, open_material: Open, progress: Progress) -> None:
        try:
            material = open_material()
            try:
                parts = self._packager.package(material, self._stager(publication), progress)
            finally:
                material.wipe()
            self._become_candidate(publication, parts)
        except Exception as fault:
            reason = reason_of(fault)
            self._discard(publication.version, reason)
            self._end(publication, "error", reason)
            raise
        self._end(publication, "done", "")

    def _stager(self, publication: _Publication) -> Callable[[SealedPayload], None]:
        def stage(payload: SealedPayload) -> None:
            version = publication.version
            publication.version = self._registry.replace_version(
                replace(version, payloads=(*version.payloads, payload))
            )

        return stage

    def _become_candidate(self, publication: _Publication, parts: Packaged) -> None:
        publication.version = self._registry.replace_version(
            replace(
                moved(publication.version, "candidate"),
                manifest=parts.manifest,
                link=parts.link,
                payloads=parts.payloads,
                facts=parts.facts,
            )
        )
        self._changed()

    def _discard(self, version: ModelVersion, reason: str) -> None:
        """Reject a quarantined version and delete what was stored for it alone."""
        if version.state != "quarantined":
            return
        for payload in version.payloads:
            self._sealer.remove(payload.digest)
        self._registry.replace_version(
            replace(moved(version, "rejected"), payloads=(), reason=reason)
        )

    def _material(
        self, order: PublishOrder, graph: Upload, calibration: Upload | None = None
    ) -> Material:
        plain = self._sealer.open_payload(graph.tenant, graph.payload)
        try:
            rows = (
                self._sealer.open_payload(graph.tenant, calibration.payload)
                if calibration
                else None
            )
        except BaseException:
            plain.wipe()
            raise
        return Material(
            tenant=graph.tenant,
            model=order.model,
            version=order.version,
            plain=plain,
            sealed=replace(graph.payload, role="graph"),
            calibration=rows,
            owner_bundle=order.owner_bundle,
            owner_key_pem=order.owner_key_pem,
            licence=order.licence,
            lineage=order.lineage,
        )

    def _end(self, publication: _Publication, outcome: Outcome, reason: str) -> None:
        self._record(publication, outcome, phase="result", reason=reason)
        intent = publication.details["intent_id"]
        self._pending.remove_pending(publication.version.tenant, intent)

    def _record(
        self, publication: _Publication, outcome: Outcome, *, phase: Phase, reason: str = ""
    ) -> str:
        details: Details = {
            "tenant": publication.version.tenant,
            **publication.details,
            "phase": phase,
            "reason": reason or "publish",
        }
        event = self._recorder.event_for(
            publication.principal,
            "uploadArtifact",
            outcome,
            publication.decision,
            category=CATEGORY,
            **details,
        )
        return self._recorder.write(event).event_id


def reason_of(fault: Exception) -> str:
    """Return the stable word for why a publish failed."""
    if isinstance(fault, SealgateError):
        return str(getattr(fault, "reason", "")) or fault.code
    return "fault"


def _unwatched(stage: str, done: int, total: int) -> None:
    """Nobody watches a run's publishing stage by stage."""
    structlog.get_logger().info("publish_stage", stage=stage, done=done, total=total)
