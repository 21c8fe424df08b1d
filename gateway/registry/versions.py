"""From quarantine to candidate or rejected: the change that every published version goes through.

INVARIANT: a version in quarantine has an intent under way. It ends as a candidate whose parts are
all stored and signed for, or as rejected with nothing stored for it alone. The uploads that it was
made from are spent within that intent: while an upload is kept, no version needs its payload. A
model that was refused gives its uploads back, and leaves its version's name free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.artifacts.errors import ModelRefused, SandboxFailed
from gateway.artifacts.upload import Sealer
from gateway.authorization.intents import Intent, Intents
from gateway.authorization.kinds import FINISHED, UNDONE, Attribution, Kind, Settled
from gateway.authorization.recorder import Details
from gateway.authorization.records import Pending
from gateway.errors import AlreadyExists, Refusal, SealgateError
from gateway.registry.errors import PublishRefused
from gateway.registry.facts import model_resource
from gateway.registry.packaging import Material, Packager
from gateway.registry.ports import Registry
from gateway.registry.records import ModelVersion, SealedPayload
from gateway.registry.states import PUBLISHED, is_taken, moved
from gateway.registry.uploads import Uploads
from gateway.work.jobs import Progress

Open = Callable[[], Material]
"""Opens what a version is made from; what it opened is wiped here."""
_REFUSALS = (ModelRefused, PublishRefused, SandboxFailed)
"""What is wrong with what was sent; after anything else it may be published from again."""


class Versions:
    """Makes versions.

    Args:
        registry: Where versions are kept.
        uploads: Where the files come from.
        sealer: Deletes stored payloads.
        packager: Makes the sealed, signed parts.
        intents: Begin and end publishing.
        changed: Raises the epoch under which routes are remembered.
    """

    def __init__(
        self,
        registry: Registry,
        uploads: Uploads,
        sealer: Sealer,
        packager: Packager,
        intents: Intents,
        *,
        changed: Callable[[], object],
    ) -> None:
        self._registry = registry
        self._uploads = uploads
        self._sealer = sealer
        self._packager = packager
        self._intents = intents
        self._changed = changed
        intents.register(Kind("publish", "uploadArtifact", _details, self._finish))

    def publish(
        self,
        version: ModelVersion,
        by: Attribution,
        open_material: Open,
        progress: Progress,
        *,
        upload: str = "",
        calibration: str = "",
        sample: str = "",
    ) -> None:
        """Publish a version: recorded, packaged, a candidate when this returns.

        Args:
            version: The new version, quarantined.
            by: Who publishes it.
            open_material: Opens what it is made from.
            progress: Told of each stage.
            upload: Id of the upload whose payload becomes the graph of the version.
            calibration: Id of the upload that it is calibrated with.
            sample: Id of the upload with inputs that it must run on.

        Raises:
            AlreadyExists: The version name is taken, by one that was not refused.
            SealgateError: The version was rejected, and why is recorded.
        """
        before = self._registry.get_version(version.tenant, version.model, version.version)
        if is_taken(before):
            raise AlreadyExists  # before the intent: its finisher takes what is there for its own
        facts = {
            "model": version.model,
            "version": version.version,
            "upload": upload,
            "calibration": calibration,
            "sample": sample,
        }
        intent = self._intents.begin("publish", version.tenant, facts, by)
        try:
            version = self._quarantine(version, before)
        except Refusal as refusal:
            intent.failed(refusal.code)
            raise
        except Exception:
            intent.unknown()
            raise
        try:
            self._package(version, open_material, progress)
            self._spend(intent.pending)
        except Exception as fault:
            self._reject(intent, version, fault)
            raise
        intent.done()

    def _quarantine(self, version: ModelVersion, before: ModelVersion | None) -> ModelVersion:
        """Put a version where there is none, or where one was refused."""
        if before is None:
            self._registry.add_version(version)
            return version
        moved(before, version.state)
        return self._registry.replace_version(replace(version, revision=before.revision))

    def _package(self, version: ModelVersion, open_material: Open, progress: Progress) -> None:
        def stage(payload: SealedPayload) -> None:
            # INVARIANT: a version names a ciphertext before the store does.
            nonlocal version
            version = self._registry.replace_version(
                replace(version, payloads=(*version.payloads, payload))
            )

        material = open_material()
        try:
            parts = self._packager.package(material, stage, progress)
        finally:
            material.wipe()
        self._registry.replace_version(
            replace(
                moved(version, "candidate"),
                manifest=parts.manifest,
                link=parts.link,
                payloads=parts.payloads,
                facts=parts.facts,
            )
        )
        self._changed()

    def _reject(self, intent: Intent, version: ModelVersion, fault: Exception) -> None:
        """End a publish that failed; where that fails too, its finisher ends it."""
        reason = reason_of(fault)
        try:
            # As it is stored: the write that failed may have been made nevertheless.
            stored = self._registry.get_version(version.tenant, version.model, version.version)
            rejected = stored is not None and stored.state == "quarantined"
            if stored is not None and rejected:
                self._discard(stored, reason)
                if isinstance(fault, _REFUSALS):
                    self._give_back(intent.pending)
        except Exception:
            rejected = False
        if rejected:
            intent.failed(reason)
        else:
            intent.unknown()

    def _finish(self, pending: Pending) -> Settled:
        facts = pending.facts
        found = self._registry.get_version(pending.tenant, facts["model"], facts["version"])
        if found is not None and found.state == "quarantined":
            self._discard(found, UNDONE.reason)
        elif found is not None and found.state == "rejected":
            # It died while it gave its uploads back: a record of one must not outlive its payload.
            self._give_back(pending)
        if found is None or found.state not in PUBLISHED:
            return UNDONE
        self._spend(pending)
        self._changed()
        return FINISHED

    def _spend(self, pending: Pending) -> None:
        facts = pending.facts
        self._uploads.spend(pending.tenant, facts.get("upload", ""))
        for kind in ("calibration", "sample"):
            self._uploads.discard(pending.tenant, facts.get(kind, ""))

    def _give_back(self, pending: Pending) -> None:
        """Free the places of the uploads of a model that was refused; else they expire in a day."""
        for kind in ("upload", "calibration", "sample"):
            self._uploads.discard(pending.tenant, pending.facts.get(kind, ""))

    def _discard(self, version: ModelVersion, reason: str) -> None:
        """Reject a quarantined version and delete what was stored for it alone."""
        for payload in version.payloads:
            self._sealer.remove(payload.digest)
        self._registry.replace_version(
            replace(moved(version, "rejected"), payloads=(), reason=reason)
        )


def _details(pending: Pending) -> Details:
    model = pending.facts["model"]
    return {
        "reason": "publish",
        "model_id": model,
        "model_version": pending.facts["version"],
        "resource": model_resource(pending.tenant, model),
    }


def reason_of(fault: Exception) -> str:
    """Return the stable word for why a publish failed."""
    if isinstance(fault, SealgateError):
        return str(getattr(fault, "reason", "")) or fault.code
    return "fault"
