"""Publishing: from a sealed upload to a candidate that somebody may promote.

Safety argument:
1. A publish is decided when it is asked for, and again when its turn has come: only what is allowed
   then begins. The intent is durable before anything is opened, the result before anything is
   acknowledged.
2. The plaintext exists in memory only, is read by confined jobs only, and is wiped at the end.
3. The owner's signature is checked over the very bytes that were admitted.
4. The tenant's release key signs the link from that signature to every stored payload.
5. Whatever fails, the version ends as `rejected` with a stable reason, and what was staged for it
   is removed (`gateway.registry.versions`). A publish that died with its process is ended so at the
   next start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gateway.artifacts.age import SecretBuffer
from gateway.artifacts.upload import Sealer
from gateway.authorization.guard import Guard
from gateway.authorization.kinds import by_call
from gateway.authorization.recorder import Call
from gateway.errors import AlreadyExists, InvalidRequest
from gateway.names import require_version
from gateway.registry.facts import model_facts
from gateway.registry.packaging import Material
from gateway.registry.ports import Registry
from gateway.registry.records import ModelVersion, Upload
from gateway.registry.states import is_taken
from gateway.registry.uploads import Uploads
from gateway.registry.versions import Versions
from gateway.work.jobs import Job, Jobs, Progress
from policies.engine import Decision

MAX_CALIBRATION: Final = 512 << 20
"""Bytes of a calibration set or a sample: half of it holds 20,000 pictures of 64 x 64, float32."""


@dataclass(frozen=True, slots=True)
class PublishOrder:
    """What the caller says about a new version.

    Attributes:
        upload: Id of the upload of the model.
        calibration: Id of the upload of the calibration set, or None.
        sample: Id of the upload of inputs that the model must run on, or None.
        allow_nan: Inputs in which not-a-number and infinities are values like any other.
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
    sample: str | None = None
    allow_nan: frozenset[str] = frozenset()

    @property
    def uploads(self) -> list[str]:
        """The ids of all uploads, that of the model first."""
        return [self.upload, *(one for one in (self.calibration, self.sample) if one)]


class Publisher:
    """Publishes versions.

    Args:
        registry: Where versions are kept.
        uploads: Where the files come from.
        versions: Makes versions.
        sealer: Opens uploads.
        guard: Decides.
        clock: Unix seconds.
    """

    def __init__(
        self,
        registry: Registry,
        uploads: Uploads,
        versions: Versions,
        sealer: Sealer,
        guard: Guard,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._uploads = uploads
        self._versions = versions
        self._sealer = sealer
        self._guard = guard
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
        wanted = order.uploads
        if len(set(wanted)) != len(wanted):
            raise InvalidRequest("`upload`, `calibration` and `sample` must be different uploads")
        for upload in [self._uploads.find(call, upload_id) for upload_id in wanted][1:]:
            if upload.payload.plain_length > MAX_CALIBRATION:
                raise InvalidRequest("the calibration set or the sample is too large")
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
            by = by_call(call, self._decide(call, order))
            with self._uploads.using(call, *wanted) as found:
                self._versions.publish(
                    version,
                    by,
                    lambda: self._material(order, found),
                    progress,
                    upload=order.upload,
                    calibration=order.calibration or "",
                    sample=order.sample or "",
                )
            return f"/v1/models/{order.model}/versions/{order.version}"

        return jobs.start(call.principal.tenant, "publish", work)

    def _decide(self, call: Call, order: PublishOrder) -> Decision:
        tenant = call.principal.tenant
        require_version("version", order.version)
        model = self._registry.get_model(tenant, order.model)
        if model is None:
            self._guard.absent(call, "uploadArtifact")
        # The name of a version that there is not yet stays out of the record of a refusal.
        decision = self._guard.require(
            call, "uploadArtifact", model_facts(model, self._guard.tenant), model_id=order.model
        )
        if is_taken(self._registry.get_version(tenant, order.model, order.version)):
            raise AlreadyExists
        return decision

    def _material(self, order: PublishOrder, uploads: list[Upload]) -> Material:
        opened: dict[str, SecretBuffer] = {}
        try:
            for upload in uploads:
                opened[upload.id] = self._sealer.open_payload(upload.tenant, upload.payload)
        except BaseException:
            for secret in opened.values():
                secret.wipe()
            raise
        graph = uploads[0]
        return Material(
            tenant=graph.tenant,
            model=order.model,
            version=order.version,
            plain=opened[graph.id],
            sealed=replace(graph.payload, role="graph"),
            calibration=opened.get(order.calibration or ""),
            sample=opened.get(order.sample or ""),
            owner_bundle=order.owner_bundle,
            owner_key_pem=order.owner_key_pem,
            licence=order.licence,
            lineage=order.lineage,
            allow_nan=order.allow_nan,
        )
